"""What every answer carries, and what browsers are told of other sites' pages."""

import asyncio

import pytest

from proa import App, Response
from proa.declare.front import SAFE_HEADERS
from proa.errors import DeclarationError
from support.front import front


def answer(app, tmp_path, method="GET", path="/a", **headers):
    @app.get("/a")
    async def a() -> None: ...

    @app.get("/framed")
    async def framed() -> Response:
        return Response("x", headers={"Content-Security-Policy": "default-src 'self'", "x-more": "1"})

    async def main():
        async with front(app, tmp_path) as (ask, _):
            return await ask(method, path, **headers)

    return asyncio.run(main())


def shop():
    return App("shop", regions=["eu"])


@pytest.mark.parametrize("path", ["/a", "/none"])
def test_answers_are_safe_unless_declared_otherwise(path, tmp_path):
    assert SAFE_HEADERS.items() <= answer(shop(), tmp_path, path=path).headers.items()


def test_headers_are_added_changed_and_left_out_by_declaration(tmp_path):
    app = shop()
    app.answer_headers({"Strict-Transport-Security": "max-age=63072000", "Referrer-Policy": None})
    headers = answer(app, tmp_path).headers
    assert (headers["strict-transport-security"], "referrer-policy" in headers) == ("max-age=63072000", False)


def test_a_handler_has_the_last_word(tmp_path):
    pairs = answer(shop(), tmp_path, path="/framed").pairs
    policies = [value for name, value in pairs if name == "content-security-policy"]
    assert policies == ["default-src 'self'"]


def test_a_handler_s_only_header_is_not_said_twice(tmp_path):
    app = shop()

    @app.get("/kept")
    async def kept() -> Response:
        return Response(headers={"Cache-Control": "public, max-age=60"})

    told = [value for name, value in answer(app, tmp_path, path="/kept").pairs if name == "cache-control"]
    assert told == ["public, max-age=60"]


@pytest.mark.parametrize("credential", ["authorization", "cookie", "x_api_key", "x_key_of_our_own"])
@pytest.mark.parametrize("path", ["/a", "/none"])
def test_no_cache_on_the_way_keeps_an_answer_for_others_whatever_it_was_asked_with(credential, path, tmp_path):
    assert answer(shop(), tmp_path, path=path, **{credential: "k"}).headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("said", "told"), [("public, max-age=5", "public, max-age=5"), (None, None)])
def test_an_author_says_otherwise_of_all_answers(said, told, tmp_path):
    app = shop()
    app.answer_headers({"Cache-Control": said})
    assert answer(app, tmp_path).headers.get("cache-control") == told


def test_pages_of_other_sites_are_not_told_anything_by_default(tmp_path):
    headers = answer(shop(), tmp_path, origin="https://shop.example").headers
    assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize(
    ("origins", "credentials", "origin", "allowed"),
    [
        (["https://shop.example"], False, "https://shop.example", "https://shop.example"),
        (["https://shop.example"], True, "https://shop.example", "https://shop.example"),
        (["https://shop.example"], False, "https://evil.example", None),
        (["*"], False, "https://any.example", "*"),
    ],
)
def test_pages_of_declared_origins_may_see_answers(origins, credentials, origin, allowed, tmp_path):
    app = shop()
    app.cors(origins, credentials=credentials)
    headers = answer(app, tmp_path, origin=origin).headers
    assert headers.get("access-control-allow-origin") == allowed
    assert headers.get("access-control-allow-credentials") == ("true" if credentials else None)
    assert headers.get("vary") == (None if "*" in origins else "origin")


def test_a_preflight_is_answered_before_any_route(tmp_path):
    app = shop()
    app.cors(["https://shop.example"])
    asked = {"origin": "https://shop.example", "access_control_request_method": "POST"}
    told = answer(app, tmp_path, "OPTIONS", "/a", **asked)
    assert (told.status, "POST" in told.headers["access-control-allow-methods"]) == (204, True)
    assert "idempotency-key" in told.headers["access-control-allow-headers"]


@pytest.mark.parametrize(("origins", "credentials"), [([], False), (["*"], True), (["*", "https://a.example"], False)])
def test_origins_that_make_no_sense_are_refused(origins, credentials):
    with pytest.raises(DeclarationError, match="cors"):
        shop().cors(origins, credentials=credentials)
