"""What an author learns of a key that two regions used at once, each finishing it for itself, and may do about it.

A regional unit cannot know that another region runs the same request. Where both committed, the regions keep the
earlier unit's answer for the key and list the pair. `on_duplicate` of the route hands the pair to a function of the
author's, which takes the second effect back, books it elsewhere, or tells somebody.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from proa.declare.context import Context
from proa.errors import DeclarationError

T = TypeVar("T")


class Finished(msgspec.Struct, frozen=True):
    """One of the units: the region that ran it, when (seconds since 1970), and what it answered."""

    unit: str
    region: str
    at: float
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def read(self, kind: type[T]) -> T:
        """The answer's JSON as `kind`.

        Raises:
            msgspec.ValidationError: it is not of that type.
        """
        return msgspec.json.decode(self.body, type=kind)


class Duplicate(msgspec.Struct, frozen=True):
    """A key under which two units took effect. Repeats of the request are answered as `kept` was; `other` came later.

    `same_payload` is false where the two requests differed. `found_at` is when this region learned of it.
    """

    route: str
    key: str
    kept: Finished
    other: Finished
    same_payload: bool
    found_at: float


OnDuplicate = Callable[[Duplicate, Context], Awaitable[Any]]


def check_handler(scope: str, idempotent: object, handler: OnDuplicate) -> OnDuplicate:
    """`handler` itself, if it can be called with a duplicate and a context; DeclarationError where it cannot."""
    if not idempotent:
        raise DeclarationError(f"{scope}: on_duplicate needs an Idempotency-Key; declare idempotent=True")
    parameters = inspect.signature(handler).parameters
    if not inspect.iscoroutinefunction(handler) or len(parameters) != 2:
        raise DeclarationError(
            f"{scope}: on_duplicate is an `async def` with two parameters, a Duplicate and a Context"
        )
    return handler
