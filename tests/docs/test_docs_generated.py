"""Pages that the code can tell are what the code says."""

import runpy
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


PROMISES = [f"consistency-{app.parent.name}.md" for app in (REFERENCE.parents[1] / "examples").glob("*/app.py")]


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
    generated = runpy.run_path(str(REFERENCE / "generate.py"))["pages"]()[name]
    assert (REFERENCE / name).read_text() == generated, "run: python docs/reference/generate.py"
