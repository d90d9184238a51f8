"""Answers: results and errors in the form that leaves the region, and problem+json (RFC 9457) for the latter."""

from __future__ import annotations

from typing import Any

import msgspec

from proa.core.dedupe import Outcome
from proa.declare.codec import to_json
from proa.declare.http import Answer, Response
from proa.errors import ProaError

JSON = ("content-type", "application/json")
TEXT = ("content-type", "text/plain; charset=utf-8")
OCTETS = ("content-type", "application/octet-stream")
PROBLEM = ("content-type", "application/problem+json")
RETRY_AFTER_S = "1"
DEGRADED_HEADER = "proa-degraded"


def answer_of(result: Any, status: int) -> Answer:
    """What a handler returned, as an answer; None is 204 without a body."""
    if isinstance(result, Answer):
        return result
    if isinstance(result, Response):
        kind, body = _body(result.body)
        named = [(name.lower(), value) for name, value in result.headers.items()]
        typed = any(name == "content-type" for name, _ in named)
        return Answer(result.status, named if typed or kind is None else [kind, *named], body)
    if result is None:
        return Answer(204 if status == 200 else status, [], b"")
    return Answer(status, [JSON], to_json(result))


def _body(body: Any) -> tuple[tuple[str, str] | None, bytes]:
    match body:
        case None:
            return None, b""
        case bytes():
            return OCTETS, body
        case str():
            return TEXT, body.encode()
        case _:
            return JSON, to_json(body)


def marked(answer: Answer, degraded: tuple[str, ...]) -> Answer:
    """An answer that says which fallbacks had their part in it."""
    return Answer(answer.status, [*answer.headers, (DEGRADED_HEADER, ", ".join(degraded))], answer.body)


def problem(error: ProaError, unit: str) -> Answer:
    """An error as problem+json. A 503 says when to come back, and whether anything was started."""
    body = {
        "type": f"urn:proa:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "code": error.code,
        "unit": unit,
    }
    headers = [PROBLEM, *((name.lower(), value) for name, value in error.headers.items())]
    if error.not_started:
        headers.append(("proa-not-started", "true"))
    if error.status in (429, 503, 507) and "retry-after" not in dict(headers):
        headers.append(("retry-after", RETRY_AFTER_S))
    return Answer(error.status, headers, msgspec.json.encode(body))


def replay(outcome: Outcome) -> Answer:
    """A recorded answer once more, marked as such."""
    headers = [*outcome.headers, ("idempotency-replayed", "true"), ("proa-original-unit", outcome.unit)]
    return Answer(outcome.status, headers, outcome.body)
