"""Whom routes let in, and what handlers learn of them."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from proa import ApiKeys, App, Context, Oidc, Principal, roles, scopes
from proa.errors import DeclarationError
from proa.nodes.plane import schema_of
from support.asgi import ask
from support.inproc import system
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer

IDP = Issuer(time.time)
EU, US = "eu", "us"


def shop():
    app = App("shop", regions=[EU, US])

    @app.get("/before")
    async def before() -> str:
        return "declared before authenticate"

    authentication = app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS), ApiKeys(), recheck_s=0)

    @app.get("/me")
    async def me(who: Principal, ctx: Context) -> dict[str, object]:
        assert ctx.principal is who
        return {"subject": who.subject, "scopes": sorted(who.scopes)}

    @app.get("/orders", auth=scopes("orders:read", "orders:list"))
    async def orders() -> str:
        return "orders"

    @app.post("/refunds", auth=scopes("orders:write") & roles("admin", "support"))
    async def refund() -> str:
        return "refunded"

    @app.get("/maybe", auth="optional")
    async def maybe(who: Principal | None) -> str:
        return who.subject if who else "nobody"

    @app.get("/open", auth=None)
    async def open_to_all(ctx: Context) -> str:
        return "nobody" if ctx.principal is None else "somebody"

    @app.post("/log-out")
    async def log_out(who: Principal, ctx: Context) -> None:
        await authentication.revoke(who, ctx)

    return app


@asynccontextmanager
async def serving(folder):
    async with system(shop(), folder, {JWKS: IDP.jwks()}) as running:
        yield running


def bearer(**claims):
    return [("Authorization", f"Bearer {IDP.token(**claims)}")]


def asked(folder, method, path, headers=()):
    async def main():
        async with serving(folder) as running:
            return await ask(running[EU].gateway, method, path, headers=headers)

    return asyncio.run(main())


def test_a_handler_learns_who_asks(tmp_path):
    reply = asked(tmp_path, "GET", "/me", bearer(scope="a b"))
    assert (reply.status, reply.json) == (200, {"subject": "ada", "scopes": ["a", "b"]})


@pytest.mark.parametrize("path", ["/before", "/me", "/orders"])
def test_once_authentication_is_declared_what_says_nothing_is_closed(path, tmp_path):
    reply = asked(tmp_path, "GET", path)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="shop"')


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"scope": "orders:read orders:list more"}, 200),
        ({"scope": "orders:read"}, 403),
        ({"scope": "orders:*"}, 403),
        ({"scope": None}, 403),
    ],
)
def test_a_route_demands_every_scope_it_names(claims, status, tmp_path):
    reply = asked(tmp_path, "GET", "/orders", bearer(**claims))
    assert reply.status == status


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"roles": ["support", "other"]}, 200),
        ({"roles": ["other"]}, 403),
        ({"roles": None}, 403),
        ({"scope": "orders:read"}, 403),
    ],
)
def test_demands_are_joined(claims, status, tmp_path):
    assert asked(tmp_path, "POST", "/refunds", bearer(**claims)).status == status


def test_who_lacks_a_scope_is_told_which(tmp_path):
    reply = asked(tmp_path, "GET", "/orders", bearer(scope="orders:read"))
    assert (reply.json["code"], reply.json["detail"]) == ("PROA-H403", "GET /orders needs scope orders:list")
    assert reply.headers["www-authenticate"] == (
        'Bearer realm="shop", error="insufficient_scope", scope="orders:list orders:read"'
    )


def test_who_is_turned_away_is_counted(tmp_path):
    async def main():
        async with serving(tmp_path) as running:
            await ask(running[EU].gateway, "GET", "/orders", headers=bearer(scope="none"))
            return running[EU].metrics.text()

    assert 'proa_forbidden_total{region="eu",route="GET /orders"} 1' in asyncio.run(main())


def test_where_credentials_are_optional_wrong_ones_are_still_refused(tmp_path):
    assert asked(tmp_path, "GET", "/maybe").json == "nobody"
    assert asked(tmp_path, "GET", "/maybe", bearer()).json == "ada"
    assert asked(tmp_path, "GET", "/maybe", bearer(aud="bank")).status == 401


def test_where_anybody_may_come_nobody_is_known(tmp_path):
    assert asked(tmp_path, "GET", "/open", bearer()).json == "nobody"


def test_a_body_of_somebody_unknown_is_not_read(tmp_path):
    async def main():
        async with serving(tmp_path) as running:
            read = []

            async def receive():
                read.append(1)
                return {"type": "http.request", "body": b"x", "more_body": True}

            sent = []

            async def send(message):
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/refunds", "query_string": b"", "headers": []}
            await running[EU].gateway(scope, receive, send)
            return sent[0]["status"], read

    assert asyncio.run(main()) == (401, [])


def test_a_revocation_reaches_the_other_region(tmp_path):
    async def main():
        async with serving(tmp_path) as running:
            mine, other = bearer(jti="a"), bearer(jti="b")
            before = [(await ask(running[US].gateway, "GET", "/me", headers=one)).status for one in (mine, other)]
            assert (await ask(running[EU].gateway, "POST", "/log-out", headers=mine)).status == 204
            await running.settled()
            after = [(await ask(running[US].gateway, "GET", "/me", headers=one)).status for one in (mine, other)]
            return before, after

    assert asyncio.run(main()) == ([200, 200], [401, 200])


def test_with_the_provider_and_the_global_store_gone_known_keys_serve_on(tmp_path):
    async def main():
        async with serving(tmp_path) as running:
            await ask(running[EU].gateway, "GET", "/me", headers=bearer())
            running.outside.away = True
            running.links.cut |= {(EU, "witness"), (EU, US), (US, EU)}
            return (await ask(running[EU].gateway, "GET", "/me", headers=bearer(jti="new"))).status

    assert asyncio.run(main()) == 200


def test_a_region_without_keys_says_so_and_that_nothing_was_started(tmp_path):
    async def main():
        async with system(shop(), tmp_path) as running:
            door = running[EU].gateway
            return await ask(door, "GET", "/me", headers=bearer()), await ask(door, "GET", "/_proa/health")

    reply, health = asyncio.run(main())
    assert (reply.status, reply.json["code"], reply.headers["proa-not-started"]) == (503, "PROA-I001", "true")
    assert int(reply.headers["retry-after"]) >= 1
    assert (health.status, list(health.json["checks"])) == (503, ["identity"])


def test_keys_are_fetched_before_anybody_asks(tmp_path):
    async def main():
        async with serving(tmp_path) as running:
            source = running[EU].authenticator.sources[ISSUER]
            async with asyncio.timeout(5):
                while source.age_s == float("inf"):
                    await asyncio.sleep(0)

    asyncio.run(main())


# Declarations.


@pytest.mark.parametrize("auth", [scopes("a"), roles("a"), "optional"])
def test_a_route_can_demand_nothing_of_whom_nobody_authenticates(auth):
    app = App("shop", regions=[EU])

    async def handler() -> None: ...

    with pytest.raises(DeclarationError, match="authenticate"):
        app.get("/", auth=auth)(handler)


def test_a_handler_cannot_ask_who_asks_where_nobody_authenticates():
    app = App("shop", regions=[EU])

    async def handler(who: Principal) -> None: ...

    with pytest.raises(DeclarationError, match="authenticate"):
        app.get("/")(handler)


@pytest.mark.parametrize("auth", [None, "optional"])
def test_a_handler_that_must_know_who_asks_cannot_let_anybody_in(auth):
    app = App("shop", regions=[EU])
    app.authenticate(ApiKeys())

    async def handler(who: Principal) -> None: ...

    with pytest.raises(DeclarationError, match="Principal"):
        app.get("/", auth=auth)(handler)


def test_authentication_is_declared_once():
    app = App("shop", regions=[EU])
    app.authenticate(ApiKeys())
    with pytest.raises(DeclarationError, match="twice"):
        app.authenticate(ApiKeys())


def test_a_region_that_demands_something_else_is_not_at_parity():
    def declared(auth):
        app = App("shop", regions=[EU])
        app.authenticate(ApiKeys())

        @app.get("/", auth=auth)
        async def handler() -> None: ...

        return schema_of(app)

    kinds = [scopes("a"), scopes("b"), roles("a"), None, "optional", scopes("a") & roles("a")]
    assert len({declared(auth) for auth in kinds}) == len(kinds)


def test_tables_of_authentication_are_rows_like_others():
    app = shop()
    assert {name: table.mode for name, table in app.tables.items()} == {
        "proa_revocations": "any",
        "proa_api_keys": "any",
    }
    assert json.dumps(sorted(app.merges())) == '["proa_api_keys", "proa_revocations"]'
