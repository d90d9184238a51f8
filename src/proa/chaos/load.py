"""The load process: an open loop of requests at fixed due times, as independent clients would send them.

The loop is open: a request is sent when it is due, however many are still unanswered, and its latency counts from the
due time. So a system that stands still is charged for every request that arrives meanwhile (no coordinated omission).
All enter through the edge, none is retried. A seeded 2 % of the keys is repeated on purpose, as clients do who are
nervous, who lost patience, or whose own proxy sent them to another region.

It runs as a process of its own (`python -m proa.chaos.load`), so that what drills a fault does not slow the load. Its
standard input is a `LoadPlan` in one line, then `go`, perhaps `stop`; its output is one message a line. When the input
ends, it ends.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Literal

import msgspec

from proa.chaos import records
from proa.chaos.records import Kind, Record
from proa.chaos.wire import Answer, HttpClient
from proa.chaos.workload import Request, Workload, load_workload
from proa.errors import NodeFailed

TICK_S = 0.5
SETUP_TRIES = 40
SETUP_PAUSE_S = 0.1
EXCERPT_BYTES = 500
GIVE_UP_S_MAX = 0.004
REPEAT_WITHIN_S = 0.05
Repeat = Literal["later", "at_once", "elsewhere", "after_timeout"]
REPEATS: tuple[Repeat, ...] = ("later", "at_once", "elsewhere", "after_timeout")


class LoadPlan(msgspec.Struct, frozen=True):
    """What to send where. `elsewhere` are the addresses of regions that take repeats directly."""

    workload: str
    edge_url: str
    elsewhere: dict[str, str]
    rate: float
    duration_s: float
    seed: int
    records: str
    repeat_share: float = 0.02
    timeout_s: float = 3.0


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Set up; waiting for `go`."""


class Started(msgspec.Struct, frozen=True, tag=True):
    """The first request is due at `at`."""

    at: float


class Tick(msgspec.Struct, frozen=True, tag=True):
    """What happened since the last tick."""

    at: float
    sent: int
    ok: int
    failed: int
    p50_ms: float
    p99_ms: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """All requests are over and the records are written. `cpu_s` is what the load process itself used."""

    cpu_s: float


class Broken(msgspec.Struct, frozen=True, tag=True):
    """The load could not be made."""

    detail: str


Message = Ready | Started | Tick | Done | Broken


class Repeats:
    """Which keys are repeated, how, and after what time: a stream of its own, so that it disturbs no other."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng = Random(f"repeats {seed}")  # noqa: S311 - a drill is repeated by its seed
        self._share = share

    def next(self) -> tuple[Repeat, float] | None:
        """For the next key: the way and the delay, or None (mostly)."""
        if self._rng.random() >= self._share:
            return None
        return self._rng.choice(REPEATS), self._rng.random()


class Load:
    """One run of a plan."""

    def __init__(self, plan: LoadPlan, workload: Workload, tell: Callable[[Message], None]) -> None:
        self._plan = plan
        self._workload = workload
        self._tell = tell
        self._edge = HttpClient(plan.edge_url)
        self._elsewhere = [HttpClient(url) for url in plan.elsewhere.values()]
        self._requests = Random(f"requests {plan.seed}")  # noqa: S311 - a drill is repeated by its seed
        self._repeats = Repeats(plan.seed, plan.repeat_share)
        self._records: list[Record] = []
        self._stopped = False
        self._wall = time.time() - time.monotonic()

    async def setup(self) -> None:
        """Let the workload prepare through the edge."""
        await self._workload.setup(self._send_until_ok)

    async def _send_until_ok(self, request: Request) -> bytes:
        answer = Answer(0)
        for _ in range(SETUP_TRIES):
            answer = await self._edge.send(request, self._plan.timeout_s)
            if answer.ok:
                return answer.body
            await asyncio.sleep(SETUP_PAUSE_S)
        detail = answer.error or answer.body.decode(errors="replace")
        raise NodeFailed(f"set-up: {request.method} {request.path} was answered {answer.status}: {detail}")

    async def run(self) -> list[Record]:
        """Send everything at its due time; returns when the last request is over."""
        start = self._now()
        self._tell(Started(start))
        ticker = asyncio.create_task(self._report())
        async with asyncio.TaskGroup() as group:
            for number in range(int(self._plan.rate * self._plan.duration_s)):
                due = start + number / self._plan.rate
                if (early := due - self._now()) > 0:
                    await asyncio.sleep(early)
                if self._stopped:
                    break
                group.create_task(self._issue(number, due))
        ticker.cancel()
        return self._records

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True

    def close(self) -> None:
        for client in (self._edge, *self._elsewhere):
            client.close()

    def _now(self) -> float:
        return self._wall + time.monotonic()

    async def _issue(self, number: int, due: float) -> None:
        request = self._workload.request(number, self._requests)
        repeat = self._repeats.next() if request.key else None
        if repeat is None:
            await self._attempt(number, "first", request, due)
        else:
            await self._issue_twice(number, request, due, *repeat)

    async def _issue_twice(self, number: int, request: Request, due: float, how: Repeat, delay: float) -> None:
        match how:
            case "at_once":
                first = self._attempt(number, "first", request, due)
                await asyncio.gather(first, self._attempt(number, "at_once", request, due))
            case "later":
                await self._attempt(number, "first", request, due)
                await self._repeat(number, "later", request, delay * REPEAT_WITHIN_S)
            case "elsewhere":
                first = self._attempt(number, "first", request, due)
                await asyncio.gather(first, self._repeat(number, "elsewhere", request, delay * REPEAT_WITHIN_S))
            case "after_timeout":
                await self._give_up(number, request, due, delay * GIVE_UP_S_MAX)

    async def _repeat(self, number: int, kind: Kind, request: Request, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._attempt(number, kind, request, self._now())

    async def _give_up(self, number: int, request: Request, due: float, patience_s: float) -> None:
        """A client that hangs up after `patience_s` and sends the key again; if it was answered in time, just again."""
        sent = self._now()
        answer = await self._edge.send(request, patience_s)
        kind: Kind = "first" if answer.status else "abandoned"
        self._remember(number, kind, request, due, sent, answer)
        await self._attempt(number, "later" if answer.status else "after_timeout", request, self._now())

    async def _attempt(self, number: int, kind: Kind, request: Request, due: float) -> None:
        client = self._edge
        if kind == "elsewhere":
            if not self._elsewhere:
                return
            client = self._elsewhere[number % len(self._elsewhere)]
        sent = self._now()
        answer = await client.send(request, self._plan.timeout_s)
        self._remember(number, kind, request, due, sent, answer)

    def _remember(self, number: int, kind: Kind, request: Request, due: float, sent: float, answer: Answer) -> None:
        end, headers = self._now(), answer.headers
        read = self._workload.read_back(request, answer.body) if answer.ok else None
        wrong = self._workload.examine(request, answer.body) if answer.ok else None
        self._records.append(
            Record(
                number,
                kind,
                request.key,
                due,
                sent,
                end,
                answer.status,
                headers.get("proa-region", ""),
                headers.get("idempotency-replayed") == "true",
                hashlib.blake2b(answer.body, digest_size=8).digest(),
                read.path if read else "",
                answer.error or _excerpt(answer),
                wrong,
            )
        )

    async def _report(self) -> None:
        told = 0
        while True:
            await asyncio.sleep(TICK_S)
            fresh = self._records[told:]
            told = len(self._records)
            self._tell(tick(fresh, self._now()))


def tick(fresh: list[Record], at: float) -> Tick:
    """The figures of the requests that ended since the last tick."""
    through = [record for record in fresh if record.kind in records.THROUGH_EDGE]
    ok = sum(record.ok for record in through)
    latencies = sorted(record.latency_s * 1000 for record in through) or [0.0]
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    return Tick(at, len(through), ok, len(through) - ok, round(p50, 2), round(p99, 2))


def _excerpt(answer: Answer) -> str:
    return "" if answer.ok else answer.body[:EXCERPT_BYTES].decode(errors="replace")


async def _lines() -> asyncio.StreamReader:
    source = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    return source


async def serve(tell: Callable[[Message], None]) -> None:
    """Take the plan and the word to go from standard input, and run."""
    source = await _lines()
    plan = msgspec.json.decode(await source.readline(), type=LoadPlan)
    load = Load(plan, load_workload(Path(plan.workload)), tell)
    try:
        await load.setup()
    except NodeFailed as error:
        tell(Broken(error.detail))
        return
    tell(Ready())
    if await source.readline() and await _ran(load, plan, source):
        tell(Done(round(time.process_time(), 3)))
    load.close()


async def _ran(load: Load, plan: LoadPlan, source: asyncio.StreamReader) -> bool:
    """Run to the end of the plan or to `stop`; False, at once, where the drill that started this process is gone."""
    gc.freeze()  # what is set up stays; collecting it again and again would only delay requests
    running = asyncio.ensure_future(load.run())
    heard = asyncio.ensure_future(source.readline())
    await asyncio.wait({running, heard}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done() and heard.result():
        load.stop()
        await running
    for task in (running, heard):
        task.cancel()
    if running.done():
        records.save(running.result(), Path(plan.records))
    return running.done()


def main() -> None:
    """Run as a process."""
    import signal

    import uvloop

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the drill decides

    def tell(message: Message) -> None:
        sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
        sys.stdout.flush()

    uvloop.run(serve(tell))


if __name__ == "__main__":
    main()
