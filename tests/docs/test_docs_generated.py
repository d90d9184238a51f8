"""Pages that the code can tell are what the code says."""

import runpy
from functools import cache
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


PROMISES = [f"consistency-{app.parent.name}.md" for app in (REFERENCE.parents[1] / "examples").glob("*/app.py")]


@cache
def generated():
    """All pages, made once a process: that costs more than to compare them."""
    return runpy.run_path(str(REFERENCE / "generate.py"))["pages"]()


@pytest.mark.parametrize(
    "name",
    [
        "errors.md",
        "cli.md",
        "dangers.md",
        "../guides/choosing-a-mode.md",
        "../guides/dependencies.md",
        *sorted(PROMISES),
    ],
)
def test_a_generated_page_is_current(name):
    assert (REFERENCE / name).read_text() == generated()[name], "run: python docs/reference/generate.py"
