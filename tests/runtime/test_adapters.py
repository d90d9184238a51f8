"""One suite for every way in: raw ASGI and Lambda's events lead to the same answers.

The events are recorded shapes, `lambda_events/*.json`, into which each case's values are put.
"""

import asyncio
import copy
from base64 import b64decode, b64encode
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proa import App, Forbidden, Header, Response, Throttle, Unauthorized
from proa.declare.http import Answer
from proa.declare.identity import Principal
from proa.errors import UnknownEvent
from proa.observe.hub import Hub
from proa.observe.metrics import Registry
from proa.runtime.admission import Admission, read_body
from proa.runtime.clock import SystemClock
from proa.runtime.gateway import Gateway
from proa.runtime.lambda_events import LambdaEntry
from proa.runtime.router import Router
from proa.runtime.stages import makers
from support.front import Reply, ask, front

RECORDED = {path.stem: msgspec.json.decode(path.read_bytes()) for path in Path(__file__).parent.glob("lambda_events/*")}


def shop():
    app = App("shop", regions=["eu"], max_body_bytes=1000)

    @app.get("/orders/{id}")
    async def read(id: str, tag: list[str], since: int = 0, x_name: Annotated[str, Header()] = "") -> dict[str, object]:
        return {"id": id, "tag": tag, "since": since, "name": x_name}

    @app.post("/orders", idempotent="optional")
    async def create(body: dict[str, int]) -> dict[str, int]:
        return body

    @app.get("/cookies")
    async def cookies(cookie: Annotated[str, Header()] = "") -> Response:
        return Response(cookie, headers={"set-cookie": "a=1; Secure"})

    @app.get("/bytes")
    async def raw() -> Response:
        return Response(b"\xff\x00\xfe", headers={"content-type": "image/png"})

    @app.get("/limited", throttle=Throttle(0.001, burst=1))
    async def limited() -> None: ...

    @app.get("/peer")
    async def nothing() -> None: ...

    return app


def proxy1(method, path, body, query, headers):
    event = copy.deepcopy(RECORDED["proxy1"])
    event |= {"httpMethod": method, "path": path, "multiValueQueryStringParameters": parse_qs(query) or None}
    event["queryStringParameters"] = {name: values[-1] for name, values in parse_qs(query).items()} or None
    for name, value in headers.items():
        event["headers"][name.title()] = value
        event["multiValueHeaders"][name.title()] = [value]
    return event | encoded(body)


def proxy2(method, path, body, query, headers):
    event = copy.deepcopy(RECORDED["proxy2"])
    event |= {"rawPath": f"/prod{path}", "rawQueryString": query, "cookies": headers.pop("cookie", "").split("; ")}
    event["requestContext"]["http"]["method"] = method
    event["headers"] |= headers
    return event | encoded(body)


def encoded(body):
    try:
        return {"body": body.decode() or None, "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": b64encode(body).decode(), "isBase64Encoded": True}


def reply_of(answer):
    many = answer.get("multiValueHeaders") or {name: [value] for name, value in answer["headers"].items()}
    many = many | ({"set-cookie": answer["cookies"]} if answer.get("cookies") else {})
    body = b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return Reply(answer["statusCode"], [(name, value) for name, values in many.items() for value in values], body)


async def by_asgi(gateway, method, path, body, query, headers):
    return await ask(gateway, method, path, body, query=query, **headers)


async def by_proxy(make, gateway, method, path, body, query, headers):
    entry = LambdaEntry(gateway, SystemClock(), max_body_bytes=1000)
    return reply_of(await entry(make(method, path, body, query, dict(headers)), None))


WAYS = {
    "asgi": by_asgi,
    "proxy 1.0": lambda *asked: by_proxy(proxy1, *asked),
    "proxy 2.0": lambda *asked: by_proxy(proxy2, *asked),
}
CASES = {
    "path, query and header": ("GET", "/orders/7", b"", "tag=a&tag=b&since=3", {"x-name": "proa"}),
    "an escaped query": ("GET", "/orders/7", b"", "tag=a%26b%3D+c", {}),
    "a body": ("POST", "/orders", b'{"a":1}', "", {"content-type": "application/json"}),
    "a body that is none": ("POST", "/orders", b"\xff\xfe", "", {}),
    "a wrong type": ("POST", "/orders", b'{"a":"x"}', "", {}),
    "a body that is too large": ("POST", "/orders", b'{"a":1}' + b" " * 1000, "", {}),
    "no such path": ("GET", "/none", b"", "", {}),
    "no such method": ("DELETE", "/orders", b"", "", {}),
    "Proa's own pages are not for clients": ("GET", "/_proa/live/", b"", "", {}),
    "HEAD": ("HEAD", "/orders/7", b"", "tag=a", {}),
    "cookies": ("GET", "/cookies", b"", "", {"cookie": "a=1; b=2"}),
    "bytes": ("GET", "/bytes", b"", "", {}),
    "no time left": ("GET", "/orders/7", b"", "tag=a", {"proa-deadline-ms": "0"}),
    "a limit": ("GET", "/limited", b"", "", {}),
    "a malformed key": ("POST", "/orders", b"{}", "", {"idempotency-key": "\x7f"}),
}


def told(reply):
    """An answer without what is new in each."""
    kept = sorted((name, value) for name, value in reply.pairs if name != "content-length")
    body = reply.body
    if reply.headers.get("content-type") == "application/problem+json" and body:
        body = {name: value for name, value in reply.json.items() if name not in ("unit", "detail")}
    return reply.status, kept, body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_every_way_in_leads_to_the_same_answer(way, case, tmp_path):
    def answered(through, folder):
        async def main():
            async with front(shop(), folder) as (_, running):
                gateway = running["eu"].gateway
                method, path, body, query, headers = CASES[case]
                if through == "asgi":
                    headers = {name.replace("-", "_"): value for name, value in headers.items()}
                return told(await WAYS[through](gateway, method, path, body, query, headers))

        folder.mkdir()
        return asyncio.run(main())

    assert answered(way, tmp_path / "one") == answered("asgi", tmp_path / "other")


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_replayed_whichever_way_it_comes_again(way, tmp_path):
    async def main():
        async with front(shop(), tmp_path) as (_, running):
            gateway = running["eu"].gateway
            case = ("POST", "/orders", b'{"a":1}', "")
            headers = {"idempotency-key": "k1"}
            first = await by_proxy(proxy2, gateway, *case, headers)
            named = {"idempotency_key": "k1"} if way == "asgi" else headers
            return first, await WAYS[way](gateway, *case, named)

    first, again = asyncio.run(main())
    assert (first.body, "idempotency-replayed" in first.headers) == (again.body, False)
    assert again.headers["idempotency-replayed"] == "true"


def test_the_time_that_a_function_has_left_is_a_deadline(tmp_path):
    app = shop()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(9)

    async def main():
        async with front(app, tmp_path) as (_, running):
            entry = LambdaEntry(running["eu"].gateway, SystemClock(), max_body_bytes=1000)
            context = SimpleNamespace(get_remaining_time_in_millis=lambda: 150)
            return await entry(proxy2("GET", "/slow", b"", "", {}), context)

    assert asyncio.run(main())["statusCode"] == 504


# Authorizers


def guarded():
    """A gateway that knows one good token, with stand-ins for the stage that looks at it and for the unit."""
    app = shop()

    def authenticate(_route):
        def stage(arrival):
            match arrival.request.headers.get("authorization"):
                case "Bearer good":
                    arrival.request.principal = Principal("ada", frozenset({"orders:write"}))
                case "Bearer weak":
                    raise Forbidden("no scope")
                case _:
                    raise Unauthorized("no token")

        return stage

    async def never(*_):
        raise AssertionError("an authorizer runs no unit")

    hub = Hub()
    stages = {
        **makers(app, SystemClock(), hub, Registry({})),
        "authenticate": authenticate,
        "body": lambda _: read_body,
    }
    admission = Admission(Router(app.routes), app.routes, never, stages, hub, serving=lambda: True)
    return LambdaEntry(Gateway(app, "eu", admission, {}), SystemClock(), max_body_bytes=1000)


def authorizers(token):
    """The three events that ask about a token."""
    one = proxy1("POST", "/orders", b"", "", {"authorization": token})
    arn = RECORDED["authorizer_token"]["methodArn"]
    request2 = copy.deepcopy(RECORDED["authorizer_request2"])
    request2["headers"]["authorization"] = token
    return {
        "token": RECORDED["authorizer_token"] | {"authorizationToken": token},
        "request 1.0": one | {"type": "REQUEST", "methodArn": arn},
        "request 2.0": request2,
    }


def allowed(verdict):
    if "isAuthorized" in verdict:
        return verdict["isAuthorized"]
    (statement,) = verdict["policyDocument"]["Statement"]
    assert statement["Resource"] == RECORDED["authorizer_token"]["methodArn"]
    return statement["Effect"] == "Allow"


@pytest.mark.parametrize("kind", authorizers(""))
@pytest.mark.parametrize(("token", "expected"), [("Bearer good", True), ("Bearer weak", False)])
def test_an_authorizer_says_what_admission_would(kind, token, expected):
    verdict = asyncio.run(guarded()(authorizers(token)[kind]))
    assert allowed(verdict) is expected
    assert verdict["context"]["subject"] == ("ada" if expected else "anonymous")
    assert all(isinstance(value, str) for value in verdict["context"].values()), "API Gateway takes no other values"


@pytest.mark.parametrize("kind", authorizers(""))
def test_credentials_that_are_no_good_are_refused_by_the_one_word_that_makes_a_401(kind):
    with pytest.raises(Unauthorized) as raised:
        asyncio.run(guarded()(authorizers("Bearer forged")[kind]))
    assert str(raised.value) == "Unauthorized"


def test_a_policy_for_a_path_that_no_route_has_denies():
    event = RECORDED["authorizer_token"] | {"methodArn": "arn:aws:execute-api:eu-west-1:1:abc/prod/GET/none"}
    (statement,) = asyncio.run(guarded()(event))["policyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"


# Fuzz

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def events(draw):
    """Recorded events with some of their values, at any depth, replaced or taken away."""
    event = copy.deepcopy(RECORDED[draw(st.sampled_from(sorted(RECORDED)))])
    for _ in range(draw(st.integers(1, 4))):
        part = event
        while isinstance(part, dict) and part:
            name = draw(st.sampled_from(sorted(part)))
            if not isinstance(part[name], dict) or draw(st.booleans()):
                if draw(st.booleans()):
                    part[name] = draw(JSON)
                else:
                    del part[name]
                break
            part = part[name]
    return event


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(event=events() | st.dictionaries(st.text(max_size=10), JSON, max_size=4))
def test_whatever_the_event_it_is_answered_or_named_as_none(event):
    async def answered():
        async def unit(_route, request, _path):
            assert isinstance(request.body, bytes)
            return Answer(200, [], request.body)

        app, hub = shop(), Hub()
        admission = Admission(
            Router(app.routes),
            app.routes,
            unit,
            makers(app, SystemClock(), hub, Registry({})),
            hub,
            serving=lambda: True,
        )
        return await LambdaEntry(Gateway(app, "eu", admission, {}), SystemClock(), max_body_bytes=1000)(event)

    try:
        reply = asyncio.run(answered())
    except (UnknownEvent, Unauthorized):
        return
    assert msgspec.json.encode(reply)
    assert reply.keys() & {"statusCode", "policyDocument", "isAuthorized"}
