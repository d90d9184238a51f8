"""An engine's statements: they live in `.sql` files, described there; Python binds."""

from __future__ import annotations

import re
from pathlib import Path

from proa.ports import Span


def load_queries(file: Path) -> dict[str, str]:
    """The named statements of a file, each on one line and without its description."""
    parts = re.split(r"^-- name: (\w+)$", file.read_text(), flags=re.MULTILINE)[1:]
    return {name: _bare(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def load_statements(file: Path) -> list[str]:
    """The statements of a file that are run one after another."""
    return [statement for statement in map(str.strip, _bare(file.read_text()).split(";")) if statement]


def of_span(span: Span, what: str) -> str:
    """The statement that does this with a stretch: of rows or of the entries of an index, from its start or its end."""
    return f"{'entries' if span.index else 'rows'}_{what}{'_reversed' if span.reverse else ''}"


def bounds(span: Span) -> dict[str, str | int | float]:
    """A stretch as statements take it."""
    return {
        "table": span.table,
        "index": span.index,
        "start_entry": span.start[0],
        "start": span.start[1],
        "end_entry": span.end[0],
        "end": span.end[1],
        "now": span.now,
        "limit": span.limit,
    }


def _bare(text: str) -> str:
    return " ".join(line for line in text.splitlines() if not line.startswith("--")).strip()
