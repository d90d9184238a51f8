"""Authentication in one region: outages of the provider, new keys, revocations, API keys, and what is remembered."""

import asyncio
import functools
import json

import pytest

from proa import ApiKeys, App, Oidc
from proa.core.identity.apikey import ISSUER as OWN
from proa.core.identity.revocation import target
from proa.declare.authentication import KEYS
from proa.errors import DeclarationError, KeysUnavailable, NotFound, Unprocessable
from proa.runtime.identity.events import CredentialsVerified, KeysFetched, KeysNotFetched
from support.believers import believer
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer

KEPT = "SELECT value FROM rows WHERE tbl = ?"


def shop(regions=("eu", "us"), **options):
    app = App("shop", regions=regions)
    provider = Oidc(ISSUER, AUDIENCE, jwks_url=JWKS, stale_s=3600, **options)
    app.authenticate(provider, ApiKeys(), recheck_s=1)
    return app


def at_one(scenario):
    """Run a scenario with a believer of the shop."""

    @functools.wraps(scenario)
    def test():
        async def main():
            async with believer(shop()) as one:
                await scenario(one)

        asyncio.run(main())

    del test.__wrapped__  # pytest would ask for the scenario's parameters
    return test


# Keys, and the provider's outages.


@at_one
async def test_keys_are_fetched_once_for_all_who_come_at_once(one):
    tokens = [one.issuer.token(jti=str(number)) for number in range(20)]
    await asyncio.gather(*(one.believe(token) for token in tokens))
    assert one.outside.asked == [JWKS]


@at_one
async def test_a_token_of_a_new_key_is_believed_at_once_and_the_old_key_lives_on(one):
    old, new = one.issuer.token(), Issuer(one.clock.now, "k2", "RS256")
    await one.believe(old)
    one.publish(new, one.issuer)
    one.clock.time += 6
    assert (await one.believe(new.token())).subject == "ada"
    assert (await one.believe(one.issuer.token(jti="t-2"))).subject == "ada"
    assert len(one.outside.asked) == 2


@at_one
async def test_a_key_that_is_withdrawn_is_believed_no_longer_than_it_takes_to_hear_of_it(one):
    await one.believe(one.issuer.token(jti="t-1"))
    one.publish(Issuer(one.clock.now, "k2"))
    one.clock.time += 301
    await one.believe(one.issuer.token(jti="t-2"))  # aged keys serve while they are fetched
    await one.fetched()
    assert await one.refused(one.issuer.token(jti="t-3")) == "unknown_key"


@at_one
async def test_keys_at_hand_serve_on_through_an_outage_up_to_their_bound(one):
    await one.believe(one.issuer.token())
    one.outside.away = True
    one.clock.time += 3600
    assert (await one.believe(one.issuer.token(jti="t-2"))).subject == "ada"
    await one.fetched()
    one.clock.time += 5
    with pytest.raises(KeysUnavailable) as refused:
        await one.believe(one.issuer.token(jti="t-3"))
    assert (refused.value.status, refused.value.not_started) == (503, True)
    assert refused.value.headers == {"retry-after": "6"}
    assert one.authenticator.failing() == ISSUER


@at_one
async def test_what_is_remembered_lasts_through_an_outage_of_any_length(one):
    token = one.issuer.token(exp=int(one.clock.now()) + 7200)
    await one.believe(token)
    one.outside.away = True
    one.clock.time += 3700
    assert (await one.believe(token)).subject == "ada"


@at_one
async def test_an_outage_is_told_when_it_begins_and_when_it_ends(one):
    await one.believe(one.issuer.token())
    one.outside.away = True
    for jti in ("a", "b", "c"):
        one.clock.time += 301
        await one.believe(one.issuer.token(jti=jti))
        await one.fetched()
    one.outside.away = False
    one.clock.time += 301
    await one.believe(one.issuer.token(jti="d"))
    await one.fetched()
    assert len(one.told(KeysNotFetched)) == 1
    assert [event.after_outage for event in one.told(KeysFetched)] == [False, True]
    assert one.authenticator.failing() == ""


@at_one
async def test_a_provider_that_is_out_from_the_start_is_asked_seldom(one):
    one.outside.away = True
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            await one.believe(one.issuer.token())
    assert len(one.outside.asked) == 1
    one.outside.away = False
    one.clock.time += 5
    assert (await one.believe(one.issuer.token())).subject == "ada"


@at_one
async def test_a_new_key_during_an_outage_is_not_called_a_forgery(one):
    await one.believe(one.issuer.token())
    one.outside.away = True
    one.clock.time += 6
    with pytest.raises(KeysUnavailable):
        await one.believe(Issuer(one.clock.now, "k2").token())


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b'{"keys": []}', b'{"keys": {}}', b'{"keys": [{"kty": "oct", "kid": "x"}]}', b"[" * 100_000],
)
def test_an_answer_without_keys_is_no_answer(document):
    async def main():
        async with believer(shop()) as one:
            await one.believe(one.issuer.token())
            one.outside.documents[JWKS] = document
            one.clock.time += 301
            await one.believe(one.issuer.token(jti="t-2"))
            await one.fetched()
            assert (await one.believe(one.issuer.token(jti="t-3"))).subject == "ada"
            assert len(one.told(KeysNotFetched)) == 1

    asyncio.run(main())


def test_keys_are_found_by_discovery():
    async def main():
        app = App("shop", regions=["eu"])
        app.authenticate(Oidc(ISSUER, AUDIENCE))
        async with believer(app) as one:
            discovery = ISSUER + "/.well-known/openid-configuration"
            one.outside.documents[discovery] = json.dumps({"issuer": ISSUER, "jwks_uri": JWKS, "more": 1}).encode()
            assert (await one.believe(one.issuer.token())).subject == "ada"
            assert one.outside.asked == [discovery, JWKS]

    asyncio.run(main())


@pytest.mark.parametrize(
    "found",
    [{"issuer": "https://evil.example", "jwks_uri": JWKS}, {"issuer": ISSUER, "jwks_uri": "http://evil.example"}],
)
def test_discovery_leads_nowhere_that_is_not_to_be_trusted(found):
    async def main():
        app = App("shop", regions=["eu"])
        app.authenticate(Oidc(ISSUER, AUDIENCE))
        async with believer(app) as one:
            one.outside.documents[ISSUER + "/.well-known/openid-configuration"] = json.dumps(found).encode()
            with pytest.raises(KeysUnavailable):
                await one.believe(one.issuer.token())
            assert len(one.outside.asked) == 1

    asyncio.run(main())


def test_two_issuers_are_told_apart_by_what_they_sign():
    async def main():
        other, url = "https://partner.example", "https://partner.example/jwks"
        app = App("shop", regions=["eu"])
        app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS), Oidc(other, "partners", jwks_url=url))
        async with believer(app) as one:
            partner = Issuer(one.clock.now, "k1", "RS256", issuer=other)
            one.outside.documents[url] = partner.jwks()
            assert (await one.believe(one.issuer.token())).issuer == ISSUER
            assert (await one.believe(partner.token(aud="partners"))).issuer == other
            assert await one.refused(partner.token(aud=AUDIENCE)) == "audience"
            assert await one.refused(partner.token(iss=ISSUER)) == "algorithm"

    asyncio.run(main())


# What is remembered.


@at_one
async def test_a_token_is_verified_once_and_then_looked_up(one):
    token = one.issuer.token()
    reads = counting(one.units.store)
    first = await one.believe(token)
    for _ in range(10):
        assert await one.believe(token) is first
    assert (len(one.told(CredentialsVerified)), len(reads)) == (1, 1)


@at_one
async def test_a_remembered_token_is_looked_at_again_after_a_second_and_ends_with_its_time(one):
    token = one.issuer.token()
    reads = counting(one.units.store)
    await one.believe(token)
    one.clock.time += 1
    await one.believe(token)
    assert len(reads) == 2
    one.clock.time += 328.9
    await one.believe(token)
    one.clock.time += 0.2
    assert await one.refused(token) == "expired"
    assert len(one.told(CredentialsVerified)) == 1


@at_one
async def test_what_is_remembered_of_a_flood_of_tokens_is_bounded(one):
    one.authenticator._memory._limit = 10
    for number in range(50):
        await one.believe(one.issuer.token(jti=str(number)))
    assert len(one.authenticator._memory) <= 20


def counting(store):
    """The reads of a store from now on."""
    reads, read = [], store.read

    async def counted(keys):
        reads.append(keys)
        return await read(keys)

    store.read = counted
    return reads


# Revocations.


@at_one
async def test_a_token_is_revoked_by_its_id_and_no_other_with_it(one):
    one_token, other = one.issuer.token(jti="a"), one.issuer.token(jti="b")
    principal = await one.believe(one_token)
    await one.believe(other)
    await one.do(lambda ctx: auth(one).revoke(principal, ctx, reason="lost"))
    one.clock.time += 1
    assert await one.refused(one_token) == "revoked"
    assert (await one.believe(other)).subject == "ada"


@at_one
async def test_all_tokens_of_a_subject_are_revoked_and_later_ones_are_good(one):
    token, other = one.issuer.token(), one.issuer.token(sub="bob")
    await one.believe(token)
    await one.do(lambda ctx: auth(one).revoke_subject(ISSUER, "ada", ctx))
    one.clock.time += 1
    assert await one.refused(token) == "revoked"
    assert (await one.believe(other)).subject == "bob"
    assert await one.refused(one.issuer.token()) == "revoked", "the provider's clock may be ahead by the leeway"
    one.clock.time += 30
    assert (await one.believe(one.issuer.token())).subject == "ada"


@at_one
async def test_all_that_an_issuer_signed_is_revoked(one):
    token, key = one.issuer.token(), await one.do(lambda ctx: auth(one).keys.issue("robot", ctx))
    await one.do(lambda ctx: auth(one).revoke_issuer(ISSUER, ctx))
    assert await one.refused(token) == "revoked"
    assert (await one.believe(key)).subject == "robot"


@at_one
async def test_a_token_without_a_time_of_issue_is_revoked_with_its_subject(one):
    await one.do(lambda ctx: auth(one).revoke_subject(ISSUER, "ada", ctx))
    one.clock.time += 60
    assert await one.refused(one.issuer.token(iat=None)) == "revoked"


@at_one
async def test_a_token_without_an_id_cannot_be_revoked_alone(one):
    principal = await one.believe(one.issuer.token(jti=None))
    with pytest.raises(Unprocessable):
        await one.do(lambda ctx: auth(one).revoke(principal, ctx))


@at_one
async def test_a_revocation_lasts_as_long_as_anything_it_means(one):
    await one.do(lambda ctx: auth(one).revoke_subject(ISSUER, "ada", ctx))
    long_lived = one.issuer.token(exp=int(one.clock.now()) + 86400)
    one.clock.time += 86400
    assert await one.refused(long_lived) == "revoked"
    one.clock.time += 1000
    assert await one.refused(long_lived) == "expired"
    with one.units():
        assert await auth(one).revocations.get(target("subject", ISSUER, "ada"), None) is None


@at_one
async def test_a_clock_that_went_back_takes_nothing_back(one):
    token = one.issuer.token()
    await one.do(lambda ctx: auth(one).revoke_subject(ISSUER, "ada", ctx))
    one.clock.time -= 100
    await one.do(lambda ctx: auth(one).revoke_subject(ISSUER, "ada", ctx))
    one.clock.time += 100
    assert await one.refused(token) == "revoked"


@at_one
async def test_nobody_can_be_revoked_whom_nobody_here_issues_for(one):
    with pytest.raises(Unprocessable):
        await one.do(lambda ctx: auth(one).revoke_subject("https://idp.example.evil", "ada", ctx))


def test_a_revocation_reaches_another_region_and_the_later_of_two_stands():
    async def main():
        app = shop()
        async with believer(app, "eu") as eu, believer(app, "us") as us:
            token = eu.issuer.token()
            await us.believe(token)
            await eu.do(lambda ctx: app.authentication.revoke_subject(ISSUER, "ada", ctx))
            us.clock.time += 100
            later = us.issuer.token(jti="later")
            await us.do(lambda ctx: app.authentication.revoke_subject(ISSUER, "ada", ctx))
            eu.clock.time = us.clock.time
            for here, there in ((eu, us), (us, eu)):
                await here.units.pull(there.units)
            for region in (eu, us):
                assert await region.refused(token) == "revoked"
                assert await region.refused(later) == "revoked"

    asyncio.run(main())


# API keys.


@at_one
async def test_a_key_is_good_in_its_header_and_as_a_bearer(one):
    key = await one.do(
        lambda ctx: auth(one).keys.issue("robot", ctx, scopes=["orders:read"], roles=["job"], tenant="acme")
    )
    for header in ("authorization", "x-api-key"):
        principal = await one.believe(key, header)
        assert (principal.subject, principal.issuer, principal.tenant) == ("robot", OWN, "acme")
        assert (principal.scopes, principal.roles, principal.credential) == ({"orders:read"}, {"job"}, "key")


@at_one
async def test_nothing_that_is_kept_of_a_key_lets_anybody_in(one):
    key = await one.do(lambda ctx: auth(one).keys.issue("robot", ctx))
    (kept,) = [row[0] for row in one.units.store._reader.execute(KEPT, (KEYS,))]
    _, key_id, secret = key.split("_")
    assert key_id.encode() in kept
    assert secret.encode() not in kept
    assert bytes.fromhex(secret) not in kept


@at_one
async def test_a_key_ends_with_its_lifetime(one):
    key = await one.do(lambda ctx: auth(one).keys.issue("robot", ctx, lifetime_s=60))
    one.clock.time += 59.5
    await one.believe(key)
    one.clock.time += 0.5
    assert await one.refused(key) == "api_key"


@at_one
async def test_a_rotated_key_is_good_for_the_overlap_and_its_successor_like_it(one):
    old = await one.do(lambda ctx: auth(one).keys.issue("robot", ctx, scopes=["a"], lifetime_s=1000))
    first = await one.believe(old)
    one.clock.time += 100
    new = await one.do(lambda ctx: auth(one).keys.rotate(first.id, ctx, overlap_s=60))
    second = await one.believe(new)
    assert (second.subject, second.scopes, second.expires_at) == ("robot", {"a"}, one.clock.now() + 1000)
    one.clock.time += 59
    assert (await one.believe(old)).subject == "robot"
    one.clock.time += 1
    assert await one.refused(old) == "api_key"
    assert (await one.believe(new)).subject == "robot"


@at_one
async def test_an_ended_key_is_refused_within_a_second_and_stays_ended(one):
    key = await one.do(lambda ctx: auth(one).keys.issue("robot", ctx))
    principal = await one.believe(key)
    await one.do(lambda ctx: auth(one).revoke(principal, ctx))
    one.clock.time += 1
    assert await one.refused(key) == "api_key"
    with pytest.raises(NotFound):
        await one.do(lambda ctx: auth(one).keys.rotate(principal.id, ctx))


@at_one
async def test_all_keys_of_a_subject_end_at_once_and_new_ones_are_good(one):
    keys = [await one.do(lambda ctx: auth(one).keys.issue("robot", ctx)) for _ in range(2)]
    one.clock.time += 1
    await one.do(lambda ctx: auth(one).revoke_subject(OWN, "robot", ctx))
    assert [await one.refused(key) for key in keys] == ["revoked"] * 2
    one.clock.time += 1
    assert (await one.believe(await one.do(lambda ctx: auth(one).keys.issue("robot", ctx)))).subject == "robot"


def test_a_key_that_one_region_ends_while_another_rotates_it_is_ended():
    async def main():
        app = shop()
        async with believer(app, "eu") as eu, believer(app, "us") as us:
            key = await eu.do(lambda ctx: app.authentication.keys.issue("robot", ctx))
            await us.units.pull(eu.units)
            principal = await us.believe(key)
            for region in (eu, us):
                region.clock.time += 10
            await eu.do(lambda ctx: app.authentication.keys.end(principal.id, ctx))
            us.clock.time += 1
            await us.do(lambda ctx: app.authentication.keys.rotate(principal.id, ctx, overlap_s=3600))
            eu.clock.time = us.clock.time = us.clock.time + 1
            for here, there in ((eu, us), (us, eu)):
                await here.units.pull(there.units)
            assert [await region.refused(key) for region in (eu, us)] == ["api_key"] * 2

    asyncio.run(main())


def auth(one):
    return one.authenticator._declared


# Declarations.


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"issuer": ""}, "issuer and an audience"),
        ({"audience": ()}, "issuer and an audience"),
        ({"issuer": "http://idp.example"}, "https only"),
        ({"jwks_url": "http://idp.example/jwks"}, "https only"),
        ({"jwks_url": "file:///etc/passwd"}, "https only"),
        ({"algorithms": ("HS256",)}, "algorithms are of"),
        ({"algorithms": ("none",)}, "algorithms are of"),
        ({"algorithms": ()}, "algorithms are of"),
        ({"leeway_s": 301}, "leeway_s"),
        ({"leeway_s": -1}, "leeway_s"),
        ({"lifetime_max_s": 0}, "lifetime_max_s"),
        ({"stale_s": 10}, "stale_s"),
    ],
)
def test_a_provider_that_could_not_be_trusted_is_refused_when_it_is_declared(options, said):
    with pytest.raises(DeclarationError, match=said):
        Oidc(**({"issuer": ISSUER, "audience": AUDIENCE} | options))


@pytest.mark.parametrize(
    "sources",
    [(), (Oidc(ISSUER, "a"), Oidc(ISSUER, "b")), (ApiKeys(), ApiKeys("x-other"))],
    ids=["none", "one issuer twice", "keys twice"],
)
def test_sources_that_contradict_each_other_are_refused(sources):
    with pytest.raises(DeclarationError):
        App("shop", regions=["eu"]).authenticate(*sources)


@pytest.mark.parametrize("options", [{"recheck_s": -1}, {"remembered": 0}])
def test_memory_that_makes_no_sense_is_refused(options):
    with pytest.raises(DeclarationError):
        App("shop", regions=["eu"]).authenticate(ApiKeys(), **options)


def test_there_are_no_keys_to_issue_where_none_are_declared():
    declared = App("shop", regions=["eu"]).authenticate(Oidc(ISSUER, AUDIENCE))
    with pytest.raises(DeclarationError):
        _ = declared.keys
