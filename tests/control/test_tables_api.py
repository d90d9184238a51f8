"""The tables' part of the control API: conflicts with their units, and lost writes settled by people."""

import asyncio
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, merge
from proa.cli.table import merged
from proa.control import operators
from proa.control.api import ControlApi
from proa.control.audit import read_log
from proa.core.replicate.merge import Counter
from proa.core.roles import Assignment, Cut
from proa.core.situation import Rules
from proa.nodes.region import parts_below
from proa.nodes.site import shared_parts
from proa.observe.hub import Hub
from support.ends import SeededEntropy
from support.inproc import system

FAR_S = 60.0


@dataclass
class Session:
    id: str
    user: str = ""


@dataclass
class Tally:
    id: str
    hits: Counter


def gate():
    app = App("gate", regions=["eu", "us"], topology="active-passive")
    sessions = app.table("sessions", Session, key="id")
    tallies = app.table("tallies", Tally, key="id", merge=merge.fields())

    @app.post("/sessions", idempotent=True)
    async def create(session: Session) -> Session:
        await sessions.put(session)
        return session

    @app.put("/notes/{id}")
    async def hit(id: str) -> int:
        tally = await tallies.get(id, Tally(id, Counter()))
        tally.hits.add(1)
        await tallies.put(tally)
        return tally.hits.value

    @app.put("/both/{id}")
    async def both(id: str) -> None:
        tally = await tallies.get("a", Tally("a", Counter()))
        tally.hits.add(10)
        await tallies.put(tally)
        await sessions.put(Session(id, "both"))

    return app


def active_in(region, epoch, cuts=()):
    roles = {name: "active" if name == region else "standby" for name in ("eu", "us")}
    return Assignment(epoch, "active-passive", roles, cuts=tuple(cuts))


class Ends:
    def __init__(self, s):
        self.clock, self.entropy, self.hub = s.clock, SeededEntropy("desk"), Hub()


class Town:
    """Two regions, with the control API of each and some people."""

    part = "tables"

    def __init__(self, s):
        self.s = s
        self.parts = shared_parts(s.store, Rules(("eu", "us"), "witness", ("edge",), "active-passive", "eu"), Ends(s))
        self.apis = {}
        for name, region in s.regions.items():
            self.apis[name] = ControlApi(name, self.parts, None, parts_below(region, self.parts))

    async def hire(self):
        self.tokens = {
            role: await operators.add(self.s.store, role, role, SeededEntropy(role), "setup")
            for role in ("viewer", "operator")
        }
        return self

    async def call(self, region, method, path, body=None, who="operator"):
        sent, (path, _, query) = [], path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": f"/_proa/control/{self.part}/{path}",
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {self.tokens[who]}".encode())],
        }

        async def receive():
            return {"type": "http.request", "body": msgspec.json.encode(body or {}), "more_body": False}

        async def send(message):
            sent.append(message)

        await self.apis[region](scope, receive, send)
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])

    async def lost(self):
        return merged({region: (await self.call(region, "GET", "lost"))[1]["lost"] for region in self.apis})


def play(folder, story):
    async def main():
        async with system(gate(), folder) as s:
            await story(s, await Town(s).hire())

    asyncio.run(main())


async def apart(s, *, reachable=False):
    if not reachable:
        s.links.cut |= {("us", "eu"), ("eu", "us")}
    for region in s.regions.values():
        while any(peer.reachable != reachable for peer in region.replicator.peers.values()):
            await asyncio.sleep(0.01)


async def fail_over(s):
    """`eu` acknowledges three commits that `us` never hears of; `us` takes over and writes one of the rows anew."""
    for region in s.regions.values():
        region.assume(active_in("eu", 1), s.clock.monotonic() + FAR_S)
    await s.request("eu", "POST", "/sessions", {"id": "early", "user": "u"}, key="k1")
    await s.settled()
    await apart(s)
    await s.request("eu", "POST", "/sessions", {"id": "early", "user": "lost"}, key="k2")
    await s.request("eu", "POST", "/sessions", {"id": "alone", "user": "lost"}, key="k3")
    await s.request("eu", "PUT", "/notes/n")
    promoted = active_in("us", 2, [Cut(2, "eu/1", 1)])
    s["us"].assume(promoted, s.clock.monotonic() + FAR_S)
    await s.request("us", "POST", "/sessions", {"id": "early", "user": "new"}, key="k4")

    async def second_life():
        return msgspec.structs.replace(s["eu"].store.identity, incarnation=2)

    s["eu"].rejoining.register = second_life
    s.links.cut.clear()
    await s["eu"].rejoin(promoted)
    await s.settled()


def test_conflicts_are_shown_decoded_with_the_fields_that_differ_and_the_units_of_both_sides(tmp_path):
    async def story(s, town):
        await apart(s)
        answers = [await s.request(region, "PUT", "/notes/a") for region in ("eu", "us")]
        assert [answer.status for answer in answers] == [200, 200]
        s.links.cut.clear()
        await s.settled()
        found = [(await town.call(region, "GET", "conflicts", who="viewer"))[1]["conflicts"] for region in s.regions]
        conflict = (found[0] + found[1])[0]
        assert (conflict["table"], conflict["key"], conflict["rule"]) == ("tallies", "a", "fields")
        assert conflict["ours"]["row"] == {"id": "a", "hits": 1}
        commits = [await s[region].store.commits([(f"{region}/1", 1)]) for region in s.regions]
        units = {commit.unit for found in commits for commit in found.values()}
        assert {conflict[side]["authors"][0]["unit"] for side in ("ours", "theirs")} == units
        assert all(len(conflict[side]["authors"][0]["trace"]) == 55 for side in ("ours", "theirs"))
        region = conflict["region"]
        for query, count in (("table=tallies&key=a", 1), ("table=sessions", 0), ("key=b", 0), ("since=9e9", 0)):
            _, said = await town.call(region, "GET", f"conflicts?{query}")
            assert len(said["conflicts"]) == count, query
        assert (await town.call(region, "GET", "conflicts?limit=0"))[0] == 422
        assert (await town.call(region, "GET", "conflicts?limit=x"))[0] == 422

    play(tmp_path, story)


def test_a_lost_write_is_superseded_where_the_row_was_written_since_and_needs_a_person_where_not(tmp_path):
    async def story(s, town):
        await fail_over(s)
        found = await town.lost()
        assert [(one["dot"], one["fate"], one["regions"]) for one in found] == [
            ("eu/1:2", "superseded", ["eu", "us"]),
            ("eu/1:3", "needs a person", ["eu", "us"]),
            ("eu/1:4", "merged", ["eu", "us"]),
        ]
        row = found[1]["rows"][0]
        assert (row["table"], row["key"], row["wrote"], row["stands"]) == (
            "sessions",
            "alone",
            {"id": "alone", "user": "lost"},
            None,
        )
        assert (found[0]["epoch"], len(found[0]["unit"]), found[0]["settled"]) == (2, 32, None)

    play(tmp_path, story)


def test_a_row_that_was_written_equal_all_the_same_is_missing_nothing(tmp_path):
    async def story(s, town):
        await fail_over(s)
        await s.request("us", "POST", "/sessions", {"id": "alone", "user": "lost"}, key="again")
        assert (await town.lost())[1]["fate"] == "same"

    play(tmp_path, story)


def test_a_lost_write_is_reapplied_once_in_the_active_region_alone_and_audited(tmp_path):
    async def story(s, town):
        await fail_over(s)
        wanted = {"dot": "eu/1:3", "why": "the user paid"}
        status, refused = await town.call("us", "POST", "lost/reapply", wanted, who="viewer")
        assert (status, refused["code"]) == (403, "PROA-H403")
        status, refused = await town.call("eu", "POST", "lost/reapply", wanted)
        assert (status, refused["code"]) == (503, "PROA-R001")
        answers = [await town.call("us", "POST", "lost/reapply", wanted) for _ in range(2)]
        assert answers[0] == answers[1]
        assert (answers[0][0], answers[0][1]["how"], answers[0][1]["region"]) == (200, "reapplied", "us")
        await s.settled()
        for region in s.regions.values():
            (row,) = await region.store.read([("sessions", "alone")])
            assert (region.app.tables["sessions"].decode(row.value).user, row.origin) == ("lost", "us/1")
        assert s["us"].store.head == 2
        lost = (await town.lost())[1]
        assert (lost["fate"], lost["settled"]["how"], lost["settled"]["done"]) == ("same", "reapplied", True)
        log = [(entry.entry.by, entry.entry.action, entry.entry.detail.get("why")) for entry in await entries(s)]
        assert log[-2:] == [
            ("operator", "lost write to be reapplied", "the user paid"),
            ("operator", "lost write reapplied", "the user paid"),
        ]

    play(tmp_path, story)


async def entries(s):
    return (await read_log(s.store))[0]


def test_what_was_superseded_is_reapplied_by_force_alone(tmp_path):
    async def story(s, town):
        await fail_over(s)
        status, refused = await town.call("us", "POST", "lost/reapply", {"dot": "eu/1:2"})
        assert (status, refused["code"]) == (409, "PROA-C004")
        assert "sessions early" in refused["detail"]
        status, _ = await town.call("us", "POST", "lost/reapply", {"dot": "eu/1:2", "force": True})
        assert status == 200
        (row,) = await s["us"].store.read([("sessions", "early")])
        assert s.app.tables["sessions"].decode(row.value).user == "lost"

    play(tmp_path, story)


def test_a_reapplication_that_was_cut_off_after_its_claim_is_finished_by_the_next_call(tmp_path):
    async def story(s, town):
        await fail_over(s)
        commit = s["us"].store.commit

        async def cut_off(batch):
            await commit(batch)
            raise ConnectionResetError

        s["us"].store.commit = cut_off
        with pytest.raises(ConnectionResetError):
            await town.call("us", "POST", "lost/reapply", {"dot": "eu/1:3"})
        s["us"].store.commit = commit
        assert (await town.lost())[1]["settled"]["done"] is False
        assert (await town.call("us", "POST", "lost/reapply", {"dot": "eu/1:3"}))[1]["done"] is True
        assert s["us"].store.head == 2

    play(tmp_path, story)


def test_a_lost_write_is_dismissed_once_and_not_reapplied_after(tmp_path):
    async def story(s, town):
        await fail_over(s)
        first = await town.call("eu", "POST", "lost/dismiss", {"dot": "eu/1:3", "why": "a test"})
        assert await town.call("us", "POST", "lost/dismiss", {"dot": "eu/1:3"}) == first
        status, refused = await town.call("us", "POST", "lost/reapply", {"dot": "eu/1:3"})
        assert (status, refused["detail"]) == (409, "eu/1:3 was dismissed by operator: a test")
        assert (await town.call("us", "POST", "lost/dismiss", {"dot": "eu/1:9"}))[0] == 404
        assert (await town.call("us", "POST", "lost/dismiss", {"dot": "nonsense"}))[0] == 422

    play(tmp_path, story)


def test_a_reapplied_row_that_merges_takes_back_nothing_that_was_counted_since(tmp_path):
    async def story(s, town):
        for region in s.regions.values():
            region.assume(active_in("eu", 1), s.clock.monotonic() + FAR_S)
        await s.request("eu", "PUT", "/notes/a")
        await s.settled()
        await apart(s)
        await s.request("eu", "PUT", "/both/late")
        promoted = active_in("us", 2, [Cut(2, "eu/1", 1)])
        s["us"].assume(promoted, s.clock.monotonic() + FAR_S)
        await s.request("us", "PUT", "/notes/a")
        s.links.cut.clear()
        await apart(s, reachable=True)
        while not await s["us"].store.parked():
            await asyncio.sleep(0.01)
        body = {"dot": "eu/1:2", "force": True}
        assert (await town.call("us", "POST", "lost/reapply", body))[0] == 200
        (row,) = await s["us"].store.read([("tallies", "a")])
        assert s.app.tables["tallies"].decode(row.value).hits.value == 12

    play(tmp_path, story)
