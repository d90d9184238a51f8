"""A drill from its beginning, without a system: what is read of the app's folder."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from proa.chaos.drill import rehearse
from proa.chaos.options import DrillOptions

APP = """
from proa import App
app = App("shop", regions=["eu", "us"])
"""
DRILL = """
from contextlib import contextmanager
from pathlib import Path
from proa.chaos import workload

with Path(__file__).with_name("loads").open("a") as loads:
    loads.write("loaded ")

class Workload(workload.Workload):
    @contextmanager
    def surroundings(self):
        yield {}

    def request(self, number, rng): ...
"""


class Reached(Exception):
    """The drill began."""


class NoSystem:
    def global_store(self):
        raise Reached


@asynccontextmanager
async def launch(_):
    yield NoSystem()


def test_the_workload_that_has_the_surroundings_is_the_one_that_is_drilled(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "drill.py").write_text(DRILL)
    with pytest.raises(Reached):
        asyncio.run(rehearse(str(tmp_path), DrillOptions(), launch, print))
    assert (tmp_path / "loads").read_text() == "loaded "
