"""Change streams: a handler that is told of every change of a table, in the order in which a region made them.

`@orders.changes` declares one. The region in which a row was written tells its own changes, a stand-in those of a
region that is lost; what the handler writes and how far the stream has come are one commit. So each change takes effect
once, whatever fails in between. Between the changes of two regions there is no order.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from proa.errors import DeclarationError

if TYPE_CHECKING:
    from proa.declare.tables import BaseTable, StreamOptions

T = TypeVar("T")
Start = Literal["now", "beginning"]
BATCH = 100
TIMEOUT_S = 10.0


class Change(msgspec.Struct, Generic[T], frozen=True):
    """One row as a commit left it: `row` is None where it was deleted.

    `region` and `unit` are those that wrote it, `at` when (seconds since 1970); `key` is its key as the store has it.
    `unit` is empty for a row of which the journal has no commit any more.
    """

    key: str
    row: T | None
    region: str
    unit: str
    at: float

    @property
    def deleted(self) -> bool:
        """Whether the row was deleted."""
        return self.row is None


Handler = Callable[[Change[T]], Awaitable[Any]]
Reset = Callable[[str], Awaitable[Any]]
ResetT = TypeVar("ResetT", bound=Reset)


class Stream(Generic[T]):
    """A declared stream. Up to `batch` changes share one commit of the handler, which has `timeout_s` for them."""

    def __init__(
        self, table: BaseTable[T], name: str, handler: Handler[T], *, start: Start, batch: int, timeout_s: float
    ) -> None:
        if table.mode == "strong":
            raise DeclarationError(f"stream {name}: rows of strong table {table.name} are in no region's journal")
        if not inspect.iscoroutinefunction(handler) or len(inspect.signature(handler).parameters) != 1:
            raise DeclarationError(f"stream {name}: the handler is an `async def` with one parameter, a Change")
        if start not in ("now", "beginning"):
            raise DeclarationError(f"stream {name}: start is `now` or `beginning`, not {start!r}")
        if batch < 1 or timeout_s <= 0:
            raise DeclarationError(f"stream {name}: batch and timeout_s must be positive, got {batch}, {timeout_s:g}")
        self.table = table
        self.name = name
        self.handler = handler
        self.start: Start = start
        self.batch = batch
        self.timeout_s = timeout_s
        self.reset_handler: Reset | None = None

    def reset(self, handler: ResetT, /) -> ResetT:
        """Declare how everything is cleared that the stream made of the changes of one region, whose name it is given.

        It runs, as a unit, in the commit that sets the stream back to the beginning of that region's changes.

        Raises:
            DeclarationError: there is one already, or it cannot be called so.
        """
        if self.reset_handler is not None:
            raise DeclarationError(f"stream {self.name} has two reset handlers")
        if not inspect.iscoroutinefunction(handler) or len(inspect.signature(handler).parameters) != 1:
            raise DeclarationError(f"stream {self.name}: reset is an `async def` with one parameter, a region's name")
        self.reset_handler = handler
        return handler


def declared(table: BaseTable[T], handler: Handler[T], options: StreamOptions) -> Stream[T]:
    """A stream on a table, kept there under its name: that of the handler unless another one is given.

    Raises:
        DeclarationError: it cannot work, or the table has one of this name.
    """
    name = options.get("name") or f"{table.name}.{handler.__name__}"
    if name in table.streams:
        raise DeclarationError(f"stream {name} is declared twice")
    table.streams[name] = Stream(
        table,
        name,
        handler,
        start=options.get("start", "now"),
        batch=options.get("batch", BATCH),
        timeout_s=options.get("timeout_s", TIMEOUT_S),
    )
    return table.streams[name]
