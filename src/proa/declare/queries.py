"""Queries: rows of one partition in the order of their sort values, a page at a time, forwards and back.

A cursor is a gap between rows, not a count of rows: a page begins where another one ended, whatever was written or
deleted in between. It is text for clients to hand back, and means nothing but that.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from proa.declare.keys import NEXT
from proa.errors import Unprocessable
from proa.ports import Position, Span

T = TypeVar("T")
LIMIT = 100
LIMIT_MAX = 1000


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Rows of a query, and the cursors of the pages after and before this one (None: there is none)."""

    rows: list[T]
    next: str | None = None
    previous: str | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A gap between rows (just before the position `gap`), and whether to walk from it against the query's order."""

    gap: Position
    back: bool

    def text(self) -> str:
        return urlsafe_b64encode(msgspec.msgpack.encode(self)).decode().rstrip("=")


def read_cursor(text: str, span: Span) -> Cursor:
    """The cursor that a client hands back; Unprocessable where this query did not give it."""
    try:
        cursor = msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
    except ValueError:
        raise Unprocessable(f"{text!r:.80} is no cursor of a page") from None
    if not span.start <= cursor.gap <= span.end:
        raise Unprocessable(f"the cursor {text!r:.80} belongs to another query")
    return cursor


def check_limit(limit: int) -> int:
    """`limit`, if a page can be so large."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Unprocessable(f"a page has 1 to {LIMIT_MAX:,} rows, not {limit:,}; the next ones follow from its cursor")
    return limit


def walk(span: Span, cursor: Cursor | None) -> Span:
    """The part of a query's span that lies beyond a cursor, in the direction in which the cursor walks."""
    if cursor is None:
        return span
    reverse = span.reverse != cursor.back
    bounds = (span.start, cursor.gap) if reverse else (cursor.gap, span.end)
    return msgspec.structs.replace(span, start=bounds[0], end=bounds[1], reverse=reverse)


def pages_beside(
    walked: Span, cursor: Cursor | None, positions: Sequence[Position], *, more: bool
) -> tuple[str | None, str | None]:
    """The cursors of the next and the previous page of one that was walked over these positions.

    `more` says whether there are rows beyond the last of them. Behind the first there may be some wherever the walk
    began at a cursor.
    """
    back = cursor is not None and cursor.back
    ahead = behind = None
    if more and positions:
        ahead = Cursor(_gap(positions[-1], after=not walked.reverse), back).text()
    if cursor is not None:
        behind = Cursor(_gap(positions[0], after=walked.reverse) if positions else cursor.gap, not back).text()
    return (behind, ahead) if back else (ahead, behind)


def _gap(position: Position, *, after: bool) -> Position:
    """The gap just before a row, or just after it, in the order of keys."""
    entry, key = position
    return (entry, key + NEXT) if after else position
