"""Rows of mode `home`: written where they live, whichever region is asked, and by one region at a time."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import AlreadyExists, App, Context, NotFound, strong
from proa.core.home import Place, acting
from proa.core.replicate.journal import Write
from proa.core.replicate.records import ConflictsWanted
from proa.core.roles import Assignment, Cut, Node
from proa.errors import LinkTimeout, NotHome
from proa.ports import Batch
from proa.runtime import forward, invoke
from proa.runtime.reapply import Reapply
from proa.runtime.records import Records
from support.inproc import system

REGIONS = ["eu", "us", "ap"]
HOLDERS = ("ap", "eu", "us")


@pytest.fixture(autouse=True)
def waits_are_short(monkeypatch):
    """A request that finds nobody in charge waits for somebody before it is refused, here not for so long."""
    for module in (invoke, forward):
        monkeypatch.setattr(module, "ROLE_WAIT_S", 0.7)


@dataclass
class Profile:
    id: str
    name: str
    logins: int = 0


@dataclass
class Member:
    id: str
    region: str
    name: str = ""


def club():
    app = App("club", regions=REGIONS)
    profiles = app.table("profiles", Profile, key="id", mode="home")
    members = app.table("members", Member, key="id", home="region")
    visits = app.table("visits", Profile, key="id")
    app.runs = []

    @app.put("/profiles")
    async def put(profile: Profile, ctx: Context) -> str:
        app.runs.append(ctx.region)
        await visits.put(profile)
        await profiles.put(profile)
        return ctx.region

    @app.post("/profiles/{id}/login", idempotent="optional")
    async def login(id: str, ctx: Context) -> Profile:
        app.runs.append(ctx.region)
        found = await profiles.get(id)
        await profiles.put(Profile(id, found.name, found.logins + 1))
        return await profiles.get(id)

    @app.post("/profiles/{id}/rename", idempotent=True)
    async def rename(id: str, name: str) -> None:
        found = await profiles.get(id, None)
        if found is None or found.name != name:
            raise AlreadyExists(f"{found}")
        await profiles.put(found)

    @app.post("/pairs")
    async def pair(one: str, other: str) -> None:
        await profiles.put(Profile(one, "x"))
        await profiles.put(Profile(other, "y"))

    @app.post("/nothing", idempotent=True)
    async def nothing(ctx: Context) -> str:
        if False:
            await profiles.put(Profile("", ""))
        return ctx.region

    @app.get("/profiles/{id}")
    async def read(id: str) -> Profile:
        return await profiles.get(id)

    @app.delete("/profiles/{id}")
    async def remove(id: str) -> None:
        await profiles.delete(id)

    @app.put("/members")
    async def join(member: Member, ctx: Context) -> str:
        await members.put(member)
        return ctx.region

    @app.delete("/members/{id}")
    async def leave(id: str, ctx: Context) -> str:
        await members.delete(id)
        return ctx.region

    @app.post("/hidden", unit="regional")
    async def hidden() -> None:
        await profiles.put(Profile("a", "x"))

    @app.post("/stubborn")
    async def stubborn(id: str, ctx: Context) -> str:
        try:
            await profiles.put(Profile(id, "x"))
        except BaseException:  # noqa: BLE001 - that is the point
            return "swallowed"
        return ctx.region

    @app.post("/together")
    async def together(id: str, ctx: Context) -> str:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(profiles.put(Profile(id, "x")))
        return ctx.region

    _strong_reads(app, profiles, members, visits)
    return app


def _strong_reads(app, profiles, members, visits):
    @app.get("/now/{ids}")
    async def now(ids: str, ctx: Context) -> str:
        app.runs.append(ctx.region)
        await profiles.get_many(ids.split("+"), level=strong)
        return ctx.region

    @app.get("/members/{id}/now")
    async def member_now(id: str) -> Member:
        return await members.get(id, level=strong)

    @app.get("/stubborn/{id}")
    async def stubborn_read(id: str, ctx: Context) -> str:
        try:
            await profiles.get(id, None, level=strong)
        except BaseException:  # noqa: BLE001 - that is the point
            return "swallowed"
        return ctx.region

    @app.post("/visits/{id}", idempotent=True)
    async def visit(id: str, ctx: Context) -> str:
        found = await profiles.get(id, level=strong)
        await visits.put(found)
        return ctx.region

    @app.effect(idempotent=True)
    async def ring(id: str) -> str:
        return id

    @app.post("/rings/{id}", idempotent=True, unit="regional")
    async def ring_first(id: str) -> None:
        await ring(id)
        await profiles.get(id, None, level=strong)


def lose_replies(running, region):
    """From now on a region does what it is asked to, and its answer is lost; returned is how it was."""
    served = running.links.methods[region]["invoke"]

    async def lost(caller, payload):
        await served(caller, payload)
        raise LinkTimeout("the reply was lost")

    running.links.methods[region]["invoke"] = lost
    return served


def run(folder, scenario, *, roles=True):
    async def main():
        async with system(club(), folder) as running:
            if roles:
                assume(running, assignment())
            await scenario(running)

    asyncio.run(main())


def assignment(epoch=1, revoked=None, cuts=(), **roles):
    every = dict.fromkeys(REGIONS, "active") | roles
    return Assignment(epoch, "active-active", every, revoked=revoked or {}, cuts=cuts)


def assume(s, roles, *regions, lease_s=60.0):
    for name in regions or s.regions:
        s[name].assume(roles, s.clock.monotonic() + lease_s)


def tell(s, epoch, *stopped, to=None):
    """Beats: what these regions have, as they stopped for `epoch`."""
    nodes = {name: Node(name, "region", "boot", 1, 60.0, cursors=s[name].cursors(), stopped=epoch) for name in stopped}
    for name in to or s.regions:
        s[name].handover.heard(nodes)


def key_of(home, holders=HOLDERS, skip=0):
    return [str(n) for n in range(1000) if acting(Place(str(n)), holders) == home][skip]


def stands_in(lost, stand_in):
    """A key of the lost region for which the other one acts then."""
    left = tuple(region for region in HOLDERS if region != lost)
    keys = (str(n) for n in range(1000))
    return next(k for k in keys if acting(Place(k), HOLDERS) == lost and acting(Place(k), left) == stand_in)


async def put(s, region, row, name="ada", **more):
    return await s.request(region, "PUT", "/profiles", {"id": row, "name": name}, **more)


def body(answer):
    return msgspec.json.decode(answer.body)


def header(answer, name):
    return dict(answer.headers).get(name)


# Where a unit runs.


@pytest.mark.parametrize("asked", REGIONS)
def test_a_row_is_written_in_its_home_whichever_region_is_asked(tmp_path, asked):
    async def scenario(s):
        answer = await put(s, asked, key_of("us"))
        assert (answer.status, body(answer)) == (200, "us")
        assert (header(answer, "proa-home"), header(answer, "proa-epoch")) == ("us", "1")
        assert [region for region in REGIONS if s[region].store.head] == ["us"]
        await s.settled()
        assert body(await s.request("ap", "GET", f"/profiles/{key_of('us')}"))["name"] == "ada"

    run(tmp_path, scenario)


def test_the_answer_of_a_home_is_given_as_it_is(tmp_path):
    async def scenario(s):
        missing = await s.request("eu", "POST", f"/profiles/{key_of('us')}/login")
        assert (missing.status, body(missing)["code"]) == (404, NotFound.code)
        await put(s, "us", key_of("us"))
        await s.settled()
        logins = [
            body(await s.request(region, "POST", f"/profiles/{key_of('us')}/login"))["logins"] for region in REGIONS
        ]
        assert logins == [1, 2, 3]

    run(tmp_path, scenario)


def test_a_key_is_decided_in_the_home(tmp_path):
    async def scenario(s):
        first = await put(s, "eu", key_of("us"), key="k1")
        again = await put(s, "ap", key_of("us"), key="k1")
        assert (first.status, again.status) == (200, 200)
        assert header(again, "idempotency-replayed") == "true"
        assert header(again, "proa-home") == "us"
        assert s["us"].store.head == 1
        other = await s.request("ap", "PUT", "/profiles", {"id": key_of("us"), "name": "bob"}, key="k1")
        assert other.status == 422

    run(tmp_path, scenario)


def test_a_refusal_under_a_key_is_decided_in_the_home_of_the_row_that_was_read(tmp_path):
    async def scenario(s):
        key = key_of("us")
        await put(s, "us", key)
        stale = await s.request("eu", "POST", f"/profiles/{key}/rename", key="k1", query="name=ada")
        assert stale.status == 204, "eu did not know the row yet, its home did"
        refused = await s.request("eu", "POST", f"/profiles/{key}/rename", key="k2", query="name=bob")
        again = await s.request("ap", "POST", f"/profiles/{key}/rename", key="k2", query="name=bob")
        assert (refused.status, again.status) == (409, 409)
        assert header(again, "idempotency-replayed") == "true"

    run(tmp_path, scenario)


def test_a_key_whose_unit_touched_no_such_row_has_one_place_all_the_same(tmp_path):
    async def scenario(s):
        ran = {body(await s.request(region, "POST", "/nothing", key="k1")) for region in REGIONS}
        assert ran == {acting(Place("k1"), HOLDERS)}

    run(tmp_path, scenario)


def test_rows_of_two_homes_in_one_unit_are_refused(tmp_path):
    async def scenario(s):
        pair = f"one={key_of('us')}&other={key_of('ap')}"
        refused = await s.request("eu", "POST", "/pairs", query=pair)
        assert (refused.status, body(refused)["code"]) == (500, "PROA-U010")
        same = f"one={key_of('us')}&other={key_of('us', skip=1)}"
        assert (await s.request("eu", "POST", "/pairs", query=same)).status == 204

    run(tmp_path, scenario)


def test_a_route_of_another_class_cannot_write_such_rows(tmp_path):
    async def scenario(s):
        assert body(await s.request("eu", "POST", "/hidden"))["code"] == "PROA-U003"

    run(tmp_path, scenario)


@pytest.mark.parametrize("how", ["stubborn", "together"])
def test_a_handler_that_hides_that_it_was_ended_is_run_in_the_home_all_the_same(tmp_path, how):
    async def scenario(s):
        assert body(await s.request("eu", "POST", f"/{how}", query=f"id={key_of('us')}")) == "us"

    run(tmp_path, scenario)


def test_a_delete_reaches_the_home(tmp_path):
    async def scenario(s):
        await put(s, "us", key_of("us"))
        assert (await s.request("eu", "DELETE", f"/profiles/{key_of('us')}")).status == 204
        assert (await s.request("us", "GET", f"/profiles/{key_of('us')}")).status == 404

    run(tmp_path, scenario)


# Strong reads.


def test_a_strong_read_is_run_in_the_home_and_an_unwilling_handler_with_it(tmp_path):
    async def scenario(s):
        key = key_of("us")
        for path in (f"/now/{key}", f"/now/{key}+{key_of('us', skip=1)}", f"/stubborn/{key}"):
            answer = await s.request("eu", "GET", path)
            assert (answer.status, body(answer), header(answer, "proa-home")) == (200, "us", "us")
        at_home = await s.request("us", "GET", f"/now/{key}")
        assert (body(at_home), header(at_home, "proa-home")) == ("us", None)

    run(tmp_path, scenario)


def test_a_unit_that_writes_elsewhere_commits_in_the_home_of_what_it_read_strongly(tmp_path):
    async def scenario(s):
        key = key_of("us")
        await put(s, "us", key)
        head = s["us"].store.head
        first = await s.request("eu", "POST", f"/visits/{key}", key="k1")
        again = await s.request("ap", "POST", f"/visits/{key}", key="k1")
        assert (body(first), body(again), header(again, "idempotency-replayed")) == ("us", "us", "true")
        assert (s["us"].store.head, s["eu"].store.head) == (head + 1, 0)

    run(tmp_path, scenario)


def test_strong_reads_of_two_homes_in_one_unit_are_refused_with_what_to_do(tmp_path):
    async def scenario(s):
        for asked in REGIONS:
            refused = await s.request(asked, "GET", f"/now/{key_of('us')}+{key_of('ap')}")
            assert (refused.status, body(refused)["code"]) == (500, "PROA-U010")

    run(tmp_path, scenario)


def test_a_strong_read_of_a_home_that_is_away_is_refused_and_may_be_repeated(tmp_path):
    async def scenario(s):
        lose_replies(s, "us")
        answer = await s.request("eu", "GET", f"/now/{key_of('us')}")
        assert (answer.status, body(answer)["code"]) == (503, "PROA-U503"), "a read leaves no outcome unknown"
        await s.stop("us")
        answer = await s.request("eu", "GET", f"/now/{key_of('us')}")
        assert (answer.status, body(answer)["code"]) == (503, "PROA-R009")

    run(tmp_path, scenario)


def test_a_row_that_names_its_home_is_read_strongly_where_it_says_and_one_that_is_missing_nowhere(tmp_path):
    async def scenario(s):
        await s.request("us", "PUT", "/members", {"id": "m", "region": "us", "name": "ada"})
        unseen = await s.request("eu", "GET", "/members/m/now")
        assert (unseen.status, body(unseen)["code"]) == (503, "PROA-R008")
        assert "bounded(0) shows whether any region has it" in body(unseen)["detail"]
        await s.settled()
        read = await s.request("eu", "GET", "/members/m/now")
        assert (read.status, header(read, "proa-home")) == (200, "us")

    run(tmp_path, scenario)


def test_a_regional_unit_that_called_an_effect_is_not_run_again_elsewhere(tmp_path):
    async def scenario(s):
        assert (await s.request("us", "POST", f"/rings/{key_of('us')}", key="k1")).status == 204
        refused = await s.request("eu", "POST", f"/rings/{key_of('us')}", key="k2")
        assert (refused.status, body(refused)["code"]) == (500, "PROA-U010")
        assert "after it called an effect in eu" in body(refused)["detail"]

    run(tmp_path, scenario)


# Rows that name their home.


def test_a_row_is_at_home_where_it_says(tmp_path):
    async def scenario(s):
        assert body(await s.request("eu", "PUT", "/members", {"id": "m", "region": "us"})) == "us"
        await s.settled()
        assert body(await s.request("ap", "DELETE", "/members/m")) == "us"
        await s.settled()
        assert body(await s.request("ap", "DELETE", "/members/m")) == "ap", "nobody's row: nothing to delete"
        assert body(await s.request("ap", "PUT", "/members", {"id": "m", "region": "ap"})) == "ap"

    run(tmp_path, scenario)


def test_of_rows_that_two_regions_insert_under_one_key_at_once_the_later_stays_and_the_other_is_listed(tmp_path):
    async def scenario(s):
        s.links.cut |= {(one, other) for one in REGIONS for other in REGIONS if one != other}
        answers = [
            await s.request(region, "PUT", "/members", {"id": "m", "region": region, "name": name})
            for region, name in (("eu", "ada"), ("us", "bob"))
        ]
        assert [answer.status for answer in answers] == [200, 200]
        s.links.cut.clear()
        await s.settled()
        records = {region: Records(s.app, region, s[region].store) for region in REGIONS}
        for region in REGIONS:
            (row,) = await s[region].store.read([("members", "m")])
            assert s.app.tables["members"].decode(row.value).name == "bob"
            (listed,) = await records[region].conflicts(ConflictsWanted())
            sides = {side.row["name"]: bool(side.authors[0].unit) for side in (listed.ours, listed.theirs)}
            assert (listed.rule, sides) == ("last_writer", {"ada": True, "bob": True})

    run(tmp_path, scenario)


def test_a_home_is_not_changed_by_writing_over_the_row(tmp_path):
    async def scenario(s):
        await s.request("us", "PUT", "/members", {"id": "m", "region": "us"})
        await s.settled()
        refused = await s.request("eu", "PUT", "/members", {"id": "m", "region": "ap"})
        assert (refused.status, body(refused)["code"]) == (422, "PROA-U011")

    run(tmp_path, scenario)


def test_a_row_at_home_nowhere_is_refused(tmp_path):
    async def scenario(s):
        refused = await s.request("us", "PUT", "/members", {"id": "m", "region": "mars"})
        assert (refused.status, body(refused)["code"]) == (422, "PROA-H422")

    run(tmp_path, scenario)


# When the home does not answer.


def test_a_home_that_cannot_be_reached_is_said_to_be_so_and_nothing_was_started(tmp_path):
    async def scenario(s):
        await s.stop("us")
        answer = await put(s, "eu", key_of("us"))
        assert (answer.status, body(answer)["code"]) == (503, "PROA-R009")
        assert (header(answer, "proa-not-started"), header(answer, "retry-after")) == ("true", "1")

    run(tmp_path, scenario)


def test_an_answer_that_was_lost_leaves_the_outcome_unknown_and_the_key_tells(tmp_path):
    async def scenario(s):
        served = lose_replies(s, "us")
        answer = await put(s, "eu", key_of("us"), key="k1")
        assert (answer.status, body(answer)["code"]) == (503, "PROA-U006")
        assert header(answer, "proa-not-started") is None
        s.links.methods["us"]["invoke"] = served
        again = await put(s, "eu", key_of("us"), key="k1")
        assert (again.status, header(again, "idempotency-replayed")) == (200, "true")

    run(tmp_path, scenario)


def test_a_home_that_is_silent_is_not_waited_for(tmp_path):
    """A request sent into a blackout would wait there for all its time, and nobody could tell what became of it."""

    async def scenario(s):
        s["eu"].replicator.peers["us"].reachable = False
        s.links.cut.add(("eu", "us"))
        answer = await put(s, "eu", key_of("us"))
        assert (answer.status, body(answer)["code"]) == (503, "PROA-R009")
        assert header(answer, "proa-not-started") == "true"

    run(tmp_path, scenario)


def test_one_hop_and_no_more(tmp_path):
    """The two regions see different epochs: the one that was asked says so, and the first looks again."""

    async def scenario(s):
        key = stands_in("us", "ap")
        assume(s, assignment(2, {"us": 1}, us="down"), "us")
        asked = asyncio.create_task(put(s, "eu", key))
        await asyncio.sleep(0.2)
        assert not asked.done()
        after = assignment(2, {"us": 1}, us="down")
        assume(s, after, "eu", "ap")
        tell(s, 2, "eu", "ap")
        answer = await asked
        assert (answer.status, body(answer)) == (200, "ap")

    run(tmp_path, scenario)


def test_without_roles_nothing_is_anybodys(tmp_path):
    async def scenario(s):
        answer = await put(s, "eu", "a")
        assert (answer.status, body(answer)["code"]) == (503, "PROA-R008")

    run(tmp_path, scenario, roles=False)


# Rights.


def test_a_home_without_a_lease_refuses(tmp_path):
    async def scenario(s):
        assume(s, assignment(), "us", lease_s=-1.0)
        answer = await put(s, "us", key_of("us"))
        assert (answer.status, body(answer)["code"]) == (503, "PROA-R008")

    run(tmp_path, scenario)


def test_a_unit_that_began_under_another_epoch_is_not_committed(tmp_path):
    async def scenario(s):
        store, commit = s["us"].store, s["us"].store.commit

        async def late(batch):
            store.commit = commit
            assume(s, assignment(2), "us")
            return await commit(batch)

        store.commit = late
        answer = await put(s, "us", key_of("us"))
        assert (answer.status, body(answer)["code"], store.head) == (503, "PROA-R008", 0)

    run(tmp_path, scenario)


def test_a_commit_is_acknowledged_under_its_own_epoch_or_not_at_all(tmp_path):
    async def scenario(s):
        commit = s["us"].store.commit

        async def slow(batch):
            result = await commit(batch)
            assume(s, assignment(2), "us")
            return result

        s["us"].store.commit = slow
        answer = await put(s, "us", key_of("us"))
        assert (answer.status, body(answer)["code"], s["us"].store.head) == (503, "PROA-U006", 1)

    run(tmp_path, scenario)


# Handing over.


def test_a_stand_in_begins_when_it_has_the_cut_and_every_other_holder_has_stopped(tmp_path):
    async def scenario(s):
        key, stays = stands_in("eu", "us"), key_of("us")
        assert body(await put(s, "eu", key)) == "eu"
        await s.settled()
        after = assignment(2, {"eu": 1}, (Cut(2, "eu/1", 1),), eu="down")
        assume(s, after, "us")
        assert (await put(s, "us", stays)).status == 200, "what stayed is written on at once"
        assert body(await put(s, "us", key))["code"] == "PROA-R008", "ap may write under the old epoch still"
        assume(s, after, "ap")
        tell(s, 2, "ap")
        answer = await put(s, "ap", key, name="bob")
        assert (body(answer), header(answer, "proa-epoch")) == ("us", "2")

    run(tmp_path, scenario)


def test_a_stand_in_that_lacks_commits_before_the_cut_waits_for_them(tmp_path):
    async def scenario(s):
        key = stands_in("eu", "us")
        s.links.cut |= {("us", "eu"), ("us", "ap")}
        assert body(await put(s, "eu", key)) == "eu"
        after = assignment(2, {"eu": 1}, (Cut(2, "eu/1", 1),), eu="down")
        assume(s, after, "us", "ap")
        tell(s, 2, "us", "ap")
        assert body(await put(s, "us", key))["code"] == "PROA-R008"
        asked = asyncio.create_task(s.request("us", "POST", f"/profiles/{key}/login"))
        s.links.cut.clear()
        assert body(await asked)["logins"] == 1, "it found the row of the lost region"

    run(tmp_path, scenario)


def test_a_region_that_returns_has_its_rows_back_with_what_the_stand_in_wrote(tmp_path):
    async def scenario(s):
        key = stands_in("eu", "us")
        away = assignment(2, {"eu": 1}, (Cut(2, "eu/1", 0),), eu="down")
        assume(s, away)
        tell(s, 2, "us", "ap")
        assert body(await put(s, "eu", key)) == "us"
        back = assignment(3, {}, away.cuts)
        assume(s, back, "eu")
        assert body(await s.request("eu", "POST", f"/profiles/{key}/login"))["code"] == "PROA-R008"
        assume(s, back, "us", "ap")
        tell(s, 3, "us", "ap")
        assert body(await s.request("ap", "POST", f"/profiles/{key}/login"))["logins"] == 1
        assert s["eu"].store.head == 1

    run(tmp_path, scenario)


def test_late_commits_of_a_lost_home_are_parked_in_every_region(tmp_path):
    async def scenario(s):
        key = stands_in("eu", "us")
        s.links.cut |= {("us", "eu"), ("ap", "eu")}
        assert body(await put(s, "eu", key, name="late")) == "eu"
        after = assignment(2, {"eu": 1}, (Cut(2, "eu/1", 0),), eu="down")
        assume(s, after, "us", "ap")
        tell(s, 2, "us", "ap")
        assert body(await put(s, "us", key, name="new")) == "us"
        s.links.cut.clear()
        await s["eu"].rejoin(after)
        await s.settled()
        for region in REGIONS:
            assert body(await s.request(region, "GET", f"/profiles/{key}"))["name"] == "new"
            [parked] = await s[region].store.parked()
            assert [(write.table, write.key) for write in parked.commit.writes] == [("visits", key), ("profiles", key)]

    run(tmp_path, scenario)


def test_a_handler_runs_once_where_it_is_at_home_and_begins_in_vain_elsewhere(tmp_path):
    async def scenario(s):
        await put(s, "us", key_of("us"))
        await put(s, "eu", key_of("us"))
        assert s.app.runs == ["us", "eu", "us"]

    run(tmp_path, scenario)


def test_a_commit_that_claims_no_home_cannot_write_such_rows(tmp_path):
    """Whatever part of a region made it."""

    async def scenario(s):
        batch = Batch("unit", {}, [Write("profiles", key_of("us"), b"\x80", "home")], epoch=1)
        assert (await s["us"].store.commit(batch)).code == "PROA-R008"

    run(tmp_path, scenario)


def test_a_lost_write_is_reapplied_by_the_home_of_its_rows_and_by_no_other(tmp_path):
    async def scenario(s):
        key = stands_in("eu", "us")
        s.links.cut |= {("us", "eu"), ("ap", "eu")}
        assert body(await put(s, "eu", key, name="late")) == "eu"
        after = assignment(2, {"eu": 1}, (Cut(2, "eu/1", 0),), eu="down")
        assume(s, after, "us", "ap")
        tell(s, 2, "us", "ap")
        s.links.cut.clear()
        await s["eu"].rejoin(after)
        await s.settled()
        for region in ("ap", "us"):
            again = Reapply(s[region], Records(s.app, region, s[region].store), s.clock)
            [parked] = await s[region].store.parked()
            if region == "ap":
                with pytest.raises(NotHome):
                    await again.check(parked, force=False)
            else:
                await again.check(parked, force=False)
                await again(parked, force=False)
        await s.settled()
        assert body(await s.request("ap", "GET", f"/profiles/{key}"))["name"] == "late"

    run(tmp_path, scenario)
