"""Links over real sockets: who may call, what is known when an answer is missing."""

import asyncio
import struct

import pytest

from proa.errors import LinkDown, LinkRefused, LinkTimeout, NotActive
from proa.runtime.config import Address
from proa.runtime.link import LinkServer, TcpLink
from support.inproc import SeededEntropy


async def echo(caller, payload):
    return [caller, payload]


async def hang(_caller, _payload):
    await asyncio.sleep(60)


async def refuse(_caller, _payload):
    raise NotActive("not here")


async def break_(_caller, _payload):
    return 1 / 0


METHODS = {"echo": echo, "hang": hang, "refuse": refuse, "break": break_}


def run(scenario, secret="s"):
    async def main():
        server = LinkServer("us", "s", METHODS)
        await server.start("127.0.0.1", 0)
        port = server._server.sockets[0].getsockname()[1]
        link = TcpLink("eu", secret, lambda _: Address("127.0.0.1", port), SeededEntropy())
        try:
            await scenario(link, server, port)
        finally:
            await link.close()
            await server.stop()

    asyncio.run(main())


def test_calls_are_multiplexed_over_one_connection():
    async def scenario(link, server, port):
        slow = asyncio.create_task(link.call("us", "hang", None, timeout_s=0.2))
        replies = await asyncio.gather(*(link.call("us", "echo", i) for i in range(50)))
        assert replies == [["eu", i] for i in range(50)]
        assert len(server.connections) == 1
        with pytest.raises(LinkTimeout, match="did not answer hang"):
            await slow

    run(scenario)


def test_a_large_payload_arrives_whole():
    async def scenario(link, server, port):
        blob = bytes(5_000_000)
        assert await link.call("us", "echo", blob, timeout_s=10) == ["eu", blob]

    run(scenario)


def test_an_error_of_the_other_node_keeps_its_class_and_a_defect_is_a_refusal():
    async def scenario(link, server, port):
        with pytest.raises(NotActive, match="not here"):
            await link.call("us", "refuse", None)
        with pytest.raises(LinkRefused, match="ZeroDivisionError"):
            await link.call("us", "break", None)
        with pytest.raises(LinkRefused, match="serves no method 'none'"):
            await link.call("us", "none", None)

    run(scenario)


def test_a_node_that_is_not_there_was_never_asked():
    async def scenario(link, server, port):
        await server.stop()
        with pytest.raises(LinkDown, match="cannot connect to us"):
            await link.call("us", "echo", 1)

    run(scenario)


def test_a_connection_lost_before_the_reply_leaves_the_outcome_unknown():
    async def scenario(link, server, port):
        call = asyncio.create_task(link.call("us", "hang", None, timeout_s=5))
        while not any(served._tasks for served in server.connections):
            await asyncio.sleep(0.001)
        await server.stop()
        with pytest.raises(LinkTimeout, match="lost before the reply"):
            await call

    run(scenario)


def test_a_wrong_secret_gets_no_answer():
    async def scenario(link, server, port):
        with pytest.raises(LinkTimeout):
            await link.call("us", "echo", 1)

    run(scenario, secret="guess")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1",
        struct.pack(">I", 1) + b"\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["a huge frame", "no msgpack", "no hello", "another protocol"],
)
def test_garbage_closes_the_connection_and_nothing_else(garbage):
    async def scenario(link, server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert await link.call("us", "echo", 1) == ["eu", 1]

    run(scenario)
