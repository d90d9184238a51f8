"""Lambda's events: API Gateway's proxy events in, one `Request` inside, the reply that the event's sender expects out.

Four shapes, told apart by what they have: proxy events of REST APIs (payload 1.0, of HTTP APIs too) and of HTTP APIs
and function URLs (2.0), and the events of authorizers: one with a token alone, and one with the whole head of a request
in either payload. What is decided about a request is decided by the same admission as behind raw ASGI.

An authorizer asks no more than whether a request would be let in: it runs the stages up to the body. Its policy names
the one method that was asked for, so whoever caches decisions must cache them per method.

Source of the shapes: AWS' API Gateway developer guide (proxy integrations, Lambda authorizers).
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urlencode

import msgspec

from proa.declare.http import Answer, Request
from proa.declare.identity import Principal
from proa.errors import BadRequest, PayloadTooLarge, ProaError, Unauthorized, UnknownEvent
from proa.ports import Clock

Json = dict[str, Any]
REPLY_S = 0.1
"""What is kept of an invocation's time for sending the reply."""
DEFAULT_STAGE = "$default"
JOINED = {"cookie": "; "}


class _Identity(msgspec.Struct, rename="camel"):
    source_ip: str | None = None


class _Http(msgspec.Struct, rename="camel"):
    method: str
    source_ip: str | None = None


class _Context1(msgspec.Struct, rename="camel"):
    identity: _Identity | None = None


class _Context2(msgspec.Struct, rename="camel"):
    http: _Http
    stage: str | None = None


class Proxy1(msgspec.Struct, rename="camel"):
    """Payload 1.0. Values that a client gives more than once are in the `multi_value` fields alone."""

    http_method: str
    path: str
    headers: dict[str, str] | None = None
    multi_value_headers: dict[str, list[str]] | None = None
    query_string_parameters: dict[str, str] | None = None
    multi_value_query_string_parameters: dict[str, list[str]] | None = None
    request_context: _Context1 | None = None
    body: str | None = None
    is_base64_encoded: bool | None = False

    def request(self) -> Request:
        """Its head."""
        many: Iterable[tuple[str, list[str]]] = (self.multi_value_headers or {}).items()
        headers = {name.lower(): value for name, value in (self.headers or {}).items()}
        headers |= {name.lower(): JOINED.get(name.lower(), ", ").join(values) for name, values in many}
        query: Mapping[str, Any] = self.multi_value_query_string_parameters or self.query_string_parameters or {}
        identity = self.request_context and self.request_context.identity
        peer = (identity and identity.source_ip) or ""
        return Request(self.http_method, self.path, _query(query), headers, b"", peer)

    def reply(self, answer: Answer, headers: Iterable[tuple[str, str]]) -> Json:
        """An answer in its form."""
        many: dict[str, list[str]] = {}
        for name, value in headers:
            many.setdefault(name, []).append(value)
        return {"statusCode": answer.status, "multiValueHeaders": many, **_body_out(answer)}


class Proxy2(msgspec.Struct, rename="camel"):
    """Payload 2.0."""

    raw_path: str
    request_context: _Context2
    raw_query_string: str = ""
    headers: dict[str, str] | None = None
    cookies: list[str] | None = None
    body: str | None = None
    is_base64_encoded: bool | None = False

    def request(self) -> Request:
        """Its head. A stage that is not the default one stands before the path, and is none of the app's business."""
        http, stage = self.request_context.http, self.request_context.stage
        path = unquote(self.raw_path)
        if stage and stage != DEFAULT_STAGE and (path + "/").startswith(f"/{stage}/"):
            path = path[len(stage) + 1 :] or "/"
        headers = {name.lower(): value for name, value in (self.headers or {}).items()}
        if self.cookies:
            headers["cookie"] = "; ".join(self.cookies)
        return Request(http.method, path, self.raw_query_string, headers, b"", http.source_ip or "")

    def reply(self, answer: Answer, headers: Iterable[tuple[str, str]]) -> Json:
        """An answer in its form."""
        single: dict[str, str] = {}
        cookies: list[str] = []
        for name, value in headers:
            if name == "set-cookie":
                cookies.append(value)
            else:
                single[name] = f"{single[name]}, {value}" if name in single else value
        return {"statusCode": answer.status, "headers": single, "cookies": cookies, **_body_out(answer)}


class TokenAsked(msgspec.Struct, rename="camel"):
    """An authorizer is asked about a token and a method; there is nothing else of the request."""

    authorization_token: str
    method_arn: str

    def request(self) -> Request:
        """The head of the request, as far as it is told."""
        method, path = _of_arn(self.method_arn)
        return Request(method, path, "", {"authorization": self.authorization_token}, b"")


Proxy = Proxy1 | Proxy2


class Front(Protocol):
    """What decides about requests and dresses answers: a region's gateway."""

    def answer(self, request: Request, read: Callable[[], Awaitable[bytes]]) -> Awaitable[Answer]: ...
    async def judge(self, request: Request) -> Principal | None: ...
    def headers(self, answer: Answer) -> list[tuple[str, str]]: ...


class LambdaContext(Protocol):
    """What Lambda says of an invocation."""

    def get_remaining_time_in_millis(self) -> int: ...


class LambdaEntry:
    """The handler of a function that serves an app: `await entry(event, context)`."""

    def __init__(self, front: Front, clock: Clock, *, max_body_bytes: int) -> None:
        self._front = front
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    async def __call__(self, event: Mapping[str, Any], context: LambdaContext | None = None) -> Json:
        """The reply to an event.

        Raises:
            UnknownEvent: it is none of those that API Gateway and function URLs send.
            Unauthorized: an authorizer's event carries no credentials that are good; API Gateway answers 401.
        """
        if "methodArn" in event or "routeArn" in event:
            return await self._authorized(event, context)
        proxy = _proxy(event)
        request = self._timed(proxy.request(), context)

        async def read() -> bytes:
            return self._body(proxy)

        answer = await self._front.answer(request, read)
        if request.method == "HEAD":
            answer = Answer(answer.status, answer.headers, b"")
        return proxy.reply(answer, self._front.headers(answer))

    def _timed(self, request: Request, context: LambdaContext | None) -> Request:
        if context is not None:
            left_s = context.get_remaining_time_in_millis() / 1000 - REPLY_S
            request.deadline = self._clock.monotonic() + left_s
        return request

    def _body(self, proxy: Proxy) -> bytes:
        body = (proxy.body or "").encode()
        if proxy.is_base64_encoded:
            try:
                body = b64decode(body, validate=True)
            except binascii.Error as error:
                raise BadRequest(f"the body is not the base64 that it is said to be: {error}") from None
        if len(body) > self._max_body_bytes:
            raise PayloadTooLarge(f"the body has {len(body):,} bytes; at most {self._max_body_bytes:,} are taken")
        return body

    async def _authorized(self, event: Mapping[str, Any], context: LambdaContext | None) -> Json:
        asked = _converted(event, TokenAsked) if "authorizationToken" in event else _proxy(event)
        request = self._timed(asked.request(), context)
        arn = str(event.get("methodArn") or event.get("routeArn"))
        try:
            principal = await self._front.judge(request)
        except Unauthorized:
            raise Unauthorized("Unauthorized") from None  # the very word by which API Gateway knows to answer 401
        except ProaError as error:
            return _verdict(asked, arn, None, allowed=False, why=error.code)
        return _verdict(asked, arn, principal, allowed=True)


def _verdict(asked: Proxy | TokenAsked, arn: str, principal: Principal | None, *, allowed: bool, why: str = "") -> Json:
    subject = principal.subject if principal else "anonymous"
    told = {"subject": subject, "scopes": " ".join(sorted(principal.scopes)) if principal else "", "code": why}
    if isinstance(asked, Proxy2):
        return {"isAuthorized": allowed, "context": told}
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow" if allowed else "Deny", "Resource": arn}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": subject, "policyDocument": policy, "context": told}


def _proxy(event: Mapping[str, Any]) -> Proxy:
    return _converted(event, Proxy2) if "rawPath" in event else _converted(event, Proxy1)


def _converted(event: Mapping[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(event, kind)
    except msgspec.ValidationError as error:
        raise UnknownEvent(f"not an event of API Gateway or a function URL: {error}") from None


def _of_arn(arn: str) -> tuple[str, str]:
    """Method and path of `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`."""
    parts = arn.split(":", 5)[-1].split("/", 3)
    if len(parts) < 3:
        raise UnknownEvent(f"{arn[:100]!r} names no method")
    return parts[2], "/" + (parts[3] if len(parts) > 3 else "")


def _query(parameters: Mapping[str, Any]) -> str:
    return urlencode(parameters, doseq=True)


def _body_out(answer: Answer) -> Json:
    try:
        return {"body": answer.body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": b64encode(answer.body).decode(), "isBase64Encoded": True}
