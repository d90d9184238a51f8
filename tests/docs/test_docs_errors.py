"""The page of errors is what the code says."""

import runpy
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_page_of_errors_is_current():
    generated = runpy.run_path(str(REFERENCE / "generate.py"))["page"]()
    assert (REFERENCE / "errors.md").read_text() == generated, "run: python docs/reference/generate.py"
