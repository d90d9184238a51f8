"""The command line without a running system: what it prints, where, and its exit codes."""

import json
import os
import resource
import subprocess
import sys

import pytest
from cli_apps import FIRST_COMES, SHOP

from proa.cli.main import COMMANDS, load_dotenv, main
from proa.cli.output import exit_code, explanation
from proa.errors import BY_CODE, ApprovalRefused, NotFound, PlanRefused, UnsafePlan, UsageError


@pytest.fixture
def shop(tmp_path, monkeypatch):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    return folder


def test_check_prints_each_route_with_its_class_and_promise(shop, capsys):
    assert main(["check", "shop"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "shop: active-active in eu-west-1, us-east-1\n"
        "\n"
        "METHOD  PATH          UNIT      SAME KEY AGAIN\n"
        "POST    /orders       regional  once in this region and wherever it is replicated; "
        "in two regions within the lag both may run: listed\n"
        "PUT     /stock/{id}   global    with a key: once, everywhere\n"
        "GET     /orders/{id}  read      any region answers, repeated freely\n"
        "\n"
        "TABLE   MODE    KEY\n"
        "orders  any     id\n"
        "stock   strong  id\n"
    )
    assert said.err == ""


def test_check_promises_more_where_one_region_writes(tmp_path, capsys):
    passive = SHOP.replace("lease_s=2", 'lease_s=2, topology="active-passive"').replace(
        ", merge=merge.last_writer()", ""
    )
    (tmp_path / "app.py").write_text(passive)
    assert main(["check", str(tmp_path), "--json"]) == 0
    promises = {route["path"]: route["promise"] for route in json.loads(capsys.readouterr().out)["routes"]}
    assert promises["/orders"] == "once in the active region; what a fail-over cuts off is set aside and listed"


HOMED = """
from dataclasses import dataclass
from proa import App

@dataclass
class Profile:
    id: str
    home: str = "eu-west-1"

app = App("homed", regions=["eu-west-1", "us-east-1"])
spread = app.table("spread", Profile, key="id", mode="home")
named = app.table("named", Profile, key="id", mode="home", home="home")

@app.put("/spread/{id}")
async def one(id: str, profile: Profile) -> None:
    await spread.put(profile)

@app.put("/named/{id}")
async def other(id: str, profile: Profile) -> None:
    await named.put(profile)
"""


def test_check_says_what_a_key_promises_where_rows_have_a_home(tmp_path, capsys):
    (tmp_path / "app.py").write_text(HOMED)
    assert main(["check", str(tmp_path), "--json"]) == 0
    promises = {route["path"]: route["promise"] for route in json.loads(capsys.readouterr().out)["routes"]}
    assert promises["/spread/{id}"] == "with a key: once, at the row's home"
    assert promises["/named/{id}"].startswith("with a key: once, at the home that its row names; where attempts name")


def test_check_finds_a_merge_that_breaks_a_law(tmp_path, capsys):
    (tmp_path / "app.py").write_text(FIRST_COMES)
    assert main(["check", str(tmp_path), "--json"]) == 3
    broken = json.loads(capsys.readouterr().out)["broken_merges"]
    assert list(broken) == ["notes"]
    assert broken["notes"].startswith("commutative: the order of")


def test_check_of_a_missing_app_fails_with_code_cause_and_fix(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "nowhere"]) == 1
    assert capsys.readouterr().err == (
        "PROA-D002 App not found: nowhere: no such folder, file or module\n"
        "  Cause: the path is wrong, or the module defines no `App`.\n"
        "  Fix: give a folder with `app.py`, a file, or `module:attribute`.\n"
    )


def test_an_app_that_cannot_be_imported_is_an_error_and_no_traceback(tmp_path, capsys):
    (tmp_path / "app.py").write_text("import nothing_of_that_name\n")
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"PROA-D001 Invalid declaration: {tmp_path} cannot be imported: ModuleNotFoundError:")
    assert "Traceback" not in said


def test_errors_are_json_where_json_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err) == {
        "code": "PROA-L004",
        "title": "No running system",
        "detail": "nothing is running in .proa",
        "cause": "none was started on this state directory, or it has ended.",
        "fix": "start one with `proa dev APP`, or name its `--state-dir`.",
    }


@pytest.mark.parametrize("arguments", [["check"], ["dev", "x", "--port", "many"], ["nonsense"], ["explain", "X1"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().out == ""


def test_each_error_has_its_exit_code():
    codes = {kind: exit_code(kind("x")) for kind in (NotFound, UsageError, PlanRefused, ApprovalRefused, UnsafePlan)}
    assert codes == {NotFound: 1, UsageError: 2, PlanRefused: 1, ApprovalRefused: 4, UnsafePlan: 5}


def test_explain_prints_what_happened_why_and_what_to_do(capsys):
    assert main(["explain", "s003"]) == 0
    assert capsys.readouterr().out == (
        "PROA-S003 State directory in use (HTTP 500)\n"
        "\n"
        "Another process uses this state directory.\n"
        "\n"
        "Cause: a second `proa dev` (or region) on the same directory.\n"
        "Fix: stop the other process, or give another `--state-dir`.\n"
    )


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_explains_itself(code):
    told = explanation(BY_CODE[code])
    assert all((told.code, told.title, told.what, told.cause, told.fix))


def test_settings_come_from_the_flag_then_the_environment_then_pyproject(shop, monkeypatch, capsys):
    (shop.parent / "pyproject.toml").write_text('[tool.proa]\ncode = "R001"\n\n[tool.proa.explain]\njson = true\n')
    assert main(["explain"]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == "PROA-R001"
    monkeypatch.setenv("PROA_CODE", "R002")
    assert main(["explain"]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == "PROA-R002"
    assert main(["explain", "R003", "--no-json"]) == 0
    assert capsys.readouterr().out.startswith("PROA-R003 ")


def test_dotenv_gives_what_the_environment_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setenv("PROA_A", "environment")
    monkeypatch.setenv("PROA_B", "")
    monkeypatch.delenv("PROA_B")
    file = tmp_path / ".env"
    file.write_text("# a comment\nPROA_A=file\nexport PROA_B='file'\nOTHER=1\n")
    load_dotenv(file)
    assert (os.environ["PROA_A"], os.environ["PROA_B"], "OTHER" in os.environ) == ("environment", "file", False)


def test_doctor_measures_this_machine(tmp_path, capsys):
    assert main(["doctor", "--state-dir", str(tmp_path), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert [found["name"] for found in findings] == ["python", "envoy", "ports", "disk space", "disk fsync", "clock"]
    assert all(found["ok"] for found in findings)


def test_help_lists_every_command_without_importing_any():
    program = "import sys; from proa.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    listed = [name for name in COMMANDS if f" {name} " in ran.stdout]
    imported = [name for name in COMMANDS if f"proa.cli.{name}" in ran.stderr.split()]
    assert (listed, imported) == (list(COMMANDS), [])
    assert "\x1b" not in ran.stdout


def test_the_command_starts_quickly():
    def took() -> float:
        """Processor time, since the tests' machine is seldom idle."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([sys.executable, "-m", "proa.cli", "explain", "R001"], capture_output=True, check=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    assert min(took() for _ in range(3)) < 0.4


DANGEROUS = """
from dataclasses import dataclass
from proa import App, Objectives

@dataclass
class Row:
    id: str

app = App("dangerous", regions=["eu", "us"], failover="automatic", objectives=Objectives(rpo_s=0))
near = app.table("near", Row, key="id")
strong = app.table("strong", Row, key="id", mode="strong")

@app.post("/both")
async def both(row: Row) -> None:
    await near.put(row)
    await strong.put(row)
"""


def test_check_refuses_and_warns_of_dangerous_combinations(tmp_path, capsys):
    (tmp_path / "app.py").write_text(DANGEROUS)
    assert main(["check", str(tmp_path), "--json"]) == 3
    found = [(danger["verdict"], danger["code"]) for danger in json.loads(capsys.readouterr().out)["dangers"]]
    assert found == [
        ("refused", "PROA-K001"),
        ("warned", "PROA-K003"),
        ("refused", "PROA-K004"),
        ("warned", "PROA-K007"),
    ]


def test_a_danger_is_told_with_its_cause_and_fix_and_explained_by_its_code(tmp_path, capsys):
    (tmp_path / "app.py").write_text(DANGEROUS)
    assert main(["check", str(tmp_path)]) == 3
    assert (
        "\nrefused: POST /both writes strong tables and any ones (PROA-K004)\n"
        "  cause: a unit commits in exactly one store, so one of the writes is refused at run time\n"
        "  fix:   split the handler, or give the tables the same kind of mode\n"
    ) in capsys.readouterr().out
    assert main(["explain", "k004"]) == 0
    assert capsys.readouterr().out == (
        "PROA-K004 One unit, two stores (refused)\n"
        "\n"
        "Cause: a unit commits in exactly one store, so one of the writes is refused at run time\n"
        "Fix: split the handler, or give the tables the same kind of mode\n"
    )


def test_the_distance_to_the_global_store_may_come_from_the_environment(tmp_path, monkeypatch, capsys):
    (tmp_path / "app.py").write_text(SHOP.replace('/stock/{id}"', '/stock/{id}", timeout_s=0.05'))
    monkeypatch.setenv("PROA_RTT_MS", "80")
    assert main(["check", str(tmp_path), "--json"]) == 3
    assert [danger["code"] for danger in json.loads(capsys.readouterr().out)["dangers"]] == ["PROA-K008"]


def test_a_shell_completes_commands_subcommands_and_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    script = tmp_path / "proa"
    assert main(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    complete = 'source "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(( $# - 2 )); _proa; printf "%s\\n" "${COMPREPLY[@]}"'

    def offered(*words):
        bash = ["bash", "-c", complete, "bash", str(script), *words]
        return subprocess.run(bash, capture_output=True, text=True, check=True).stdout.split()

    assert offered("proa", "dr") == ["drill"]
    assert offered("proa", "sim", "re") == ["replay"]
    assert offered("proa", "sim", "run", "--prof") == ["--profile"]
    assert {"outage", "partition"} < set(offered("proa", "sim", "run", "--profile", ""))
