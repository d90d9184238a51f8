"""The harness measures what it says: ratios, bounds, turns, and a client that counts no error as speed."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import figures  # noqa: E402 - the benchmarks are programs, imported by their own names
import load  # noqa: E402 - the same


@pytest.mark.parametrize(
    ("value", "peer", "bound", "ok"),
    [
        (13, 10, figures.ratio_at_least(1.3), True),
        (12, 10, figures.ratio_at_least(1.3), False),
        (30, 100, figures.ratio_at_most(1 / 3), True),
        (40, 100, figures.ratio_at_most(1 / 3), False),
        (100, None, figures.at_most(100), True),
        (101, None, figures.at_most(100), False),
        (5, None, figures.ratio_at_most(1), False),
        (5, 10, None, None),
    ],
)
def test_a_bound_is_kept_or_not(value, peer, bound, ok):
    assert figures.Figure("figure", value, "s", "peer", peer, bound).ok is ok


def test_measures_are_taken_in_turns_and_their_medians_kept():
    order = []
    a, b = iter([3, 1, 2]), iter([30, 10, 20])

    def take(name, values):
        order.append(name)
        return next(values)

    assert figures.medians(3, lambda: take("a", a), lambda: take("b", b)) == [2, 20]
    assert order == ["a", "b"] * 3


def test_an_answer_is_whole_when_its_last_byte_came():
    answers = load.Answers()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert [answers.complete(whole[:20]), answers.complete(whole[20:-1])] == [None, None]
    assert answers.complete(whole[-1:]) == whole
    assert answers.complete(b"HTTP/1.1 204 No Content\r\n\r\n") == b"HTTP/1.1 204 No Content\r\n\r\n"


async def loaded(status, *options):
    """The client's run against a server that always answers with `status`."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        command = [sys.executable, str(BENCHMARKS / "load.py"), f"127.0.0.1:{port}", "/orders", *options]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    return ran


SHORT = ("--connections", "4", "--warm-s", "0.1", "--seconds", "0.5")


def test_the_client_keeps_to_a_rate():
    ran = asyncio.run(loaded(200, "--rate", "100", *SHORT))
    assert ran.returncode == 0, ran.stderr
    measured = load.json.loads(ran.stdout)
    assert 60 <= measured["rps"] <= 110
    assert measured["p50_ms"] <= measured["p99_ms"]


def test_an_error_ends_the_run():
    ran = asyncio.run(loaded(503, *SHORT))
    assert ran.returncode == 1
    assert "unexpected answer" in ran.stderr
