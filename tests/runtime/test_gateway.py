"""The front door: raw ASGI in, an answer out."""

import asyncio

import msgspec
import pytest

from proa import App
from proa.declare.http import Answer
from proa.observe.hub import Hub
from proa.runtime.admission import Admission, read_body
from proa.runtime.gateway import Gateway, json_page
from proa.runtime.router import Router


def app(max_body_bytes=100):
    declared = App("shop", regions=["eu"], max_body_bytes=max_body_bytes)

    @declared.get("/orders/{id}")
    async def read(id: str) -> str:
        return id

    @declared.get("/orders/{id}/lines/{line}")
    async def line(id: str, line: int) -> str:
        return id

    @declared.post("/orders")
    async def create() -> None: ...

    @declared.get("/a.b")
    async def dotted() -> None: ...

    return declared


async def echo(route, request, path):
    told = {"route": route.scope, "path": dict(path), "body": request.body.decode(), "query": request.query}
    return Answer(200, [("x-seen", request.headers.get("x-name", ""))], msgspec.json.encode(told))


def ask(method, path, *, body=(b"",), headers=(), serving=True, query=b"", limit=100):
    declared = app(limit)
    routes = declared.routes
    makers = {"body": lambda _: read_body}
    admission = Admission(Router(routes), routes, echo, makers, Hub(), serving=lambda: serving)
    gateway = Gateway(declared, "eu", admission, {"live": lambda: json_page({"status": "pass"})})
    chunks = [{"type": "http.request", "body": part, "more_body": True} for part in body[:-1]]
    chunks += [{"type": "http.request", "body": body[-1]}]
    sent = []

    async def main():
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers)}

        async def receive():
            return chunks.pop(0) if chunks else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await gateway(scope, receive, send)

    asyncio.run(main())
    start, end = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, msgspec.json.decode(end["body"]) if end["body"] else None


def test_a_request_reaches_its_route_with_path_query_headers_and_the_whole_body():
    status, headers, told = ask("POST", "/orders", body=(b"ab", b"cd"), headers=[(b"x-name", b"proa")], query=b"a=1")
    assert (status, told) == (200, {"route": "POST /orders", "path": {}, "body": "abcd", "query": "a=1"})
    assert (headers["x-seen"], headers["proa-region"]) == ("proa", "eu")


@pytest.mark.parametrize(
    ("path", "scope", "parameters"),
    [
        ("/orders/7", "GET /orders/{id}", {"id": "7"}),
        ("/orders/7/lines/2", "GET /orders/{id}/lines/{line}", {"id": "7", "line": "2"}),
        ("/a.b", "GET /a.b", {}),
    ],
)
def test_paths_find_their_route(path, scope, parameters):
    route, found = Router(app().routes).find("GET", path)
    assert (route.scope, dict(found)) == (scope, parameters)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/none", 404, "PROA-H404"),
        ("GET", "/aXb", 404, "PROA-H404"),
        ("GET", "/orders/7/", 404, "PROA-H404"),
        ("DELETE", "/orders/7", 405, "PROA-H405"),
        ("GET", "/_proa/none", 404, "PROA-H404"),
    ],
)
def test_unknown_paths_and_methods_are_problems(method, path, status, code):
    answered, headers, problem = ask(method, path)
    assert (answered, problem["code"], headers["content-type"]) == (status, code, "application/problem+json")


def test_a_405_names_the_methods_that_are_allowed():
    assert ask("DELETE", "/orders/7")[1]["allow"] == "GET"


def test_head_is_get_without_a_body():
    status, headers, body = ask("HEAD", "/orders/7")
    assert (status, body, int(headers["content-length"]) > 0) == (200, None, True)


@pytest.mark.parametrize(
    ("body", "headers"),
    [((b"x" * 101,), [(b"content-length", b"101")]), ((b"x" * 60, b"x" * 60, b""), [])],
    ids=["announced", "streamed"],
)
def test_a_body_over_the_limit_is_refused(body, headers):
    status, _, problem = ask("POST", "/orders", body=body, headers=headers)
    assert (status, problem["code"]) == (413, "PROA-H413")


def test_a_region_that_does_not_serve_says_that_nothing_was_started():
    status, headers, problem = ask("POST", "/orders", serving=False)
    assert (status, problem["code"]) == (503, "PROA-R005")
    assert (headers["proa-not-started"], headers["retry-after"]) == ("true", "1")
    assert ask("GET", "/_proa/live", serving=False)[0] == 200
