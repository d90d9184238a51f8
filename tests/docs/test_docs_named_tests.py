"""Every test that a page names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FOUND = sorted({(page.name, *match) for page in ROOT.glob("docs/**/*.md") for match in NAMED.findall(page.read_text())})


@pytest.mark.parametrize(("page", "file", "name"), FOUND)
def test_a_test_that_a_page_names_exists(page, file, name):
    assert f"def {name}(" in (ROOT / file).read_text(), f"{page} names it"


def test_pages_name_tests():
    assert len(FOUND) > 20
