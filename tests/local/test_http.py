"""The HTTP port: what it takes from slow, endless and vanishing clients, over real sockets."""

import asyncio
import time

import pytest
import uvicorn

from proa import App
from proa.declare.http import Answer
from proa.local.http import http_server
from proa.observe.hub import Hub
from proa.runtime.admission import Admission, read_body
from proa.runtime.config import Address
from proa.runtime.events import ClientGone
from proa.runtime.gateway import Gateway
from proa.runtime.router import Router
from support.ports import free_port


class Served:
    """A gateway on a port, whose handler waits until it is let go."""

    def __init__(self, *, body_timeout_s=5.0, head_timeout_s=5.0, max_head_bytes=2000):
        self.app = App("shop", regions=["eu"])
        self.app.limits(body_timeout_s=body_timeout_s, head_timeout_s=head_timeout_s, max_head_bytes=max_head_bytes)

        @self.app.post("/orders")
        async def create() -> None: ...

        self.events, self.cancelled = [], asyncio.Event()
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.recallable = True
        self.port = free_port()

    async def invoke(self, _route, request, _path):
        request.recallable = self.recallable
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Answer(200, [], request.body)

    async def __aenter__(self):
        hub = Hub()
        hub.subscribe(self.events.append)
        routes = self.app.routes
        makers = {"body": lambda _: read_body}
        admission = Admission(Router(routes), routes, self.invoke, makers, hub, serving=lambda: True)
        gateway = Gateway(self.app, "eu", admission, {})
        self._server = http_server(gateway, Address("127.0.0.1", self.port), self.app.front)
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_):
        self.go.set()
        await self._server.__aexit__(None, None, None)

    async def connect(self):
        return await asyncio.open_connection("127.0.0.1", self.port)


def run(scenario, **options):
    async def main():
        async with Served(**options) as served:
            return await asyncio.wait_for(scenario(served), 10)

    return asyncio.run(main())


def test_a_port_that_nobody_uses_costs_nothing(monkeypatch):
    looks, tick = [], uvicorn.Server.on_tick

    async def counted(server, number):
        looks.append(number)
        return await tick(server, number)

    async def scenario(_):
        await asyncio.sleep(0.35)
        return len(looks)

    monkeypatch.setattr(uvicorn.Server, "on_tick", counted)
    assert run(scenario) == 1


HEAD = b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


def test_a_client_that_goes_away_stops_the_handler_that_works_for_it():
    async def scenario(served):
        _, writer = await served.connect()
        writer.write(HEAD + b"abcd")
        await served.begun.wait()
        writer.close()
        await served.cancelled.wait()
        while not served.events:
            await asyncio.sleep(0.01)
        return served.events

    assert run(scenario) == [ClientGone("POST /orders")]


def test_a_unit_that_may_have_done_something_is_finished_although_nobody_waits():
    async def scenario(served):
        served.recallable = False
        _, writer = await served.connect()
        writer.write(HEAD + b"abcd")
        await served.begun.wait()
        writer.close()
        reader, writer = await served.connect()  # by the time that this one is answered the other end was noticed
        writer.write(HEAD + b"abcd")
        served.go.set()
        await reader.readuntil(b"abcd")
        writer.close()
        return served.cancelled.is_set(), served.events

    assert run(scenario) == (False, [])


@pytest.mark.parametrize("sent", [b"", HEAD[:-2]], ids=["nothing", "no end"])
def test_a_head_that_does_not_come_is_cut_off(sent):
    async def scenario(served):
        reader, writer = await served.connect()
        writer.write(sent)
        began = time.monotonic()
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n")[0], time.monotonic() - began < 2

    assert run(scenario, head_timeout_s=0.2) == (b"HTTP/1.1 408 Request Timeout", True)


def test_the_head_of_a_later_request_on_a_connection_is_bounded_too():
    async def scenario(served):
        served.go.set()
        reader, writer = await served.connect()
        writer.write(HEAD + b"abcd")
        await reader.readuntil(b"abcd")
        writer.write(HEAD[:-2])
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n")[0]

    assert run(scenario, head_timeout_s=0.2) == b"HTTP/1.1 408 Request Timeout"


def test_a_body_that_does_not_come_is_answered_408():
    async def scenario(served):
        reader, writer = await served.connect()
        writer.write(HEAD + b"ab")
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        return answer, served.begun.is_set()

    assert run(scenario, body_timeout_s=0.2) == (b"HTTP/1.1 408 Request Timeout\r\n", False)


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "endless"])
def test_a_head_that_is_too_large_is_answered_431(ended):
    async def scenario(served):
        reader, writer = await served.connect()
        writer.write(b"POST /orders HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 3000 + (b"\r\n\r\n" if ended else b""))
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        return answer

    assert run(scenario) == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


def test_many_slow_heads_hold_up_nobody_else():
    async def scenario(served):
        served.go.set()
        slow = [await served.connect() for _ in range(200)]
        for _, writer in slow:
            writer.write(HEAD[:-2])
        reader, writer = await served.connect()
        writer.write(HEAD + b"abcd")
        await reader.readuntil(b"abcd")
        ends = await asyncio.gather(*(reader.read() for reader, _ in slow))
        for _, other in [*slow, (None, writer)]:
            other.close()
        return {end.split(b"\r\n")[0] for end in ends}

    assert run(scenario, head_timeout_s=0.3) == {b"HTTP/1.1 408 Request Timeout"}


def test_an_answer_does_not_wait_until_the_client_has_acknowledged_its_head():
    """A client that acknowledges late does so after 40 ms; that would be each answer on a connection but the first."""

    async def scenario(served):
        served.go.set()
        reader, writer = await served.connect()
        took = []
        for _ in range(8):
            began = time.monotonic()
            writer.write(HEAD + b"[12]")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(4)
            took.append(time.monotonic() - began)
        writer.close()
        return took

    assert min(run(scenario)[1:]) < 0.03
