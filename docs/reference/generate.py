# noqa: INP001 - a program of the documents, not a package
"""Writes errors.md from the docstrings of the error classes: `python docs/reference/generate.py`."""

from __future__ import annotations

import inspect
from pathlib import Path

from proa.errors import BY_CODE, ProaError

PAGE = Path(__file__).with_name("errors.md")
INTRODUCTION = """# Errors

Generated from [`errors.py`](../../src/proa/errors.py) by `python docs/reference/generate.py`. `proa explain CODE`
prints one of them. An app's own errors are subclasses of these with codes of their own.

*Not started* means: the answer proves that nothing was committed, so any region may try again.
"""


def page() -> str:
    """The whole page."""
    own = [kind for kind in BY_CODE.values() if kind.__module__ == "proa.errors"]
    return "\n".join([INTRODUCTION, *(entry(kind) for kind in sorted(own, key=lambda kind: kind.code))])


def entry(kind: type[ProaError]) -> str:
    """One error: heading, facts, explanation."""
    started = ", not started" if kind.not_started else ""
    first, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    explanation = rest.strip().replace("\nFix:", "\n\n**Fix:**").replace("Cause:", "**Cause:**", 1)
    return (
        f"## {kind.code} {kind.title}\n\n`{kind.__name__}`, status {kind.status}{started}\n\n{first}\n\n{explanation}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
