"""What queues and events share: a name, bodies of one type that stores keep as bytes, and who may hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from proa.core.residency import part
from proa.declare.codec import RowCodec
from proa.errors import DeclarationError, MessageTooLarge

T = TypeVar("T")
MESSAGE_BYTES_MAX = 256_000


def verify_name(what: str, name: str) -> None:
    """Refuse a name that could not stand in a key, a metric or an address.

    Raises:
        DeclarationError: it is not made of identifiers and dots.
    """
    if not all(each.isidentifier() for each in name.split(".")):
        raise DeclarationError(f"{what} name {name!r} must be identifiers (letters, digits, underscore) and dots")


class Bodies(Generic[T]):
    """Bodies of type `kind`, sent under a name. `residency` are the regions that may hold them; empty: all."""

    what: ClassVar[str]
    """How errors call whatever takes the bodies."""

    def __init__(self, name: str, kind: type[T], residency: Sequence[str]) -> None:
        verify_name(self.what, name)
        self.name = name
        self.kind = kind
        self.residency = tuple(sorted(set(residency)))
        self._codec = RowCodec(kind)

    def part_of(self, table: str) -> str:
        """The part of a table that those regions hold; all of it where all may."""
        return part(table, self.residency) if self.residency else table

    def encoded(self, body: T) -> bytes:
        """A body as stores keep it.

        Raises:
            MessageTooLarge: it is larger than they do.
        """
        if not isinstance(body, self.kind):
            raise TypeError(f"{self.what} {self.name} takes {self.kind.__name__}, not {type(body).__name__}")
        data = self._codec.encode(body)
        if len(data) > MESSAGE_BYTES_MAX:
            raise MessageTooLarge(
                f"a body of {self.what} {self.name} has {len(data):,} bytes; at most {MESSAGE_BYTES_MAX:,} fit. "
                "Keep what is large in a table, and send its key"
            )
        return data

    def decode(self, data: bytes) -> T:
        """The body that stores keep as these bytes."""
        return self._codec.decode(data)
