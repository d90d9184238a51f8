"""A stand-in for a region: answers HTTP as the query orders, and counts what reached it.

`?delay_s=0.4` answers late; `?refuse=R`, `?shed=R`, `?bad=R`, `?reset=R`, `?hang=R` make region R answer not-started,
503, 502, or nothing (the connection closes, or stays open). `/_test/counts` tells what arrived,
`/_test/health?status=503` changes the deep verdict.
"""

import asyncio
import json
import sys
from collections import Counter
from urllib.parse import parse_qs, unquote, urlsplit

NAME, PORT = sys.argv[1], int(sys.argv[2])
counts: Counter[str] = Counter()
health = {"status": 200}


ORDERED = {
    "refuse": (503, "proa-not-started: true\r\n", b"{}"),
    "shed": (503, "retry-after: 1\r\n", b"{}"),
    "bad": (502, "", b"{}"),
    "reset": None,
}


def control(path: str, ask: dict[str, str]) -> tuple[int, str, bytes]:
    if path == "/_test/health":
        health["status"] = int(ask["status"])
    status = health["status"] if path == "/_proa/health" else 200
    return status, "", json.dumps(counts).encode()


async def answer(method: str, path: str, ask: dict[str, str], headers: dict[str, str]) -> tuple[int, str, bytes] | None:
    if path.startswith(("/_test/", "/_proa/")):
        return control(path, ask)
    counts[f"{method} {path}"] += 1
    for order, outcome in ORDERED.items():
        if ask.get(order) == NAME:
            return outcome
    await asyncio.sleep(60 if ask.get("hang") == NAME else float(ask.get("delay_s", 0)))
    return 200, "", json.dumps({"region": NAME, "headers": headers}).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            await reader.readexactly(int(headers.get("content-length", 0)))
            url = urlsplit(target)
            ask = {k: v[0] for k, v in parse_qs(url.query).items()}
            result = await answer(method, unquote(url.path), ask, headers)
            if result is None:
                writer.transport.abort()
                return
            status, extra, body = result
            first = f"HTTP/1.1 {status} x\r\nproa-region: {NAME}\r\n{extra}content-length: {len(body)}\r\n\r\n"
            writer.write(first.encode() + (b"" if method == "HEAD" else body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=2048)
    print("ready", flush=True)  # noqa: T201 - the harness waits for it
    await asyncio.Event().wait()


asyncio.run(main())
