"""Keys as stores hold them: texts that sort as their values do, so that any store that sorts text can answer a query.

A key of several parts is its partition, a separator that no partition may hold, and a sort value: text as it is, whole
numbers shifted to be positive and padded with zeros, floats as the digits of their bits in rising order, dates and
times in ISO form, times in UTC. No text holds NUL, so the next text after `k` is `k` with `NEXT` behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from math import inf
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

KeyValue = str | int
SortValue = str | int | float | bool | date | datetime
Encoder = Callable[[Any], str]

SEPARATOR = "\x1f"
NEXT = "\x01"
LENGTH_MAX = 512
INT_MAX = 2**63
_BEYOND = chr(ord(SEPARATOR) + 1)
_WHOLE_FLOAT_MAX = 2**53
_SIGN, _ALL = 1 << 63, (1 << 64) - 1


class KeyForm(msgspec.Struct, frozen=True):
    """How a partition value and a sort value, if there is one, become one text; ValueError where they cannot."""

    partition: Encoder
    sort: Encoder | None = None

    def text(self, partition: Any, sort: Any = None) -> str:
        """The key of these values."""
        return self._prefix(partition) + SEPARATOR + (self.sort(sort) if self.sort else "")

    def bounds(self, partition: Any, after: Any, before: Any) -> tuple[str, str]:
        """The first text (included) and the last (excluded) of a partition's sort values after and before these."""
        prefix = self._prefix(partition)
        start, end = prefix + SEPARATOR, prefix + _BEYOND
        if after is not None:
            start += self._sorted(after) + NEXT
        if before is not None:
            end = prefix + SEPARATOR + self._sorted(before)
        return start, end

    def _prefix(self, value: Any) -> str:
        text = self.partition(value)
        if SEPARATOR in text:
            raise ValueError(f"a key that others are sorted under cannot hold U+001F, as {value!r:.80} does")
        return text

    def _sorted(self, value: Any) -> str:
        if self.sort is None:
            raise ValueError("there is no sort value to be before or after")
        return self.sort(value)


def encoder(hint: Any) -> Encoder | None:
    """How values of a field of this type are written; None where their order has no text. Optional types count."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return encoder(kinds[0]) if len(kinds) == 1 else None
    if get_origin(hint) is Literal:
        first, *others = map(type, get_args(hint))
        return encoder(first) if all(kind is first for kind in others) else None
    return _ENCODERS.get(hint)


def optional(hint: Any) -> bool:
    """Whether None is a value of this type."""
    return type(None) in get_args(hint)


def key_text(value: Any) -> str:
    """A key of one part: a text as it is, a whole number in digits; ValueError where it cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= LENGTH_MAX or "\0" in value:
        raise ValueError(f"a key is a whole number or a text of 1 to {LENGTH_MAX} characters, not {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LENGTH_MAX or "\0" in value:
        raise ValueError(f"expected a text of at most {LENGTH_MAX} characters without NUL, not {value!r:.80}")
    return value


def _flag(value: Any) -> str:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {value!r:.80}")  # noqa: TRY004 - one kind of refusal
    return str(int(value))


def _whole(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not -INT_MAX <= value < INT_MAX:
        raise ValueError(f"expected a whole number of 64 bits, not {value!r:.80}")
    return f"{value + INT_MAX:020}"


def _float(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -inf <= value <= inf:
        raise ValueError(f"expected a number, not {value!r:.80}")
    if isinstance(value, int) and abs(value) > _WHOLE_FLOAT_MAX:
        raise ValueError(f"a float cannot tell {value!r:.80} from its neighbours")
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # -0.0 and 0.0 are one value
    return f"{bits ^ (_ALL if bits & _SIGN else _SIGN):016x}"


def _moment(value: Any) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"expected a time with its time zone, not {value!r:.80}")
    try:
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:
        raise ValueError(f"{value} is outside the years 1 to 9999 in UTC") from None


def _day(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError(f"expected a date, not {value!r:.80}")  # noqa: TRY004 - one kind of refusal
    return value.isoformat()


_ENCODERS: dict[Any, Encoder] = {
    str: _text,
    bool: _flag,
    int: _whole,
    float: _float,
    datetime: _moment,
    date: _day,
}
