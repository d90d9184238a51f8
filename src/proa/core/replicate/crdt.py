"""Fields that merge by themselves: counters, a set, registers. Each is a bag of entries under the dots of commits.

An entry is an (origin, sequence, payload): what the commit with that dot put there. A change that is not committed yet
stands under the empty dot; the store puts the commit's own dot in its place. So a dot is used once, also when the row
was deleted and made again, or its region lost its disk.

The row's version vector tells which commits a state had seen. Of two concurrent states an entry that one of them lacks
stays only if that one had not seen its commit; else it was taken away on purpose. This is the join of causal CRDTs
(Almeida, Shoker, Baquero: "Delta State Replicated Data Types", 2018), in which the set is the optimized observed-remove
set without tombstones (Bieniusa et al. 2012) and the counters keep one running total for each origin (Shapiro et al.
2011).

Rows keep a field as a msgpack extension, which tells its kind; clients see the plain value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from proa.core.replicate.stamp import Origin, Versions

T = TypeVar("T")
MARK = "~"
"""The key under which a row keeps what is not a field of the author's."""
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Entry(NamedTuple):
    """What one commit put into a field. The empty origin is that of a commit to come."""

    origin: str
    seq: int
    payload: Any


_decode_entries = msgspec.msgpack.Decoder(list[Entry]).decode


class State(NamedTuple):
    """A field's entries, and the commits that had been seen when they were all there is."""

    entries: Sequence[Entry]
    seen: Versions


class Field:
    """What all field types share."""

    code: ClassVar[int]
    schema: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    @property
    def plain(self) -> Any:
        """The value as clients see it."""
        raise NotImplementedError

    @classmethod
    def from_plain(cls, plain: Any, kind: Any) -> Field:
        """A field that a client gave whole; `kind` is its declared type. TypeError or ValueError where it cannot be."""
        raise NotImplementedError

    @classmethod
    def of(cls, entries: list[Entry]) -> Field:
        """A field with these entries."""
        field = cls.__new__(cls)
        field.entries = entries
        return field

    @classmethod
    def committed(cls, entries: Sequence[Entry], dot: Entry) -> list[Entry]:
        """The entries once the changes in them are those of the commit with this dot; its payload is the stamp."""
        return [entry if entry.origin else Entry(dot.origin, dot.seq, entry.payload) for entry in entries]

    @classmethod
    def joined(cls, states: Sequence[State]) -> list[Entry]:
        """The entries that concurrent states make together."""
        held = [{_encode(entry): entry for entry in state.entries} for state in states]
        found = {name: entry for entries in held for name, entry in entries.items()}
        return [
            entry
            for name, entry in sorted(found.items())
            if all(name in ours or not _seen(state, entry) for ours, state in zip(held, states, strict=True))
        ]

    def put(self, payload: Any) -> None:
        """Add an entry of the commit to come."""
        self.entries.append(Entry("", 0, payload))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.entries == other.entries

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.plain!r})"


def _seen(state: State, entry: Entry) -> bool:
    return state.seen.get(entry.origin, 0) >= entry.seq


class GrowCounter(Field):
    """A count that only grows. What regions add at the same time is added up."""

    code = 1
    schema: ClassVar[Mapping[str, Any]] = {"type": "integer"}

    def __init__(self, value: int = 0) -> None:
        super().__init__()
        if value:
            self.add(value)

    @property
    def value(self) -> int:
        """What was added, by all."""
        return sum(entry.payload for entry in self.entries)

    def add(self, amount: int = 1) -> None:
        """Count `amount` more; ValueError below zero."""
        if amount < 0:
            raise ValueError(f"a GrowCounter only grows; {amount} needs a Counter")
        self._change(amount)

    def _change(self, amount: int) -> None:
        pending = sum(entry.payload for entry in self.entries if not entry.origin)
        self.entries = [entry for entry in self.entries if entry.origin]
        self.put(pending + amount)

    @property
    def plain(self) -> int:
        return self.value

    @classmethod
    def from_plain(cls, plain: Any, kind: Any) -> Field:  # noqa: ARG003 - of all kinds the same
        return cls(msgspec.convert(plain, int))

    @classmethod
    def committed(cls, entries: Sequence[Entry], dot: Entry) -> list[Entry]:
        """An origin has one entry, its running total: the change goes into it."""
        if all(entry.origin for entry in entries):
            return list(entries)
        own = sum(entry.payload for entry in entries if entry.origin in ("", dot.origin))
        return [*(entry for entry in entries if entry.origin not in ("", dot.origin)), Entry(dot.origin, dot.seq, own)]

    def __int__(self) -> int:
        return self.value


class Counter(GrowCounter):
    """A count that goes up and down. What regions add and subtract at the same time is added up."""

    code = 2

    def add(self, amount: int = 1) -> None:
        """Count `amount` more, or less where it is negative."""
        self._change(amount)

    def subtract(self, amount: int = 1) -> None:
        """Count `amount` less."""
        self._change(-amount)


class AddWinsSet(Field, Generic[T]):
    """A set. Of a region that adds an element and one that removes it at the same time, the one that adds it wins."""

    code = 3
    schema: ClassVar[Mapping[str, Any]] = {"type": "array"}

    def __init__(self, elements: Iterable[T] = ()) -> None:
        super().__init__()
        for element in elements:
            self.add(element)

    def add(self, element: T) -> None:
        """Put an element in. One that is there is added anew, so that removing it elsewhere does not count."""
        self.discard(element)
        self.put(element)

    def discard(self, element: T) -> None:
        """Take an element out, if it is there."""
        self.entries = [entry for entry in self.entries if entry.payload != element]

    def __contains__(self, element: object) -> bool:
        return any(entry.payload == element for entry in self.entries)

    def __iter__(self) -> Iterator[T]:
        """Each element once, in an order that is the same in every region."""
        return iter(self.plain)

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def plain(self) -> list[T]:
        return _distinct([entry.payload for entry in self.entries])

    @classmethod
    def from_plain(cls, plain: Any, kind: Any) -> Field:
        return cls(msgspec.convert(plain, list[_inner(kind)]))


class MultiValue(Field, Generic[T]):
    """A value that keeps all of what regions set at the same time, until somebody who saw them sets one."""

    code = 4
    schema: ClassVar[Mapping[str, Any]] = {"type": "array"}

    def __init__(self, *values: T) -> None:
        super().__init__()
        for value in values:
            self.put(value)

    @property
    def values(self) -> list[T]:
        """What was set last: one value, or several that were set at the same time; none before the first."""
        return self.plain

    def set(self, value: T) -> None:
        """Put `value` in place of all that there are."""
        self.entries = []
        self.put(value)

    @property
    def plain(self) -> list[T]:
        return _distinct([entry.payload for entry in self.entries])

    @classmethod
    def from_plain(cls, plain: Any, kind: Any) -> Field:
        return cls(*msgspec.convert(plain, list[_inner(kind)]))


class Register(Field, Generic[T]):
    """A value of its own: of two that regions set at the same time the later stays, whatever other fields do."""

    code = 5

    def __init__(self, value: T) -> None:
        super().__init__()
        self.set(value)

    @property
    def value(self) -> T:
        """What was set last."""
        return max(self.entries, key=_time).payload[1]

    def set(self, value: T) -> None:
        """Put `value` in place of what there is."""
        self.entries = []
        self.put((_LAST, value))

    @property
    def plain(self) -> T:
        return self.value

    @classmethod
    def from_plain(cls, plain: Any, kind: Any) -> Field:
        return cls(msgspec.convert(plain, _inner(kind)))

    @classmethod
    def committed(cls, entries: Sequence[Entry], dot: Entry) -> list[Entry]:
        """Each value keeps the stamp of the commit that set it."""
        stamped = [
            entry if entry.origin else entry._replace(payload=(dot.payload, entry.payload[1])) for entry in entries
        ]
        return super().committed(stamped, dot)

    @classmethod
    def joined(cls, states: Sequence[State]) -> list[Entry]:
        """A register always has a value: where states took each other's away, the latest of all stays."""
        every = [entry for state in states for entry in state.entries]
        return super().joined(states) or [max(every, key=_time)]


_LAST = 2**63 - 1
"""The stamp of a value that is not committed yet: later than all that are."""


def _time(entry: Entry) -> tuple[int, Origin | None]:
    """The last-writer order of a register's entries."""
    return (entry.payload[0], Origin.parse(entry.origin) if entry.origin else None)


def _inner(kind: Any) -> Any:
    """What a field's declared type says of its values."""
    return (get_args(kind) or (Any,))[0]


def _distinct(values: list[T]) -> list[T]:
    kept: list[T] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


KINDS: Mapping[int, type[Field]] = {
    kind.code: kind for kind in (GrowCounter, Counter, AddWinsSet, MultiValue, Register)
}


def field_type(hint: Any) -> type[Field] | None:
    """The field type that an annotation names, if it names one."""
    kind = get_origin(hint) or hint
    return kind if isinstance(kind, type) and issubclass(kind, Field) else None


# In and out of bytes: hooks for msgspec.


def to_state(value: Any) -> Any:
    """Encode a field as rows keep it."""
    if isinstance(value, Field):
        return msgspec.msgpack.Ext(value.code, _encode(value.entries))
    raise TypeError(f"a row cannot hold a {type(value).__name__}")


def to_plain(value: Any) -> Any:
    """Encode a field as clients see it."""
    if isinstance(value, Field):
        return value.plain
    raise TypeError(f"an answer cannot hold a {type(value).__name__}")


def from_state(kind: Any, value: Any) -> Any:
    """A field of the declared `kind` from what `from_extension` made of it; its payloads become what `kind` says.

    Anything else is given back, and msgspec refuses it.
    """
    found = field_type(kind)
    if found is type(value) and (payload := get_args(kind)):
        form = tuple[int, payload[0]] if found is Register else payload[0]
        value.entries = [entry._replace(payload=msgspec.convert(entry.payload, form)) for entry in value.entries]
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """A field of the declared `kind` from what a client sent."""
    found = field_type(kind)
    return found.from_plain(value, kind) if found else value


def plain_schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a field as clients see it; its title tells the kind."""
    found = field_type(kind)
    if found is None:
        raise NotImplementedError(f"no schema is known for {kind}")
    return {"title": found.__name__, **found.schema}


def from_extension(code: int, data: memoryview) -> Field:
    """A field as a row keeps it, its payloads as plain values."""
    return KINDS[code].of(_decode_entries(data))


_decode_row = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=from_extension).decode
_encode_row = msgspec.msgpack.Encoder(enc_hook=to_state).encode


def read_fields(value: bytes) -> dict[str, Any]:
    """A row's fields by name, its merging ones as `Field`, without what a merge keeps beside them."""
    fields = _decode_row(value)
    fields.pop(MARK, None)
    return fields


def write_fields(fields: Mapping[str, Any]) -> bytes:
    """The inverse of `read_fields`."""
    return _encode_row(fields)


def plain_fields(value: bytes) -> dict[str, Any]:
    """A row as clients see it."""
    return {name: field.plain if isinstance(field, Field) else field for name, field in read_fields(value).items()}
