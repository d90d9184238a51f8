"""The load process: fixed due times, honest latencies, repeated keys; against a small server in this process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from contextlib import asynccontextmanager

import msgspec
import pytest

from proa.chaos.launch import load_process
from proa.chaos.load import LoadPlan, Repeats, tick
from proa.chaos.records import Record
from proa.chaos.wire import HttpClient
from proa.chaos.workload import Request, drill_file, load_workload
from proa.errors import AppNotFound, DeclarationError, NodeFailed

WORKLOAD = """
from proa.chaos import workload
from proa.chaos.workload import Request

class Workload(workload.Workload):
    async def setup(self, send):
        self.prefix = (await send(Request("GET", "/prefix"))).decode()

    def request(self, number, rng):
        return Request("POST", "/things", b"{}", key=f"{self.prefix}-{number}-{rng.randrange(1000)}")

    def read_back(self, request, answer):
        return Request("GET", f"/things/{request.key}")
"""


class Server:
    """Answers every POST with its key; `stall` makes all of them wait."""

    def __init__(self):
        self.keys = []
        self.running = asyncio.Event()
        self.running.set()
        self.broken = False
        self.writers = []

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
                await reader.readexactly(int(headers.get("content-length", "0")))
                await self.running.wait()
                key = headers.get("idempotency-key", "p")
                if "idempotency-key" in headers:
                    self.keys.append(key)
                status = "503 Service Unavailable" if self.broken else "200 OK"
                answer = f"HTTP/1.1 {status}\r\nproa-region: r\r\ncontent-length: {len(key)}\r\n\r\n{key}"
                writer.write(answer.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)


@pytest.fixture
def workload(tmp_path):
    file = tmp_path / "drill.py"
    file.write_text(WORKLOAD)
    return file


def plan(workload, url, **options):
    defaults = {"rate": 200, "duration_s": 1, "seed": 7, "repeat_share": 0.3}
    return LoadPlan(str(workload), url, {"other": url}, records=str(workload.parent / "r"), **(defaults | options))


async def run(made, during=None):
    async with load_process(made, {}) as load:
        start = await load.go()
        if during:
            await during(load)
        ticks = [each async for each in load.ticks()]
        return start, ticks, load


@pytest.mark.processes
def test_every_request_has_its_due_time_and_some_keys_are_repeated(workload):
    async def main():
        server = Server()
        async with server.listening() as url:
            start, ticks, load = await run(plan(workload, url))
            return start, ticks, load.records(), load.cpu_s, server.keys

    start, ticks, records, cpu_s, keys = asyncio.run(main())
    kinds = Counter(record.kind for record in records)
    firsts = {record.number: record for record in records if record.kind in {"first", "abandoned"}}
    assert sorted(firsts) == list(range(200))
    assert [round(firsts[n].due - start, 6) for n in (0, 100, 199)] == [0, 0.5, 0.995]
    assert all(record.ok for record in records if record.kind != "abandoned")
    assert {"later", "at_once", "elsewhere"} < set(kinds)
    assert 30 < sum(kinds.values()) - kinds["first"] - kinds["abandoned"] < 100
    assert len(keys) >= len(records) - kinds["abandoned"]
    first = firsts[0]
    assert (first.region, first.read) == ("r", f"/things/{first.key}")
    assert first.digest == hashlib.blake2b(first.key.encode(), digest_size=8).digest()
    assert sum(each.failed for each in ticks) == 0
    assert 0 < cpu_s < 5


@pytest.mark.processes
def test_a_server_that_stands_still_is_charged_for_all_that_was_due(workload):
    async def stall(server, seconds):
        server.running.clear()
        await asyncio.sleep(seconds)
        server.running.set()

    async def main():
        server = Server()
        async with server.listening() as url:
            _, _, load = await run(plan(workload, url, repeat_share=0), lambda _: stall(server, 0.5))
            return load.records()

    latencies = sorted(record.latency_s for record in asyncio.run(main()))
    assert len(latencies) == 200
    # Due every 5 ms during half a second of standstill: about a hundred requests waited, evenly spread up to 0.5 s.
    assert 60 < sum(latency > 0.1 for latency in latencies) < 120
    assert latencies[-1] == pytest.approx(0.5, abs=0.2)


@pytest.mark.processes
def test_a_failed_request_is_not_repeated(workload):
    async def break_it(server):
        server.broken = True

    async def main():
        server = Server()
        async with server.listening() as url:
            _, _, load = await run(plan(workload, url, repeat_share=0), lambda _: break_it(server))
            return load.records(), server.keys

    records, keys = asyncio.run(main())
    assert sum(record.status == 503 for record in records) > 150
    assert len(keys) == len(set(keys)) == 200


@pytest.mark.processes
def test_a_stopped_load_keeps_what_it_remembers(workload):
    async def main():
        server = Server()
        async with server.listening() as url:
            _, _, load = await run(plan(workload, url, duration_s=60, repeat_share=0), lambda load: load.stop())
            return load.records()

    assert 0 < len(asyncio.run(main())) < 1000


@pytest.mark.processes
def test_a_workload_that_cannot_be_set_up_says_why(workload):
    async def main():
        server = Server()
        server.broken = True
        async with server.listening() as url:
            await run(plan(workload, url))

    with pytest.raises(NodeFailed, match="set-up: GET /prefix was answered 503"):
        asyncio.run(main())


@pytest.mark.processes
def test_a_load_process_ends_with_the_drill_that_started_it(workload):
    async def main():
        async with Server().listening() as url:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proa.chaos.load"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            process.stdin.write(msgspec.json.encode(plan(workload, url, duration_s=60)) + b"\ngo\n")
            while b"Started" not in await process.stdout.readline():
                pass
            process.stdin.close()
            return await asyncio.wait_for(process.wait(), 5)

    assert asyncio.run(main()) == 0


def test_the_seed_decides_which_keys_are_repeated_and_how():
    def stream(seed):
        repeats = Repeats(seed, 0.02)
        return [repeats.next() for _ in range(5000)]

    assert stream(1) == stream(1) != stream(2)
    repeated = [repeat for repeat in stream(1) if repeat]
    assert len(repeated) == pytest.approx(100, abs=40)
    assert {how for how, _ in repeated} == {"later", "at_once", "elsewhere", "after_timeout"}


def test_a_client_that_finds_no_server_gets_an_answer_that_says_so():
    async def main():
        async with Server().listening() as url:
            pass
        return await HttpClient(url).send(Request("GET", "/"), 1.0)

    answer = asyncio.run(main())
    assert (answer.status, answer.ok) == (0, False)
    assert answer.error.startswith("no connection")


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_ones():
    async def main():
        server = Server()
        async with server.listening() as url:
            client = HttpClient(url)
            server.running.clear()
            late = await client.send(Request("POST", "/", key="late"), 0.05)
            server.running.set()
            next_ = await client.send(Request("POST", "/", key="next"), 1.0)
            client.close()
            return late, next_

    late, next_ = asyncio.run(main())
    assert (late.status, late.error) == (0, "timed out")
    assert next_.body == b"next"


def test_the_figures_of_a_tick_leave_out_what_did_not_enter_through_the_edge():
    records = [Record(n, "first", "k", 0.0, 0.0, n / 1000, 200) for n in range(1, 101)]
    made = tick([*records, Record(0, "elsewhere", "k", 0.0, 0.0, 9.0, 503)], 5.0)
    assert (made.sent, made.ok, made.failed, made.p50_ms, made.p99_ms) == (100, 100, 0, 51.0, 100.0)


def test_a_workload_is_found_beside_the_app(workload):
    assert drill_file(str(workload.parent)) == workload.resolve()
    assert drill_file(str(workload.parent / "app.py")) == workload.resolve()
    assert json.dumps(load_workload(workload).counted) == "{}"


def test_an_app_without_a_workload_cannot_be_drilled(tmp_path):
    with pytest.raises(AppNotFound, match=r"there is no .*drill\.py"):
        drill_file(str(tmp_path))


def test_a_drill_file_without_a_workload_is_refused(tmp_path):
    (tmp_path / "drill.py").write_text("Workload = 3\n")
    with pytest.raises(DeclarationError, match="declares no class Workload"):
        load_workload(tmp_path / "drill.py")
