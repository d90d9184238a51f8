"""The relay: distance, and a blackout that nobody can tell from a region without power."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from proa.chaos.relay import Command, Relay, Route
from proa.runtime.config import Address
from support.ports import free_port


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def relayed(delay_s: float = 0.0) -> AsyncIterator[tuple[Relay, int, asyncio.Server]]:
    """A relay of caller `a` to an echo server `b`."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    port = free_port()
    relay = Relay([Route("a", "b", Address("127.0.0.1", port), target, delay_s)])
    relay.start()
    try:
        yield relay, port, server
    finally:
        relay.stop()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)  # the loop closes the dropped connections' sockets


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


async def silence(reader: asyncio.StreamReader, for_s: float = 0.2) -> bool:
    """Whether nothing at all is heard: no byte, no FIN, no RST."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), for_s)
        return False
    return True


def test_bytes_arrive_in_order_and_whole():
    async def main() -> None:
        async with relayed(delay_s=0.005) as (_, port, _server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            payload = b"".join(i.to_bytes(4, "big") for i in range(500_000))
            writer.write(payload)
            assert await asyncio.wait_for(reader.readexactly(len(payload)), 20) == payload
            writer.close()

    asyncio.run(main())


def test_a_round_trip_takes_twice_the_delay():
    async def main() -> None:
        async with relayed(delay_s=0.04) as (_, port, _server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, b"warm")
            began = time.monotonic()
            await ask(reader, writer, b"ping")
            took = time.monotonic() - began
            assert 0.08 <= took < 0.25
            writer.close()

    asyncio.run(main())


def test_in_a_blackout_an_open_connection_hears_nothing_and_is_dropped_only_after_it():
    async def main() -> None:
        async with relayed() as (relay, port, _server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await ask(reader, writer, b"before") == b"before"
            relay.perform(Command("blackout", "b"))
            writer.write(b"lost")
            assert await silence(reader)
            relay.perform(Command("heal", "b"))
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(1), 5)
            writer.close()

    asyncio.run(main())


def test_a_connection_that_lost_no_byte_goes_on_after_the_blackout():
    async def main() -> None:
        async with relayed() as (relay, port, _server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, b"before")
            relay.perform(Command("blackout", "a"))
            relay.perform(Command("heal", "a"))
            assert await ask(reader, writer, b"after") == b"after"
            writer.close()

    asyncio.run(main())


def test_in_a_blackout_a_new_connection_is_neither_refused_nor_answered():
    async def main() -> None:
        async with relayed() as (relay, port, _server):
            relay.perform(Command("blackout", "b"))
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 5)
            writer.write(b"hello")
            assert await silence(reader)
            relay.perform(Command("heal", "b"))
            assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
            writer.close()

    asyncio.run(main())


def test_the_end_of_the_target_is_hidden_by_a_blackout():
    async def main() -> None:
        async with relayed() as (relay, port, server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, b"before")
            relay.perform(Command("blackout", "b"))
            server.close()
            relay.perform(Command("close", "b"))
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
            assert await silence(reader)
            assert await silence(late_reader)
            writer.close()
            late_writer.close()

    asyncio.run(main())


def test_a_target_whose_process_is_gone_refuses_until_it_is_back():
    async def main() -> None:
        async with relayed() as (relay, port, _server):
            relay.perform(Command("close", "b"))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            relay.perform(Command("open", "b"))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await ask(reader, writer, b"back") == b"back"
            writer.close()

    asyncio.run(main())


def test_a_close_by_the_target_reaches_the_caller():
    async def main() -> None:
        async with relayed(delay_s=0.01) as (_, port, _server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, b"x")
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(1), 5) == b""
            writer.close()

    asyncio.run(main())
