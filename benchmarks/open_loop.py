"""An open-loop HTTP client: requests leave when they are due, whatever became of those before.

Each is timed from when it was due, so that a server that stalls cannot hide it by making its clients wait (coordinated
omission). Where no connection is free another one is opened. Of each `--every` requests one goes to the second path.

    python benchmarks/open_loop.py 127.0.0.1:8000 /work /important --rate 3000 --seconds 5     (prints one JSON object)
"""

from __future__ import annotations

import argparse
import json
import select
import time

from load import Answers, connect

CONNECTIONS_MAX = 4000


class OpenLoop:
    """Connections, which of them are free, and what was answered on each path: (due, latency, status)."""

    def __init__(self, host: str, port: int, paths: list[str]) -> None:
        self._where = (host, port)
        self._requests = [f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode() for path in paths]
        self._poll = select.epoll()
        self._open: dict = {}
        self._free: list[int] = []
        self._sent: dict[int, tuple[float, int]] = {}
        self.answered: list[list[tuple[float, float, int]]] = [[] for _ in paths]
        self.unsent = 0

    def send(self, due: float, path: int) -> None:
        """One request, now."""
        if not self._free:
            if len(self._open) >= CONNECTIONS_MAX:
                self.unsent += 1
                return
            self.connect()
        fd = self._free.pop()
        self._sent[fd] = (due, path)
        self._open[fd][0].sendall(self._requests[path])

    def connect(self) -> None:
        """One more connection."""
        sock = connect(*self._where)
        self._open[sock.fileno()] = (sock, Answers())
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._free.append(sock.fileno())

    def receive(self, timeout_s: float) -> None:
        """Take the answers that come in that time."""
        for fd, _ in self._poll.poll(timeout_s):
            sock, answers = self._open[fd]
            data = sock.recv(65536)
            if not data:
                self._closed(fd)
            elif answer := answers.complete(data):
                due, path = self._sent.pop(fd)
                self.answered[path].append((due, time.perf_counter() - due, int(answer[9:12])))
                self._free.append(fd)

    def _closed(self, fd: int) -> None:
        """The server ended a connection, an idle one perhaps."""
        self._poll.unregister(fd)
        self._open.pop(fd)[0].close()
        if fd in self._free:
            self._free.remove(fd)
        if sent := self._sent.pop(fd, None):
            self.answered[sent[1]].append((sent[0], time.perf_counter() - sent[0], 0))

    @property
    def waiting(self) -> int:
        """Requests without an answer."""
        return len(self._sent)


def drive(client: OpenLoop, *, rate: float, warm_s: float, seconds: float, every: int) -> dict:
    """Send at a rate; what became of the requests that were due after `warm_s`."""
    for _ in range(64):
        client.connect()
    begin = time.perf_counter()
    total = int(rate * (warm_s + seconds))
    for number in range(total):
        due = begin + number / rate
        while (left_s := due - time.perf_counter()) > 0:
            client.receive(left_s)
        client.send(due, 1 if every and number % every == 0 else 0)
        if number % 16 == 0:
            client.receive(0)
    end = time.perf_counter() + 5
    while client.waiting and time.perf_counter() < end:
        client.receive(0.1)
    counted = [[one for one in answers if one[0] >= begin + warm_s] for answers in client.answered]
    lost = client.unsent + client.waiting
    return {"lost": lost, "paths": [summary(answers, seconds) for answers in counted]}


def summary(answers: list[tuple[float, float, int]], seconds: float) -> dict:
    """Of one path: answers a second that were 200, their share, their latencies; how quickly others were refused."""
    good = sorted(latency for _, latency, status in answers if status == 200)
    shed = sorted(latency for _, latency, status in answers if status in (429, 503))
    return {
        "goodput": len(good) / seconds,
        "success": len(good) / max(1, len(answers)),
        "p50_ms": at(good, 0.5),
        "p99_ms": at(good, 0.99),
        "shed_p99_ms": at(shed, 0.99),
        "other": len(answers) - len(good) - len(shed),
    }


def at(ordered: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return round(ordered[int((len(ordered) - 1) * share)] * 1000, 2) if ordered else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--warm-s", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--every", type=int, default=0)
    options = parser.parse_args()
    server_host, _, server_port = options.address.rpartition(":")
    loop = OpenLoop(server_host, int(server_port), options.paths)
    print(
        json.dumps(drive(loop, rate=options.rate, warm_s=options.warm_s, seconds=options.seconds, every=options.every))
    )
