"""A closed-loop HTTP client that costs less than any server it measures: raw sockets, one epoll, little parsing.

Each connection sends its next request as soon as its last one is answered. Every request is a POST with an
Idempotency-Key and an order id of its own. An answer that is not 2xx ends the run: errors are never counted as speed.

    python benchmarks/load.py 127.0.0.1:8000 /orders --seconds 3     (prints one JSON object)
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time

CONNECTIONS = 32
PADDED = 12
"""Digits of the running number, so that every request has the same length."""


def template(host: str, path: str) -> tuple[bytes, bytes, bytes]:
    """A request in three parts; the number goes between them."""
    body = b'{"id":"%s-%s","sku":"boat-7","qty":3}'
    length = len(body) - 4 + len(RUN) + PADDED
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
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


def drive(host: str, port: int, path: str, *, connections: int, warm_s: float, seconds: float) -> dict[str, float]:
    """Load for `warm_s` uncounted, then for `seconds` counted."""
    head, middle, tail = template(f"{host}:{port}", path)
    poll = select.epoll()
    socks = [connect(host, port) for _ in range(connections)]
    by_fd = {sock.fileno(): (sock, Answers()) for sock in socks}
    sent_at: dict[int, float] = {}
    number = 0

    def send(sock: socket.socket) -> None:
        nonlocal number
        digits = b"%012d" % number
        number += 1
        sent_at[sock.fileno()] = time.perf_counter()
        sock.sendall(head + digits + middle + digits + tail)

    for sock in socks:
        poll.register(sock, select.EPOLLIN)
        send(sock)
    latencies: list[float] = []
    begin = time.perf_counter() + warm_s
    end = begin + seconds
    while (now := time.perf_counter()) < end:
        for fd, _ in poll.poll(1.0):
            sock, answers = by_fd[fd]
            answer = answers.complete(received(sock))
            if answer is None:
                continue
            if not answer.startswith(b"HTTP/1.1 2"):
                raise SystemExit(f"unexpected answer: {answer[:600]!r}")
            done = time.perf_counter()
            if done >= begin:
                latencies.append(done - sent_at[fd])
            send(sock)
        if len(latencies) == 0 and now > begin + 2:
            raise SystemExit("the server answers nothing")
    for sock in socks:
        sock.close()
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
    options = parser.parse_args()
    server_host, _, server_port = options.address.rpartition(":")
    print(
        json.dumps(
            drive(
                server_host,
                int(server_port),
                options.path,
                connections=options.connections,
                warm_s=options.warm_s,
                seconds=options.seconds,
            )
        )
    )
