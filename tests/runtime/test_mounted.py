"""A mounted ASGI application: what comes in, what goes out, keys, limits, health, its start and end, its tables."""

import asyncio

import pytest

from proa import App, Throttle
from proa.errors import DeclarationError
from support.front import front


class Legacy:
    """A small ASGI application that tells what it was asked, and counts what it did."""

    def __init__(self):
        self.calls = []
        self.life = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        body = (await receive())["body"]
        self.calls.append((scope["method"], scope["path"], body))
        match scope["path"].removeprefix(scope["root_path"]):
            case "/fails":
                raise RuntimeError("a defect")
            case "/teapot":
                await self.answer(send, 418, b"no coffee")
            case "/cookies":
                await self.answer(send, 200, b"", [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")])
            case "/well":
                await self.answer(send, 200, b"")
            case "/ill":
                await self.answer(send, 503, b"")
            case "/pieces":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"one ", "more_body": True})
                await send({"type": "http.response.body", "body": b"two"})
            case _:
                told = f"{len(self.calls)} {scope['root_path']} {scope['path']} {scope['query_string'].decode()} "
                await self.answer(send, 201, told.encode() + body)

    async def answer(self, send, status, body, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-by", b"legacy"), *headers]})
        await send({"type": "http.response.body", "body": body})

    async def lifespan(self, receive, send):
        for _ in range(2):
            kind = (await receive())["type"]
            self.life.append(kind)
            await send({"type": f"{kind}.complete"})


def mounted(**options):
    app = App("shop", regions=["eu"])
    legacy = Legacy()
    app.mount("/legacy", legacy, **options)

    @app.get("/own")
    async def own() -> None: ...

    @app.get("/legacy-not")
    async def beside() -> str:
        return "own"

    return app, legacy


def answers(tmp_path, *requests, **options):
    """What requests (method, path, body, headers) are answered, and what the application was asked."""
    app, legacy = mounted(**options)

    async def main():
        async with front(app, tmp_path) as (ask, _):
            return [await ask(*request[:3], **(request[3] if len(request) > 3 else {})) for request in requests]

    return asyncio.run(main()), legacy


def test_it_is_asked_with_the_whole_request_and_its_answer_goes_out(tmp_path):
    (answer,), _ = answers(tmp_path, ("POST", "/legacy/a/b", b"hi", {"query": "q=1"}))
    assert (answer.status, answer.body) == (201, b"1 /legacy /legacy/a/b q=1 hi")
    assert (answer.headers["x-by"], answer.headers["proa-region"]) == ("legacy", "eu")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in answer.headers, "its pages may bring scripts along"


@pytest.mark.parametrize(("path", "by"), [("/legacy", "legacy"), ("/legacy/", "legacy"), ("/legacy-not", None)])
def test_it_has_all_paths_under_its_prefix_and_no_others(path, by, tmp_path):
    (answer,), _ = answers(tmp_path, ("GET", path, b""))
    assert answer.headers.get("x-by") == by


def test_a_post_with_a_key_runs_once_and_is_replayed(tmp_path):
    key = {"idempotency_key": "k1"}
    found, legacy = answers(
        tmp_path, ("POST", "/legacy/a", b"x", key), ("POST", "/legacy/a", b"x", key), ("POST", "/legacy/a", b"y", key)
    )
    first, again, other = found
    assert (first.body, again.body, len(legacy.calls)) == (b"1 /legacy /legacy/a  x", first.body, 1)
    assert (again.headers["idempotency-replayed"], again.headers["x-by"]) == ("true", "legacy")
    assert (other.status, other.code) == (422, "PROA-H423")


def test_a_refusal_of_its_own_is_replayed_too_and_a_failure_is_not(tmp_path):
    key, other = {"idempotency_key": "k1"}, {"idempotency_key": "k2"}
    asked = [("POST", "/legacy/teapot", b"", key)] * 2 + [("POST", "/legacy/ill", b"", other)] * 2
    found, legacy = answers(tmp_path, *asked)
    assert [answer.status for answer in found] == [418, 418, 503, 503]
    assert [path for _, path, _ in legacy.calls] == ["/legacy/teapot", "/legacy/ill", "/legacy/ill"]


def test_without_a_key_each_request_counts_unless_keys_are_required(tmp_path):
    _, legacy = answers(tmp_path / "a", *[("POST", "/legacy/a", b"x")] * 2)
    (answer,), strict = answers(tmp_path / "b", ("POST", "/legacy/a", b"x"), idempotent=True)
    assert (len(legacy.calls), answer.code, strict.calls) == (2, "PROA-H401", [])


def test_a_raised_exception_is_a_problem_that_tells_nothing_of_it(tmp_path):
    (answer,), _ = answers(tmp_path, ("GET", "/legacy/fails", b""))
    assert (answer.status, answer.code, b"defect" in answer.body) == (500, "PROA-H500", False)


def test_an_answer_in_pieces_goes_out_whole_and_repeated_headers_stay(tmp_path):
    (pieces, cookies), _ = answers(tmp_path, ("GET", "/legacy/pieces", b""), ("GET", "/legacy/cookies", b""))
    assert pieces.body == b"one two"
    assert [value for name, value in cookies.pairs if name == "set-cookie"] == ["a=1", "b=2"]


def test_the_app_s_throttles_stand_before_it(tmp_path):
    found, legacy = answers(tmp_path, *[("GET", "/legacy/a", b"")] * 3, throttle=Throttle(0.1, burst=2))
    assert ([answer.status for answer in found], len(legacy.calls)) == ([201, 201, 429], 2)


def test_it_starts_and_ends_with_the_region(tmp_path):
    _, legacy = answers(tmp_path)
    assert legacy.life == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(("path", "status"), [("/well", "pass"), ("/ill", "fail")])
def test_its_health_is_part_of_the_region_s(path, status, tmp_path):
    app, _ = mounted(health=path)

    async def main():
        async with front(app, tmp_path) as (_, running):
            while "mount /legacy" not in running["eu"].monitor.states:
                await asyncio.sleep(0.01)
            state = running["eu"].monitor.states["mount /legacy"]
            while not state.observed_at:
                await asyncio.sleep(0.01)
            return bool(state.failures)

    assert asyncio.run(main()) == (status == "fail")


def test_one_that_cannot_start_keeps_the_region_from_starting(tmp_path):
    async def broken(_scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    app = App("shop", regions=["eu"])
    app.mount("/legacy", broken)

    async def main():
        async with front(app, tmp_path):
            pass

    with pytest.raises(DeclarationError, match="no database"):
        asyncio.run(main())


@pytest.mark.parametrize("prefix", ["legacy", "/legacy/", "/", "/{x}", "/_proa/x"])
def test_a_prefix_that_is_none_is_refused(prefix):
    with pytest.raises(DeclarationError, match="mount"):
        App("shop", regions=["eu"]).mount(prefix, Legacy())
