"""Connections to the database: opened when first needed, given up when time runs out, replaced when they break.

Whoever waits is told in time, even where the network swallows everything: what is given up is cut off at its socket
and ends by itself. The server is never asked to cancel, because a COMMIT that waits for a replica would then be
acknowledged without it. What the driver or the database complains of ends here, as an error of Proa's without a
password in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast
from urllib.parse import quote

import msgspec
from psycopg import AsyncConnection, AsyncCursor, Error, OperationalError, ProgrammingError, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from proa.engines.queries import load_queries
from proa.errors import GlobalStoreUnreachable, StoreFull, StoreUnsafe, UsageError
from proa.ports import Clock, Entropy

logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it warns of is raised here, in words of our own
T = TypeVar("T")
Connection = AsyncConnection[tuple[Any, ...]]
Cursor = AsyncCursor[tuple[Any, ...]]
Work = Callable[[Connection], Awaitable[T]]
SQL: dict[str, str] = load_queries(Path(__file__).with_name("queries.sql"))
SCHEMES = ("postgresql://", "postgres://")
SETTINGS = {
    "statement_timeout": "0",  # a COMMIT that it cut short would be acknowledged before its replica has it
    "lock_timeout": "500ms",
    "idle_in_transaction_session_timeout": "1s",  # a process that stands still must not keep the counters for itself
}
READING = SETTINGS | {"statement_timeout": "2s"}
"""Of sessions that commit nothing: a question that nobody waits for any more comes to its end."""

TRIES = 3
RETRY_PAUSE_S = 0.02
LEFT_WITHIN_S = 1.0
PASSING = {"08", "25", "40", "53", "55", "57"}
"""The classes of errors after which the same may succeed: connections, transactions, resources, locks, shutdowns."""


Place = tuple[str, int]
"""A host and a port."""


class Address(msgspec.Struct, frozen=True):
    """Where the database is: what the driver is told, what may be shown of it, and the password that may not.

    `place` is where it listens, if that is one place of the network.
    """

    conninfo: str
    shown: str
    password: str
    place: Place | None

    def clean(self, text: str) -> str:
        """What somebody says, on one line and without the password."""
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, "***")
        return " ".join(text.split())


def address_of(url: str, via: Place | None = None) -> Address:
    """The database at a URL, reached by way of somebody who passes on what is said, if that is given.

    Raises:
        UsageError: it is no URL of a database.
    """
    try:
        given = conninfo_to_dict(url) if url.startswith(SCHEMES) else {}
    except ProgrammingError:
        given = {}  # what the driver says of it may be a piece of the password
    if not given or _misread(given):
        raise UsageError(
            "the global store is given as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "with what is special in the password percent-encoded"
        )
    told = {"application_name": "proa", "target_session_attrs": "read-write", "client_encoding": "UTF8"} | given
    if via:
        told |= {"hostaddr": via[0], "port": via[1]}  # the host is still whose certificate is asked for
    host, port = str(given.get("host") or "localhost"), str(given.get("port") or 5432)
    place = (host, int(port)) if port.isdigit() and "," not in host and not host.startswith("/") else None
    password = str(given.get("password") or os.environ.get("PGPASSWORD") or "")
    return Address(make_conninfo("", **told), f"{host}:{port}/{given.get('dbname') or ''}", password, place)


def _misread(given: Mapping[str, Any]) -> bool:
    """Whether a slash or an @ in the password led to a piece of it being taken for something that is shown."""
    places = f"{given.get('host', '')}{given.get('dbname', '')}"
    return "@" in places or not str(given.get("port", "0")).replace(",", "").isdigit()


class Away(GlobalStoreUnreachable):
    """The database did not do it, and may do so in a moment."""


class Refused(GlobalStoreUnreachable):
    """The database cannot do this, or not for this user."""


class Patience:
    """How long a call may take, and what lies between two tries of it."""

    def __init__(self, clock: Clock, entropy: Entropy, timeout_s: float) -> None:
        self._clock = clock
        self._entropy = entropy
        self._timeout_s = timeout_s

    async def bounded(self, call: Awaitable[T]) -> T:
        """What the call returns, in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except TimeoutError:
            raise Away(f"the database did not answer within {self._timeout_s:g} s") from None

    async def pause(self) -> None:
        """Let others go first, each for another time."""
        await self._clock.sleep(RETRY_PAUSE_S * (0.5 + self._entropy.random()))


class Line:
    """One connection, used by one task at a time."""

    def __init__(self, address: Address, settings: Mapping[str, str] = SETTINGS) -> None:
        self._address = address
        self._settings = settings
        self._idle: Connection | None = None
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, work: Work[T]) -> T:
        """What `work` returns. Whoever is cancelled waits no longer; the connection is given up with what it did.

        Raises:
            GlobalStoreUnreachable: the database is out of reach or refused it; `Away` where trying again may help.
            StoreFull: it has no room.
        """
        used: list[Connection] = []
        task = asyncio.ensure_future(self._on_connection(work, used))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._give_up(task, used)
            raise
        except (Error, OSError) as error:
            raise translated(error, self._address) from None  # the driver's own might tell what must not be told

    async def close(self) -> None:
        """Close the connection; those that were given up are about to end."""
        if self._left:
            await asyncio.wait(self._left, timeout=LEFT_WITHIN_S)
        if self._idle:
            await self._idle.close()

    async def _on_connection(self, work: Work[T], used: list[Connection]) -> T:
        connection, self._idle = self._idle or await opened(self._address, self._settings), None
        used.append(connection)
        try:
            result = await work(connection)
        except BaseException:
            await connection.close()  # in whatever state it is: nothing of it goes on
            raise
        if used:
            self._idle = connection
        else:  # given up meanwhile
            await connection.close()
        return result

    def _give_up(self, task: asyncio.Task[Any], used: list[Connection]) -> None:
        """End a task without a word to the server."""
        if used:
            _cut(used.pop())
        else:
            task.cancel()
        self._left.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it any more


class Lines:
    """Some connections for those who only read."""

    def __init__(self, address: Address, count: int) -> None:
        self._all = [Line(address, READING) for _ in range(count)]
        self._free = list(self._all)
        self._slots = asyncio.Semaphore(count)

    async def run(self, work: Work[T]) -> T:
        """The same as a line's, once one is free."""
        async with self._slots:
            line = self._free.pop()
            try:
                return await line.run(work)
            finally:
                self._free.append(line)

    async def close(self) -> None:
        """Close them all."""
        for line in self._all:
            await line.close()


async def opened(address: Address, settings: Mapping[str, str]) -> Connection:
    """A new connection, with what every session needs; its transactions begin and end by statements of their own."""
    connection = await AsyncConnection.connect(address.conninfo, autocommit=True)
    try:
        await _set_up(connection, address, settings)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _set_up(connection: Connection, address: Address, settings: Mapping[str, str]) -> None:
    """Acknowledge nothing that is not durable, and hold up nobody for long."""
    found = dict(await fetched(connection, "settings"))
    if found.get("fsync") == "off":
        raise StoreUnsafe(f"{address.shown} runs with fsync=off")
    lax = {"synchronous_commit": "on"} if found.get("synchronous_commit") == "off" else {}
    async with pipelined(connection):
        for name, value in {**settings, **lax}.items():
            await execute(connection, "set", (name, value))


async def execute(connection: Connection, name: str, given: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
    """Run the statement of this name."""
    return await connection.execute(cast("LiteralString", SQL[name]), given, binary=True)


async def fetched(connection: Connection, name: str, given: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """The rows that the statement of this name returns."""
    return await (await execute(connection, name, given)).fetchall()


def pipelined(connection: Connection) -> AbstractAsyncContextManager[Any]:
    """Send the statements of a block together: one round trip, whatever their number. Rows are there at its end."""
    return connection.pipeline()


def translated(error: Exception, address: Address) -> Exception:
    """What the driver says, as the error that says what to do."""
    said = address.clean(str(error)) or type(error).__name__
    if isinstance(error, errors.DiskFull):
        return StoreFull(f"{address.shown}: {said}")
    state = error.sqlstate if isinstance(error, Error) else None
    passing = state[:2] in PASSING if state else isinstance(error, (OperationalError, OSError))
    return (Away if passing else Refused)(f"{address.shown}: {said}")


def _cut(connection: Connection) -> None:
    """Shut its socket down: whoever waits on it sees the end of the stream."""
    if connection.closed:
        return
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as doubled:
        doubled.shutdown(socket.SHUT_RDWR)
