"""Logs: one JSON line an event, with the ids that belong to it and without secrets."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import proa.control.events
import proa.runtime.calls
import proa.runtime.events
import proa.runtime.identity.events
import proa.runtime.secrets
from proa.observe.logs import REDACTED, name_of, redact

PROGRAM = """
import logging
from typing import ClassVar
import msgspec
from proa.observe import logs

class UnitFinished(msgspec.Struct, frozen=True):
    unit: str
    trace: str
    error: str = ""

class Chatter(msgspec.Struct, frozen=True):
    severity: ClassVar[str] = "debug"
    text: str

logs.setup("eu-west-1")
logs.subscriber(UnitFinished("u1", "t1"))
logs.subscriber(Chatter("hidden"))
logging.getLogger("uvicorn.error").warning("port %s", 1)
"""


def test_events_and_libraries_write_json_lines_that_name_node_unit_and_trace():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    times = [line.pop("time") for line in lines]
    assert all(time.endswith("Z") for time in times)
    assert lines == [
        {"node": "eu-west-1", "level": "info", "event": "unit finished", "unit": "u1", "trace": "t1"},
        {"node": "eu-west-1", "level": "warning", "event": "port 1", "logger_name": "uvicorn.error"},
    ]
    assert ran.stdout == ""


def test_secrets_are_never_written():
    line = {"event": "call", "token": "a", "headers": {"Authorization": "b", "accept": "c"}, "clusterSecret": "d"}
    assert redact(None, "info", line) == {
        "event": "call",
        "token": REDACTED,
        "headers": {"Authorization": REDACTED, "accept": "c"},
        "clusterSecret": REDACTED,
    }


EVENTS = [
    kind
    for module in (
        proa.control.events,
        proa.runtime.calls,
        proa.runtime.events,
        proa.runtime.identity.events,
        proa.runtime.secrets,
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_no_field_of_an_event_has_a_name_that_a_line_has_already(kind):
    assert {"event", "level", "time"}.isdisjoint(kind.__struct_fields__)


def test_an_event_is_called_by_its_class_in_words():
    class BreakerOpened: ...

    assert name_of(BreakerOpened) == "breaker opened"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device without room is Linux's")
def test_a_log_that_cannot_be_written_costs_nothing_else():
    with Path("/dev/full").open("wb", buffering=0) as device:
        program = PROGRAM + "print('still here', flush=True)\n"
        ran = subprocess.run(
            [sys.executable, "-u", "-c", program], stderr=device, stdout=subprocess.PIPE, text=True, check=False
        )
    assert ran.stdout == "still here\n"
