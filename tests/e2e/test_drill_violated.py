"""A drill that must find a broken promise: an app that promises to lose nothing, and keeps its rows in one region."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

APP = """
from dataclasses import dataclass
from proa import App, Context, Objectives

@dataclass
class Note:
    id: str
    reference: str

app = App("notes", regions=["eu", "us"], objectives=Objectives(rto_s=5, rpo_s=0))
notes = app.table("notes", Note, key="id", mode="any")

@app.post("/notes", idempotent=True)
async def write(reference: str, ctx: Context) -> Note:
    note = Note(ctx.unit, reference)
    await notes.put(note)
    return note

@app.get("/notes/{id}")
async def read(id: str) -> Note:
    return await notes.get(id)
"""
DRILL = """
import json
from proa.chaos import workload
from proa.chaos.workload import Request

class Workload(workload.Workload):
    counted = {"notes": "reference"}

    def request(self, number, rng):
        key = f"{number}-{rng.getrandbits(32):x}"
        return Request("POST", f"/notes?reference={key}", key=key)

    def read_back(self, request, answer):
        return Request("GET", f"/notes/{json.loads(answer)['id']}")
"""


@pytest.mark.processes
def test_writes_that_were_on_their_way_when_their_region_went_dark_are_found_and_the_verdict_is_violated(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "drill.py").write_text(DRILL)
    # Dark, not killed: what is on its way is lost too, so at least the distance is, whenever the last pull was.
    options = "--lose eu --how blackout --rate 200 --duration-s 4 --fault-after-s 2 --rtt-ms 120 --json"
    shortened = "--lease-s 1 --hold-down-s 0.5"
    ran = subprocess.run(
        [sys.executable, "-m", "proa.cli", "drill", ".", *options.split(), *shortened.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    report = json.loads(ran.stdout)
    assert report["verdict"] == "violated"
    assert report["rpo_writes"] > 0
    assert f"{len(report['lost_writes'])} acknowledged writes were lost; rpo_s=0 tolerates none" in report["violations"]
    lost = report["lost_writes"][0]
    assert (lost["region"], lost["commit"].split(":")[0]) == ("eu", "eu/1")
    assert report["lag_ms"]["p50"] > 55
