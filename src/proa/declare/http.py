"""Requests and responses as the runtime and handlers see them, free of any server's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proa.declare.identity import Principal

MOUNT_HEADER = "proa-mount"
"""On answers of a mounted application: the prefix that it is mounted under."""


class Request(msgspec.Struct):
    """One request. `headers` are lower-case; repeated ones are joined by commas (RFC 9110 5.3).

    `peer` is the address that sent it here, empty where it is not known. Stages of admission fill in the rest:
    `principal` is who asks, `deadline` (on the region's monotonic clock) when the caller stops waiting. It is
    `recallable` until something that it asked for may have been done: up to then its unit may just be cut off.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str = ""
    principal: Principal | None = None
    deadline: float | None = None
    recallable: bool = True


class Answer(msgspec.Struct):
    """One finished answer, ready to be sent or recorded."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Response(msgspec.Struct):
    """What a handler returns to choose status and headers itself. `body` is bytes, text or anything encodable."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}


class Header(msgspec.Struct, frozen=True):
    """Marks a parameter as a header: `trace: Annotated[str, Header("x-trace")]`; without a name the parameter's own."""

    name: str | None = None
