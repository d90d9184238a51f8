"""A region's front door in this process: requests as raw ASGI, through all of admission, to real stores."""

from __future__ import annotations

from contextlib import asynccontextmanager

import msgspec

from support.inproc import system


class Reply(msgspec.Struct):
    """What was answered. Repeated headers are all there in `pairs`."""

    status: int
    pairs: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self):
        return dict(self.pairs)

    @property
    def json(self):
        return msgspec.json.decode(self.body)

    @property
    def code(self):
        """The code of a problem."""
        return self.json["code"]


async def ask(gateway, method, path, body=b"", *, query="", peer="203.0.113.7", **headers):
    """One request; `x_name="v"` is the header `x-name`."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    sent = []

    async def receive():
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "client": (peer, 1),
    }
    await gateway(scope, receive, send)
    start, end = sent
    return Reply(start["status"], [(n.decode(), v.decode()) for n, v in start["headers"]], end["body"])


@asynccontextmanager
async def front(app, folder, region=None):
    """`ask` of a running region of the app, and the system it is in."""
    async with system(app, folder) as running:
        gateway = running[region or app.regions[0]].gateway

        async def asked(method, path, body=b"", **headers):
            return await ask(gateway, method, path, body, **headers)

        yield asked, running
