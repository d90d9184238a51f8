"""Other systems over HTTP: one GET at a time, bounded in time and size, and no further than the address given."""

from __future__ import annotations

import aiohttp

BYTES_MAX = 256 * 1024


class HttpOutside:
    """`ports.Outside` of a process. A connection lives for one question: they are few and far between."""

    async def get(self, url: str, *, timeout_s: float) -> bytes:
        limit = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as client,
                client.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise OSError(f"{url} answered {answer.status}")
                return await _bounded(url, answer.content)
        except aiohttp.ClientError as error:
            raise OSError(f"{url}: {error}") from error


async def _bounded(url: str, content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BYTES_MAX:
            raise OSError(f"{url} answered more than {BYTES_MAX:,} bytes")
    return bytes(body)
