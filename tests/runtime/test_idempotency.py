"""Idempotency, case by case: each test is something that users of other libraries for it ask for or were bitten by.

What a region does about the crash of its process is in `tests/e2e`, what two regions do about one regional key in
`test_duplicates.py`.
"""

import asyncio
import time
from dataclasses import dataclass

import pytest

from proa import AlreadyExists, App, Context, Idempotency, Oidc, Principal, Response
from proa.core.roles import Assignment
from proa.errors import DeclarationError, HttpError
from support.asgi import ask
from support.inproc import system
from support.issuer import AUDIENCE, ISSUER, JWKS, Issuer

EU, US = "eu", "us"


class Broken(HttpError):
    """A typed failure of the app's own making, a 5xx.

    Cause: a test.
    Fix: none.
    """

    code = "TEST-BROKEN"
    status = 502
    title = "Broken"


@dataclass
class Note:
    id: str
    text: str = ""


@dataclass
class Card:
    id: str
    region: str
    holder: str


class Shop:
    """An app whose handler counts its runs and does as it is told, in two regions."""

    def __init__(self, idempotent, options):
        self.app = App("shop", regions=[EU, US], max_response_bytes=1000)
        self.notes = self.app.table("notes", Note, key="id")
        self.runs = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.then = None

        @self.app.post("/notes", idempotent=idempotent, status=201, **options)
        async def write(note: Note, ctx: Context) -> Response | dict[str, str]:
            self.runs += 1
            await self.notes.put(Note(ctx.unit, note.text))
            await self.may_go_on.wait()
            return self.then() if self.then else {"unit": ctx.unit}

    async def send(self, key=None, text="a", headers=()):
        """Post a note through the front door."""
        asked = [*headers, *([("Idempotency-Key", key)] if key is not None else [])]
        body = {"id": "", "text": text}
        return await ask(self.running[EU].gateway, "POST", "/notes", headers=asked, body=body)

    def held(self):
        """How many notes there are."""
        reader = self.running[EU].store._reader
        return reader.execute("SELECT count(*) FROM rows WHERE tbl = 'notes' AND value IS NOT NULL").fetchone()[0]

    def play(self, folder, scenario):
        async def main():
            async with system(self.app, folder) as self.running:
                await scenario(self)

        asyncio.run(main())


def shop(idempotent: object = True, **options):  # noqa: FBT002 - what a route says
    """A test of one shop, whose route says this of keys."""

    def decorate(scenario):
        def test(tmp_path):
            Shop(idempotent, options).play(tmp_path, scenario)

        test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
        return test

    return decorate


def replayed(reply):
    return reply.headers.get("idempotency-replayed") == "true"


# The key.


@shop()
async def test_a_missing_key_is_refused_and_not_passed_over_with_a_warning(one):
    reply = await one.send(None)
    assert (reply.status, reply.json["code"]) == (400, "PROA-H401")
    assert (one.runs, one.held()) == (0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "")],
        [("Idempotency-Key", '""')],
        [("Idempotency-Key", "two words")],
        [("Idempotency-Key", "x" * 256)],
        [("Idempotency-Key", "k\xe9y")],
        [("Idempotency-Key", "one"), ("Idempotency-Key", "two")],
        [("Idempotency-Key", "one"), ("Idempotency-Key", "one")],
    ],
    ids=["empty", "empty quotes", "a blank", "too long", "not ASCII", "two keys", "one key twice"],
)
def test_what_is_not_one_key_of_visible_characters_is_refused(headers, tmp_path):
    async def scenario(one):
        reply = await one.send(headers=headers)
        assert (reply.status, one.runs, one.held()) == (400, 0, 0)

    Shop(True, {}).play(tmp_path, scenario)


@shop(Idempotency(key_length_max=36))
async def test_a_route_may_take_shorter_keys_only(one):
    assert (await one.send("x" * 37)).status == 400
    assert (await one.send("x" * 36)).status == 201
    assert one.runs == 1


@shop()
async def test_a_key_in_quotes_as_the_draft_writes_it_is_the_same_key(one):
    await one.send("8e03978e-40d5-43e8-bc93-6894a57f9324")
    assert replayed(await one.send('"8e03978e-40d5-43e8-bc93-6894a57f9324"'))
    await one.send(r'"a\"b\\c"')
    assert replayed(await one.send(r'a"b\c'))
    assert one.runs == 2


@shop(Idempotency(required=False))
async def test_where_keys_are_optional_each_request_without_one_runs(one):
    for _ in range(2):
        assert (await one.send(None)).status == 201
    assert (one.runs, one.held()) == (2, 2)
    await one.send("k")
    assert replayed(await one.send("k"))


# The replay.


@shop()
async def test_a_replay_has_the_status_headers_and_body_of_the_first_answer_and_says_that_it_is_one(one):
    one.then = lambda: Response({"text": "done"}, 202, {"Location": "/notes/1", "X-Cost": "3"})
    first, again = await one.send("k"), await one.send("k")
    assert (first.status, first.headers["location"], replayed(first)) == (202, "/notes/1", False)
    assert (again.status, again.body) == (first.status, first.body)
    assert first.headers.items() <= again.headers.items()
    assert replayed(again)
    assert len(again.headers["proa-original-unit"]) == 32
    assert (one.runs, one.held()) == (1, 1)


@shop()
async def test_another_payload_under_a_used_key_is_refused(one):
    await one.send("k", "a")
    reply = await one.send("k", "b")
    assert (reply.status, reply.json["code"]) == (422, "PROA-H423")
    assert (one.runs, one.held()) == (1, 1)


# A repeat while the first is running.


async def in_flight(one):
    """The first request under a key, once its handler is running, and stands still."""
    one.may_go_on.clear()
    first = asyncio.ensure_future(one.send("k"))
    while not one.runs:
        await asyncio.sleep(0)
    return first


@shop()
async def test_a_repeat_waits_for_the_answer_of_the_first(one):
    first = await in_flight(one)
    repeats = [asyncio.ensure_future(one.send("k")) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(repeat.done() for repeat in repeats)
    one.may_go_on.set()
    answer = await first
    assert {(await repeat).body for repeat in repeats} == {answer.body}
    assert all([replayed(await repeat) for repeat in repeats])
    assert (one.runs, one.held()) == (1, 1)


@shop(Idempotency(in_flight="refuse"))
async def test_a_repeat_is_refused_at_once_where_the_route_lets_nobody_wait(one):
    first = await in_flight(one)
    reply = await one.send("k")
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (409, "PROA-H411", "1")
    one.may_go_on.set()
    assert (await first).status == 201
    assert replayed(await one.send("k"))


@shop()
async def test_a_repeat_that_has_no_answer_by_its_deadline_is_told_to_come_again(one):
    first = await in_flight(one)
    reply = await one.send("k", headers=[("Proa-Deadline-Ms", "50")])
    assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (409, "PROA-H411", "1")
    one.may_go_on.set()
    assert (await first).status == 201
    assert replayed(await one.send("k"))
    assert (one.runs, one.held()) == (1, 1)


@shop()
async def test_another_payload_is_refused_while_the_first_is_running_too(one):
    first = await in_flight(one)
    assert (await one.send("k", "b")).status == 422
    one.may_go_on.set()
    assert (await first).status == 201


@shop()
async def test_who_waited_for_a_first_request_that_failed_runs_in_its_place(one):
    def fails_once():
        if one.runs == 1:
            raise RuntimeError("the first one fails")
        return {"run": str(one.runs)}

    one.then = fails_once
    first = await in_flight(one)
    repeat = asyncio.ensure_future(one.send("k"))
    await asyncio.sleep(0)
    one.may_go_on.set()
    assert ((await first).status, (await repeat).status) == (500, 201)
    assert (one.runs, one.held()) == (2, 1)


# Failures.


def raises(error):
    def then():
        raise error

    return then


FAILURES = {
    "an exception": (raises(RuntimeError("defect")), 500),
    "a typed 5xx": (raises(Broken()), 502),
    "a returned 5xx": (lambda: Response("broken", 503), 503),
    "a typed 4xx": (raises(AlreadyExists("taken")), 409),
}
REPLAYED = {
    "typed": {"a typed 4xx"},
    "none": set(),
    "all": {"an exception", "a typed 5xx", "a returned 5xx", "a typed 4xx"},
}


@pytest.mark.parametrize("failures", REPLAYED)
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_leaves_no_rows_and_is_replayed_as_the_route_says(name, failures, tmp_path):
    async def scenario(one):
        one.then, status = FAILURES[name]
        first, again = await one.send("k"), await one.send("k")
        assert (first.status, again.status) == (status, status)
        assert (one.held(), replayed(first)) == (0, False)
        assert (replayed(again), one.runs) == ((True, 1) if name in REPLAYED[failures] else (False, 2))
        one.then = None
        last = await one.send("k")
        assert (last.status, one.held()) == ((status, 0) if name in REPLAYED[failures] else (201, 1))

    Shop(Idempotency(failures=failures), {}).play(tmp_path, scenario)


@shop()
async def test_a_4xx_that_the_handler_returns_is_a_result_and_its_rows_stand(one):
    one.then = lambda: Response("declined", 402)
    first, again = await one.send("k"), await one.send("k")
    assert (first.status, again.status, replayed(again), one.held()) == (402, 402, True, 1)


@shop()
async def test_a_request_that_does_not_fit_the_route_does_not_use_its_key_up(one):
    assert (await one.send("k", 7)).status == 422
    assert (await one.send("k", "right")).status == 201
    assert one.runs == 1


# What is kept.


@shop(Idempotency(record_bytes_max=300))
async def test_an_answer_too_large_to_be_kept_is_refused_before_anything_happened(one):
    one.then = lambda: {"text": "x" * 300}
    assert (await one.send("k")).json["code"] == "PROA-U008"
    assert one.held() == 0
    one.then = lambda: {"text": "x" * 100}
    assert (await one.send("k")).status == 201


@shop(Idempotency(record_bytes_max=300))
async def test_headers_count_for_what_is_kept(one):
    one.then = lambda: Response("", 200, {"x-long": "x" * 300})
    assert ((await one.send("k")).json["code"], one.held()) == ("PROA-U008", 0)


@shop(Idempotency(expires_s=0.05))
async def test_a_key_is_forgotten_when_the_route_says(one):
    await one.send("k")
    assert replayed(await one.send("k"))
    await asyncio.sleep(0.06)
    assert not replayed(await one.send("k", "another payload"))
    assert (one.runs, one.held()) == (2, 2)


# Regions.


def test_a_first_run_that_stalls_in_one_region_never_overwrites_the_answer_of_another(tmp_path):
    """No lock of one region is needed, and none runs out: the commit decides, and the late one replays."""

    async def main():
        app = App("shop", regions=[EU, US])
        stock = app.table("stock", Note, key="id", mode="strong")
        stalled, go_on = asyncio.Event(), asyncio.Event()
        runs = []

        @app.post("/sales", idempotent=True)
        async def sell(ctx: Context) -> dict[str, str]:
            runs.append(ctx.region)
            if ctx.region == EU and len(runs) == 1:
                stalled.set()
                await go_on.wait()
            await stock.put(Note(ctx.unit))
            return {"sold": ctx.unit}

        async with system(app, tmp_path) as running:

            async def sale(region):
                return await ask(running[region].gateway, "POST", "/sales", headers=[("Idempotency-Key", "k")])

            late = asyncio.ensure_future(sale(EU))
            await stalled.wait()
            winner = await sale(US)
            go_on.set()
            loser = await late
            rows = await running.store.scan("stock")
            return runs, winner, loser, len(rows)

    runs, winner, loser, rows = asyncio.run(main())
    assert (runs, rows) == ([EU, US], 1)
    assert (winner.body, replayed(winner)) == (loser.body, False)
    assert replayed(loser)


# Whose key it is.


@pytest.fixture
def members(tmp_path):
    """A route for known principals, and a function that posts as one of them."""
    idp = Issuer(time.time)
    app = App("club", regions=[EU, US])
    app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS))
    runs = []

    @app.post("/cards", idempotent=True)
    async def card(who: Principal, ctx: Context) -> dict[str, str]:
        runs.append(who.subject)
        return {"of": who.subject, "key": ctx.idempotency_key or ""}

    def play(*subjects):
        async def main():
            async with system(app, tmp_path, {JWKS: idp.jwks()}) as running:
                return [
                    await ask(
                        running[EU].gateway,
                        "POST",
                        "/cards",
                        headers=[
                            ("Idempotency-Key", "k"),
                            ("Authorization", f"Bearer {idp.token(sub=subject, jti=str(number))}"),
                        ],
                    )
                    for number, subject in enumerate(subjects)
                ]

        return asyncio.run(main()), runs

    return play


def test_nobody_is_answered_with_what_another_one_did_under_the_same_key(members):
    (ada, bob), runs = members("ada", "bob")
    assert (ada.json, bob.json) == ({"of": "ada", "key": "k"}, {"of": "bob", "key": "k"})
    assert (replayed(bob), runs) == (False, ["ada", "bob"])


def test_a_repeat_with_a_renewed_token_is_a_repeat(members):
    (first, again), runs = members("ada", "ada")
    assert (replayed(again), again.body, runs) == (True, first.body, ["ada"])


def test_who_asks_goes_with_a_request_to_the_home_of_its_row(tmp_path):
    """The home runs it for whoever showed the token elsewhere, and a repeat through a third region finds it."""
    idp, regions = Issuer(time.time), ["ap", EU, US]

    async def main():
        app = App("club", regions=regions)
        app.authenticate(Oidc(ISSUER, AUDIENCE, jwks_url=JWKS))
        cards = app.table("cards", Card, key="id", home="region")
        runs = []

        @app.post("/cards", idempotent=True)
        async def card(who: Principal, ctx: Context) -> Card:
            runs.append(ctx.region)
            made = Card("c-1", EU, who.subject)
            await cards.put(made)
            return made

        async with system(app, tmp_path, {JWKS: idp.jwks()}) as running:
            roles = Assignment(1, "active-active", dict.fromkeys(regions, "active"))
            for region in running.regions.values():
                region.assume(roles, running.clock.monotonic() + 60)

            async def sent(region, subject):
                headers = [("Idempotency-Key", "k"), ("Authorization", f"Bearer {idp.token(sub=subject)}")]
                return await ask(running[region].gateway, "POST", "/cards", headers=headers)

            return [await sent("ap", "ada"), await sent(US, "ada"), await sent(US, "bob")], runs

    (first, again, other), runs = asyncio.run(main())
    assert (first.status, first.json["holder"], first.headers["proa-home"]) == (200, "ada", EU)
    assert (replayed(again), again.body) == (True, first.body)
    assert (replayed(other), other.json["holder"]) == (False, "bob")
    assert set(runs) == {"ap", EU, US}


# Declarations.


@pytest.mark.parametrize(
    "options",
    [
        {"expires_s": 0},
        {"record_bytes_max": 0},
        {"key_length_max": 0},
        {"key_length_max": 256},
        {"failures": "some"},
        {"in_flight": "race"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options):
    with pytest.raises(DeclarationError, match="Idempotency"):
        Idempotency(**options)
