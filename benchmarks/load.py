"""A closed-loop HTTP client that costs less than any server it measures: raw sockets, one epoll, little parsing.

Each connection sends its next request as soon as its last one is answered or, with a rate, when it is due. Every
request is a POST with an Idempotency-Key and an order id of its own. An answer that is not 2xx ends the run: errors are
never counted as speed.

    python benchmarks/load.py 127.0.0.1:8000 /orders --seconds 3     (prints one JSON object)
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence

CONNECTIONS = 32
PADDED = 12
"""Digits of the running number, so that every request has the same length."""


def template(host: str, path: str, headers: Sequence[str] = ()) -> tuple[bytes, bytes, bytes]:
    """A request in three parts; the number goes between them."""
    body = b'{"id":"%s-%s","sku":"boat-7","qty":3}'
    length = len(body) - 4 + len(RUN) + PADDED
    more = "".join(header + "\r\n" for header in headers)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {length}\r\nidempotency-key: {RUN}-"
    ).encode()
    first, second = (body % (RUN.encode(), b"#")).split(b"#")
    return head, b"\r\n\r\n" + first, second


RUN = f"{time.time_ns():x}"


class Answers:
    """One connection's incoming bytes, cut into answers."""

    __slots__ = ("buffer",)

    def __init__(self) -> None:
        self.buffer = b""

    def complete(self, data: bytes) -> bytes | None:
        """The whole answer, or None while bytes are missing."""
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        head = self.buffer[:head_end].lower()
        at = head.find(b"content-length:")
        line_end = head.find(b"\r\n", at)
        length = int(head[at + 15 : line_end if line_end > 0 else None]) if at >= 0 else 0
        if len(self.buffer) < head_end + 4 + length:
            return None
        answer, self.buffer = self.buffer, b""
        return answer


def connect(host: str, port: int) -> socket.socket:
    """A connection that sends at once and never blocks."""
    sock = socket.create_connection((host, port), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


class Pace:
    """When the next request is due: at once (rate 0), or one each 1/rate seconds."""

    def __init__(self, rate: float) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._next = time.perf_counter()

    def take(self, now: float) -> bool:
        """Whether a request is due; if so the next one is later."""
        if self._gap_s and now < self._next:
            return False
        self._next += self._gap_s
        return True

    def wait_s(self, now: float) -> float:
        """How long until one is due; a second where nothing but answers can change that."""
        return max(0.0, self._next - now) if self._gap_s else 1.0


class Client:
    """Some connections, those that wait for an answer and those that are free to ask."""

    def __init__(self, host: str, port: int, path: str, connections: int, headers: Sequence[str] = ()) -> None:
        self._parts = template(f"{host}:{port}", path, headers)
        self._poll = select.epoll()
        self._by_fd = {sock.fileno(): (sock, Answers()) for sock in (connect(host, port) for _ in range(connections))}
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self.free = deque(self._by_fd)  # in turns, so that none idles until the server closes it
        self._sent_at: dict[int, float] = {}
        self._number = 0

    def send(self) -> None:
        """One request on a free connection."""
        fd = self.free.popleft()
        head, middle, tail = self._parts
        digits = b"%012d" % self._number
        self._number += 1
        self._sent_at[fd] = time.perf_counter()
        self._by_fd[fd][0].sendall(head + digits + middle + digits + tail)

    def answered(self, timeout_s: float) -> Iterator[float]:
        """Wait for answers; the latency of each. One that is not 2xx ends the run."""
        for fd, _ in self._poll.poll(timeout_s):
            sock, answers = self._by_fd[fd]
            answer = answers.complete(received(sock))
            if answer is None:
                continue
            if not answer.startswith(b"HTTP/1.1 2"):
                raise SystemExit(f"unexpected answer: {answer[:600]!r}")
            self.free.append(fd)
            yield time.perf_counter() - self._sent_at[fd]

    def close(self) -> None:
        """Close all connections."""
        for sock, _ in self._by_fd.values():
            sock.close()


def drive(client: Client, *, warm_s: float, seconds: float, rate: float = 0) -> dict[str, float]:
    """Load for `warm_s` uncounted, then for `seconds` counted; as fast as answers come, or at `rate` a second."""
    latencies: list[float] = []
    pace = Pace(rate)
    begin = time.perf_counter() + warm_s
    while (now := time.perf_counter()) < begin + seconds:
        while client.free and pace.take(now):
            client.send()
        took = list(client.answered(pace.wait_s(now) if client.free else 1.0))
        if now >= begin:
            latencies += took
        if not latencies and now > begin + 2:
            raise SystemExit("the server answers nothing")
    client.close()
    return summary(latencies, seconds)


def received(sock: socket.socket) -> bytes:
    """What has arrived; a closed connection ends the run."""
    data = sock.recv(65536)
    if not data:
        raise SystemExit("the server closed a connection")
    return data


def summary(latencies: list[float], seconds: float) -> dict[str, float]:
    """Requests a second, and milliseconds of the median and of the slowest hundredth."""
    ordered = sorted(latencies)
    return {
        "rps": round(len(ordered) / seconds, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1000, 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--warm-s", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; as fast as answers come unless given")
    parser.add_argument("--header", action="append", default=[], help="one more header of each request, `name: value`")
    options = parser.parse_args()
    server_host, _, server_port = options.address.rpartition(":")
    clients = Client(server_host, int(server_port), options.path, options.connections, options.header)
    print(json.dumps(drive(clients, warm_s=options.warm_s, seconds=options.seconds, rate=options.rate)))
