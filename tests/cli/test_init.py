"""`proa init`: what it makes is an app that is checked, passes its own tests and holds in simulated outages."""

import json
import os
import subprocess
import sys
from typing import get_args

import pytest

from proa.cli.init import TEMPLATES, Template
from proa.cli.main import main
from proa.cli.output import OK, USAGE

NAMES = get_args(Template)


@pytest.fixture(params=NAMES)
def begun(request, tmp_path):
    folder = tmp_path / "ledger"
    assert main(["init", str(folder), "--template", request.param]) == OK
    return folder


def test_every_template_that_is_there_can_be_chosen():
    assert sorted(part.name for part in TEMPLATES.iterdir() if part.is_dir()) == sorted(NAMES)


def test_its_declarations_hide_no_danger_and_it_has_the_name_of_its_folder(begun, capsys):
    capsys.readouterr()
    assert main(["check", str(begun), "--json"]) == OK
    report = json.loads(capsys.readouterr().out)
    assert (report["app"], report["dangers"]) == ("ledger", [])


def test_its_tests_of_an_outage_pass(begun):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(begun)],
        cwd=begun,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_it_holds_in_outages_that_seeds_choose(begun, capsys):
    capsys.readouterr()
    assert main(["sim", "run", str(begun), "--profile", "outage", "--seeds", "3", "--jobs", "1", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["held"] == 3


def test_its_files_are_told_to_programs_too(tmp_path, capsys):
    folder = tmp_path / "new" / "shop"
    assert main(["init", str(folder), "--name", "my.shop", "--json"]) == OK
    files = ["README.md", "app.py", "drill.py", "test_outage.py"]
    expected = {"app": "my.shop", "template": "active-active", "folder": str(folder), "files": files}
    assert json.loads(capsys.readouterr().out) == expected
    assert sorted(file.name for file in folder.iterdir()) == files


def test_nothing_that_is_there_is_changed(tmp_path, capsys):
    kept = tmp_path / "app.py"
    kept.write_text("mine")
    assert main(["init", str(tmp_path)]) == USAGE
    assert "is there already" in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["two words", "-x", ".hidden", 'quo"te'])
def test_a_name_that_an_app_cannot_have_is_refused_before_anything_is_made(tmp_path, capsys, name):
    assert main(["init", str(tmp_path / "shop"), f"--name={name}"]) == USAGE
    assert "say another by --name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
