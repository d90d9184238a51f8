"""A world whose identity provider cannot be reached: from one region, from all, and for longer than keys last."""

import asyncio

from proa import App, Context, Oidc, Principal
from proa.simulation import World, simulated
from proa.simulation.process import EPOCH_S
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer

EU, US, OUTSIDE = "eu-west-1", "us-east-1", "outside"


def shop():
    app = App("shop", regions=[EU, US])
    authentication = app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS, fresh_s=20, stale_s=60))

    @app.get("/me")
    async def me(who: Principal) -> str:
        return who.subject

    @app.post("/log-out-everywhere")
    async def log_out(who: Principal, ctx: Context) -> None:
        await authentication.revoke_subject(who.issuer, who.subject, ctx)

    return app


def issuer(world):
    """Tokens by the world's clock, with a key whose signatures repeat themselves."""
    return Issuer(lambda: EPOCH_S + world.loop.now_s, algorithm="EdDSA")


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def status(world, region, token, method="GET", path="/me"):
    return (await world[region].request(method, path, headers=bearer(token))).status


@simulated
async def test_a_region_cut_off_from_the_provider_serves_on_until_its_keys_are_too_old():
    async with World(shop(), seed=1) as world:
        world.documents[JWKS] = issuer(world).jwks()
        await asyncio.sleep(10)
        assert await status(world, EU, issuer(world).token(jti="a")) == 200
        world.partition([EU, US], OUTSIDE)
        await asyncio.sleep(50)
        assert await status(world, EU, issuer(world).token(jti="b")) == 200
        await asyncio.sleep(30)
        assert await status(world, EU, issuer(world).token(jti="c")) == 503
        world.heal()
        await asyncio.sleep(10)
        assert await status(world, EU, issuer(world).token(jti="d")) == 200


@simulated
async def test_clients_of_a_region_without_keys_are_served_by_another():
    async with World(shop(), seed=2) as world:
        world.documents[JWKS] = issuer(world).jwks()
        world.partition(EU, OUTSIDE)
        await asyncio.sleep(70)
        token = issuer(world).token()
        assert await status(world, EU, token) == 503
        assert (await world.edge.get("/me", headers=bearer(token))).status == 200


@simulated
async def test_what_one_region_revoked_before_it_was_lost_is_revoked_in_the_other():
    async with World(shop(), seed=3) as world:
        world.documents[JWKS] = issuer(world).jwks()
        await asyncio.sleep(10)
        token, other = issuer(world).token(), issuer(world).token(sub="bob")
        assert await status(world, US, token) == 200
        assert await status(world, EU, token, "POST", "/log-out-everywhere") == 204
        await world.settle()
        world.lose(EU)
        await asyncio.sleep(1)
        assert [await status(world, US, one) for one in (token, other)] == [401, 200]
