"""The statements of the stores: those that a simulation repeats have no clock and no will of their own."""

import re
from pathlib import Path

import pytest

ENGINES = Path(__file__).parents[2] / "src" / "proa" / "engines"
OWN_WILL = r"random|randomblob|date|time|datetime|julianday|unixepoch|strftime|current_\w+|last_insert_rowid|changes"


@pytest.mark.parametrize("file", sorted((ENGINES / "sqlite").glob("*.sql")), ids=lambda file: file.name)
def test_no_statement_asks_for_the_time_or_draws_lots(file):
    statements = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("--"))
    assert re.findall(rf"\b(?:{OWN_WILL})\s*\(|\bcurrent_(?:date|time|timestamp)\b", statements.lower()) == []


@pytest.mark.parametrize("file", sorted(ENGINES.rglob("queries.sql")), ids=lambda file: file.parent.name)
def test_no_two_statements_share_a_name(file):
    names = re.findall(r"^-- name: (\w+)$", file.read_text(), re.MULTILINE)
    assert sorted(set(names)) == sorted(names)
