"""Cases that failed once, each kept as a replay file: they hold, for ever.

A file is added as `proa sim run` wrote and shrank it. Its trace hash is that of the failure and is not compared.
"""

from pathlib import Path

import pytest

from proa.local.plane import declared
from proa.simulation.replay import load
from proa.simulation.runner import run_here
from proa.simulation.scenario import run_case

ROOT = Path(__file__).parents[3]
FILES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_case_that_once_failed_holds(file, monkeypatch):
    monkeypatch.chdir(ROOT)  # files name examples as they are called from there
    kept = load(file)
    assert run_here(declared(kept.app), kept.case, run_case).violations == ()
