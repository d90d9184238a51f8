"""What a command prints: data on standard output, progress on standard error, errors as sentences with a fix."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from proa.errors import ApprovalRefused, ProaError, UnsafePlan, UsageError

if TYPE_CHECKING:
    from rich.console import Console

OK = 0
FAILED = 1
USAGE = 2
VIOLATED = 3
APPROVAL_MISSING = 4
UNSAFE = 5
INTERRUPTED = 130

_EXITS: tuple[tuple[type[ProaError], int], ...] = (
    (UsageError, USAGE),
    (ApprovalRefused, APPROVAL_MISSING),
    (UnsafePlan, UNSAFE),
)


class Explanation(msgspec.Struct, frozen=True):
    """An error class, taken apart: what happened, why, and what to do."""

    code: str
    title: str
    status: int
    what: str
    cause: str
    fix: str


def explanation(kind: type[ProaError]) -> Explanation:
    """Read the class's docstring: its sentences, then `Cause:` and `Fix:`."""
    text = inspect.getdoc(kind) or ""
    what, _, rest = text.partition("Cause:")
    cause, _, fix = rest.partition("Fix:")
    return Explanation(kind.code, kind.title, kind.status, _flat(what), _flat(cause), _flat(fix))


def exit_code(error: ProaError) -> int:
    """The process's exit code for an error."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), FAILED)


def fail(error: ProaError, *, as_json: bool) -> int:
    """Print an error on standard error; the exit code for it."""
    told = explanation(type(error))
    if as_json:
        problem = {
            "code": error.code,
            "title": error.title,
            "detail": error.detail,
            "cause": told.cause,
            "fix": told.fix,
        }
        sys.stderr.write(msgspec.json.encode(problem).decode() + "\n")
    else:
        sys.stderr.write(f"{error.code} {error.title}: {error.detail or told.what}\n")
        sys.stderr.writelines(
            f"  {name}: {text}\n" for name, text in (("Cause", told.cause), ("Fix", told.fix)) if text
        )
    return exit_code(error)


def print_json(value: Any) -> None:
    """The command's data, for programs."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def print_line(value: Any) -> None:
    """One JSON line of a stream."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """A rich console that heeds NO_COLOR and is plain where there is no terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, no_color="NO_COLOR" in os.environ or None)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table: columns as wide as their longest cell, nothing else, so that it also serves `awk`."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def note(text: str) -> None:
    """Progress, for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _flat(text: str) -> str:
    return " ".join(text.split())
