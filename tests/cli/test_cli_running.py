"""The command line against a running `proa dev`: two people fail over, the app is changed, and Ctrl-C ends it all."""

import os
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from support.dev import Dev, run

pytestmark = pytest.mark.processes

APP = """
from dataclasses import dataclass
from proa import App

@dataclass
class Session:
    id: str

app = App("sessions", regions=["eu-west-1", "us-east-1"], topology="active-passive", lease_s=2)
sessions = app.table("sessions", Session, key="id")

@app.put("/sessions/{id}")
async def create(id: str, session: Session) -> Session:
    await sessions.put(session)
    return session
"""
VERSION_ROUTE = """

@app.get("/version")
async def version() -> int:
    return 2
"""


@pytest.fixture
def dev(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    running = Dev(tmp_path)
    try:
        running.until("serving")
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.out.close()


def test_two_people_fail_over_and_the_system_is_reloaded_and_ends_on_ctrl_c(dev, capsys):
    # One system per state directory.
    assert run(capsys, "dev", "app", "--port", "0", code=1)["code"] == "PROA-S003"

    # Everything is well, as soon as a quorum has looked.
    deadline = time.monotonic() + 10
    while set((shown := run(capsys, "status"))["verdicts"].values()) != {"healthy"}:
        assert time.monotonic() < deadline, shown
    assert shown["assignment"]["roles"] == {"eu-west-1": "active", "us-east-1": "standby"}
    assert set(shown["regions"]) == {"eu-west-1", "us-east-1"}
    assert "global store clock" in [found["name"] for found in run(capsys, "doctor")]

    # Operators.
    ann = run(capsys, "operator", "add", "ann", "--role", "approver")["token"]
    bob = run(capsys, "operator", "add", "bob", "--role", "approver")["token"]
    run(capsys, "operator", "add", "eve")
    run(capsys, "operator", "remove", "eve")
    listed = run(capsys, "operator", "list")
    assert listed == [{"name": "ann", "role": "approver"}, {"name": "bob", "role": "approver"}]
    assert "token" not in (Path(shown["state_dir"]) / "logs" / "witness.log").read_text()

    # A request needs a token that is right, and a second person.
    assert run(capsys, "failover", "request", code=2)["code"] == "PROA-L003"
    assert run(capsys, "failover", "request", token="ann.0", code=1)["code"] == "PROA-H402"
    waiting = run(capsys, "failover", "request", "--reason", "rehearsal", "--wait-s", "1.5", token=ann, code=4)
    assert (waiting["kind"], waiting["awaiting"], waiting["requested_by"]) == ("failover", "approval", "ann")
    assert run(capsys, "failover", "approve", waiting["id"], token=ann, code=4)["code"] == "PROA-C003"
    done = run(capsys, "failover", "approve", waiting["id"], "--digest", waiting["digest"], "--wait-s", "15", token=bob)
    assert done["step"] == "done"
    assert [phase["phase"] for phase in done["timeline"]] == ["decide", "fence", "promote", "propagate", "verify"]
    assert run(capsys, "failover", "status")["assignment"]["roles"]["us-east-1"] == "active"

    # A second plan is called off.
    asked = run(capsys, "failover", "request", "us-east-1", token=ann, code=0)
    assert run(capsys, "failover", "abort", asked["id"], token=ann)["step"] == "aborted"

    # A change of the app reaches every region and the edge; a broken one reaches nobody.
    source = dev.folder / "app" / "app.py"
    source.write_text(APP + VERSION_ROUTE)
    assert dev.until("reloaded")["regions"] == ["eu-west-1", "us-east-1"]
    with urllib.request.urlopen(dev.url + "/version", timeout=5) as answer:
        assert answer.read() == b"2"
    source.write_text("no python")
    assert "SyntaxError" in dev.until("not reloaded")["why"]

    # Ctrl-C.
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(15) == 130
    assert {line["node"] for line in dev.said("node ended")} == {"witness", "eu-west-1", "us-east-1", "edge"}
    assert run(capsys, "status", code=1)["code"] == "PROA-L004"


def test_regions_speak_for_themselves_while_the_witness_is_gone(dev, capsys):
    [witness] = [line["pid"] for line in dev.said("node ready") if line["node"] == "witness"]
    os.kill(witness, signal.SIGKILL)
    dev.until("node ended")
    shown = run(capsys, "status")
    assert (shown["stale"], shown["assignment"]) == (True, None)
    assert {name: said["role"] for name, said in shown["regions"].items()} == {
        "eu-west-1": "active",
        "us-east-1": "standby",
    }
    assert run(capsys, "failover", "status", code=1)["code"] == "PROA-R004"


def test_sigterm_ends_it_cleanly(dev):
    os.kill(dev.process.pid, signal.SIGTERM)
    assert dev.process.wait(15) == 0
    assert {(line["node"], line["code"]) for line in dev.said("node ended")} == {
        ("witness", 0),
        ("eu-west-1", 0),
        ("us-east-1", 0),
        ("edge", 0),
    }
