"""Requests as a server hands them to a region, and what comes back."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return msgspec.json.decode(self.body)


async def ask(app, method, path, *, headers=(), body=None):
    """One request. `headers` are pairs, so that one may be repeated; `body` is bytes or anything JSON can say."""
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    sent = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.1", 4321),
    }

    async def receive():
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start, end = sent
    told = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Reply(start["status"], told, end["body"])
