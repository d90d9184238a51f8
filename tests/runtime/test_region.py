"""Regions of one app, on real files, with the links inside the process."""

import asyncio
import shutil
from dataclasses import dataclass

import msgspec
import pytest

from proa import AlreadyExists, App, Context, NotFound, Response
from proa.control.ledger import strong
from proa.core.roles import ROLES, ROLES_KEY, Assignment, Cut
from proa.errors import RegionFenced, StoreFull
from proa.ports import Batch
from support.inproc import system

REGIONS = ["eu", "us", "ap"]


@dataclass
class Order:
    id: str
    qty: int = 1


@dataclass
class Stock:
    sku: str
    left: int


def shop():
    app = App("shop", regions=REGIONS)
    orders = app.table("orders", Order, key="id")
    stock = app.table("stock", Stock, key="sku", mode="strong")
    app.runs = 0

    @app.post("/orders", idempotent=True)
    async def create(order: Order, ctx: Context) -> Order:
        app.runs += 1
        if order.qty == 13:
            raise RuntimeError("unlucky")
        if order.qty < 0:
            raise AlreadyExists("cannot order less than nothing")
        await orders.put(order)
        return order

    @app.get("/orders/{id}")
    async def read(id: str) -> Order:
        return await orders.get(id)

    @app.post("/orders/{id}/more")
    async def more(id: str) -> Order:
        order = await orders.get(id)
        order.qty += 1
        await orders.put(order)
        return order

    @app.delete("/orders/{id}")
    async def remove(id: str) -> None:
        await orders.delete(id)

    @app.post("/take/{sku}", idempotent=True)
    async def take(sku: str) -> Stock:
        app.runs += 1
        found = await stock.get(sku, Stock(sku, 3))
        if found.left == 0:
            raise AlreadyExists("sold out")
        found.left -= 1
        await stock.put(found)
        return found

    @app.get("/stock/{sku}")
    async def left(sku: str) -> Stock:
        return await stock.get(sku)

    @app.get("/sneaky/{id}")
    async def sneaky(id: str) -> None:
        await orders.put(Order(id))

    @app.post("/mixed", unit="global")
    async def mixed() -> None:
        await stock.put(Stock("a", 1))
        await orders.put(Order("a"))

    @app.post("/slow", timeout_s=0.05)
    async def slow() -> None:
        await asyncio.sleep(5)

    @app.get("/teapot")
    async def teapot() -> Response:
        return Response("short and stout", 418, {"x-pot": "yes"})

    return app


def run(folder, scenario, app=None):
    async def main():
        async with system(app or shop(), folder) as running:
            await scenario(running)

    asyncio.run(main())


def body(answer):
    return msgspec.json.decode(answer.body)


def test_a_row_written_in_one_region_is_read_in_every_other(tmp_path):
    async def scenario(s):
        answer = await s.request("eu", "POST", "/orders", {"id": "a", "qty": 2}, key="k1")
        assert (answer.status, body(answer)) == (200, {"id": "a", "qty": 2})
        await s.settled()
        for region in REGIONS:
            assert body(await s.request(region, "GET", "/orders/a")) == {"id": "a", "qty": 2}

    run(tmp_path, scenario)


def test_the_same_key_and_payload_change_state_once_and_replay_the_answer(tmp_path):
    async def scenario(s):
        first = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        again = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        assert again.body == first.body
        assert dict(again.headers)["idempotency-replayed"] == "true"
        assert s.app.runs == 1
        await s.settled()
        elsewhere = await s.request("us", "POST", "/orders", {"id": "a"}, key="k1")
        assert dict(elsewhere.headers)["idempotency-replayed"] == "true"
        assert s.app.runs == 1

    run(tmp_path, scenario)


def test_the_same_key_with_another_payload_is_refused(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        answer = await s.request("eu", "POST", "/orders", {"id": "b"}, key="k1")
        assert (answer.status, body(answer)["code"]) == (422, "PROA-H423")

    run(tmp_path, scenario)


@pytest.mark.parametrize(("path", "payload"), [("/orders", {"id": "a"}), ("/take/gold", None)])
def test_a_duplicate_in_flight_waits_for_the_first_answer(tmp_path, path, payload):
    async def scenario(s):
        answers = await asyncio.gather(*(s.request("eu", "POST", path, payload, key="k1") for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert sum("idempotency-replayed" in dict(answer.headers) for answer in answers) == 4
        assert s.app.runs == 1

    run(tmp_path, scenario)


def test_a_request_that_does_not_fit_is_not_recorded_and_may_be_corrected_under_its_key(tmp_path):
    async def scenario(s):
        wrong = await s.request("eu", "POST", "/orders", {"id": 1}, key="k1")
        assert (wrong.status, body(wrong)["code"]) == (422, "PROA-H422")
        assert (await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")).status == 200

    run(tmp_path, scenario)


def test_an_idempotent_route_needs_a_key(tmp_path):
    async def scenario(s):
        answer = await s.request("eu", "POST", "/orders", {"id": "a"})
        assert (answer.status, body(answer)["code"]) == (400, "PROA-H401")

    run(tmp_path, scenario)


def test_a_typed_4xx_is_recorded_and_replayed_but_an_exception_is_not(tmp_path):
    async def scenario(s):
        for expected_runs in (1, 1):
            answer = await s.request("eu", "POST", "/orders", {"id": "a", "qty": -1}, key="k1")
            assert answer.status == 409
            assert s.app.runs == expected_runs
        for expected_runs in (2, 3):
            answer = await s.request("eu", "POST", "/orders", {"id": "a", "qty": 13}, key="k2")
            assert (answer.status, body(answer)["code"]) == (500, "PROA-H500")
            assert s.app.runs == expected_runs

    run(tmp_path, scenario)


def test_concurrent_increments_of_one_row_lose_nothing(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a", "qty": 0}, key="k1")
        answers = []
        for _ in range(10):
            answers += await asyncio.gather(*(s.request("eu", "POST", "/orders/a/more") for _ in range(4)))
        done = sum(answer.status == 200 for answer in answers)
        assert body(await s.request("eu", "GET", "/orders/a"))["qty"] == done
        assert done == 40

    run(tmp_path, scenario)


def test_two_regions_that_spend_the_last_unit_share_it_out_exactly(tmp_path):
    async def scenario(s):
        answers = await asyncio.gather(
            *(s.request(REGIONS[i % 3], "POST", "/take/gold", key=f"k{i}") for i in range(9))
        )
        assert sorted(answer.status for answer in answers) == [200] * 3 + [409] * 6
        assert body(await s.request("ap", "GET", "/stock/gold")) == {"sku": "gold", "left": 0}

    run(tmp_path, scenario)


def test_a_global_unit_repeated_in_another_region_replays_the_one_answer(tmp_path):
    async def scenario(s):
        first = await s.request("eu", "POST", "/take/gold", key="k")
        again = await s.request("us", "POST", "/take/gold", key="k")
        assert again.body == first.body
        assert dict(again.headers)["idempotency-replayed"] == "true"
        mismatch = await s.request("us", "POST", "/take/lead", key="k")
        assert mismatch.status == 422

    run(tmp_path, scenario)


def test_a_global_commit_whose_reply_was_lost_is_asked_for_again_and_happens_once(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/take/gold", key="warm")
        methods = s.links.methods["witness"]
        commit = methods["commit"]
        calls = []

        async def forgetful(caller, payload):
            reply = await commit(caller, payload)
            calls.append(reply)
            if len(calls) == 1:
                await asyncio.sleep(10)
            return reply

        methods["commit"] = forgetful
        answer = await s.request("eu", "POST", "/take/gold", key="k")
        assert (answer.status, body(answer)["left"]) == (200, 1)
        assert len(calls) == 2

    run(tmp_path, scenario)


def test_without_the_global_store_strong_units_refuse_and_the_rest_goes_on(tmp_path):
    async def scenario(s):
        del s.links.methods["witness"]
        refused = await s.request("eu", "POST", "/take/gold", key="k")
        assert (refused.status, body(refused)["code"]) == (503, "PROA-R004")
        assert dict(refused.headers)["proa-not-started"] == "true"
        assert (await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")).status == 200

    run(tmp_path, scenario)


async def roles(s, revoked=None):
    """The roles in the global store, and their version."""
    assignment = Assignment(2, "active-active", dict.fromkeys(REGIONS, "active"), revoked=revoked or {})
    written = await s.store.commit(Batch("", {}, [strong(ROLES, ROLES_KEY, assignment)]))
    return assignment, written.seq


def test_a_global_commit_loses_no_race_for_roles_that_were_noted(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/take/gold", key="k-1")
        s["us"].invoker.globally.note_roles(*await roles(s))
        s.app.runs = 0
        assert (await s.request("us", "POST", "/take/gold", key="k-2")).status == 200
        assert s.app.runs == 1
        assert (await s.request("eu", "POST", "/take/gold", key="k-3")).status == 200
        assert s.app.runs == 3  # it was not told

    run(tmp_path, scenario)


def test_a_region_whose_right_was_revoked_commits_nothing_globally_however_often_it_is_asked(tmp_path):
    async def scenario(s):
        s["eu"].invoker.globally.note_roles(*await roles(s))
        s["eu"].invoker.globally.note_roles(*await roles(s, revoked={"eu": 2}))
        for number in range(3):
            refused = await s.request("eu", "POST", "/take/gold", key=f"k-{number}")
            assert (refused.status, body(refused)["code"]) == (503, RegionFenced.code)
        assert (await s.request("us", "POST", "/take/gold", key="k")).status == 200
        await roles(s)
        assert (await s.request("eu", "POST", "/take/gold", key="k-0")).status == 200

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/sneaky/a", "PROA-U001"), ("POST", "/mixed", "PROA-U002"), ("POST", "/slow", "PROA-U005")],
)
def test_a_unit_that_breaks_a_rule_is_refused_by_name(tmp_path, method, path, code):
    async def scenario(s):
        assert body(await s.request("eu", method, path))["code"] == code

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("payload", "status", "detail"),
    [
        (b"{", 400, "the body is not valid JSON"),
        (b'{"id": 1}', 422, "Expected `str`"),
        (b'{"id": "a", "colour": "red"}', 422, "unknown field `colour`"),
        (b'{"qty": 1}', 422, "missing required field `id`"),
        (b'{"id": ""}', 422, "a key is"),
        (b'{"id": "' + b"x" * 600 + b'"}', 422, "a key is"),
        (b'{"x": ' + b"[" * 100_000, 400, "nested too deeply"),
    ],
)
def test_bad_bodies_get_a_clear_error(tmp_path, payload, status, detail):
    async def scenario(s):
        answer = await s.request("eu", "POST", "/orders", payload, key="k")
        assert answer.status == status
        assert detail in body(answer)["detail"]

    run(tmp_path, scenario)


def test_a_deleted_row_is_gone_everywhere_and_a_response_keeps_its_status_and_headers(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        assert (await s.request("eu", "DELETE", "/orders/a")).status == 204
        await s.settled()
        assert (await s.request("us", "GET", "/orders/a")).status == 404
        pot = await s.request("us", "GET", "/teapot")
        assert (pot.status, dict(pot.headers)["x-pot"], pot.body) == (418, "yes", b"short and stout")

    run(tmp_path, scenario)


def test_concurrent_writes_in_two_regions_converge_and_both_versions_are_logged(tmp_path):
    async def scenario(s):
        s.links.cut |= {(a, b) for a in REGIONS for b in REGIONS if a != b}
        await asyncio.gather(*(_reachable(s, region, reachable=False) for region in REGIONS))
        await s.request("eu", "POST", "/orders", {"id": "a", "qty": 1}, key="k1")
        await s.request("us", "POST", "/orders", {"id": "a", "qty": 2}, key="k2")
        s.links.cut.clear()
        await s.settled()
        rows = [await s.request(region, "GET", "/orders/a") for region in REGIONS]
        assert [body(row)["qty"] for row in rows] == [2, 2, 2]
        conflict = (await s["eu"].store.conflicts())[0]
        assert {conflict.ours.origin, conflict.theirs.origin} == {"eu/1", "us/1"}
        assert conflict.rule == "last_writer"

    run(tmp_path, scenario)


async def _reachable(s, region, *, reachable):
    while any(peer.reachable != reachable for peer in s[region].replicator.peers.values()):
        await asyncio.sleep(0.01)


def test_one_key_finished_in_two_regions_apart_is_detected_and_listed(tmp_path):
    async def scenario(s):
        s.links.cut |= {("eu", "us"), ("us", "eu")}
        s.links.cut |= {("ap", "us"), ("us", "ap")}
        await _reachable(s, "us", reachable=False)
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        await s.request("us", "POST", "/orders", {"id": "a"}, key="k")
        s.links.cut.clear()
        await s.settled()
        for region in REGIONS:
            pairs = [(d.kept.region, d.other.region) for d in await s[region].store.duplicates()]
            assert pairs == [("eu", "us")]

    run(tmp_path, scenario)


def test_a_survivor_hands_on_the_commits_of_a_lost_region(tmp_path):
    async def scenario(s):
        s.links.cut |= {("ap", "eu")}
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        assert await s["us"].catch_up({"eu/1": 1}, 5)
        await s.stop("eu")
        assert await s["ap"].catch_up({"eu/1": 1}, 5)
        assert (await s.request("ap", "GET", "/orders/a")).status == 200

    run(tmp_path, scenario)


def test_a_region_continues_its_sequence_and_cursors_after_a_restart(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        await s.settled()
        await s.stop("us")
        await s.request("eu", "POST", "/orders", {"id": "b"}, key="k2")
        await s.start("us")
        await s.settled()
        assert s["us"].cursors() == {"eu/1": 2, "us/1": 0}
        await s.stop("eu")
        region = await s.start("eu")
        assert (region.store.head, region.origin) == (2, "eu/1")

    run(tmp_path, scenario)


@dataclass
class Session:
    id: str
    user: str


def gate():
    app = App("gate", regions=["eu", "us"], topology="active-passive")
    sessions = app.table("sessions", Session, key="id")

    @app.post("/sessions", idempotent=True)
    async def create(session: Session) -> Session:
        await sessions.put(session)
        return session

    @app.get("/sessions/{id}")
    async def read(id: str) -> Session:
        return await sessions.get(id)

    return app


def active_in(region, epoch, cuts=()):
    roles = {name: "active" if name == region else "standby" for name in ("eu", "us")}
    return Assignment(epoch, "active-passive", roles, cuts=tuple(cuts))


def test_only_the_active_region_with_a_running_lease_writes_active_tables(tmp_path):
    async def scenario(s):
        far = s.clock.monotonic() + 60
        for region in s.regions.values():
            region.assume(active_in("eu", 1), far)
        assert (await s.request("eu", "POST", "/sessions", {"id": "a", "user": "u"}, key="k")).status == 200
        refused = await s.request("us", "POST", "/sessions", {"id": "b", "user": "u"}, key="k")
        assert (refused.status, body(refused)["code"]) == (503, "PROA-R001")
        s["eu"].authority.lease_until = s.clock.monotonic()
        late = await s.request("eu", "POST", "/sessions", {"id": "c", "user": "u"}, key="k2")
        assert (late.status, body(late)["code"]) == (503, "PROA-R001")
        replayed = await s.request("eu", "POST", "/sessions", {"id": "a", "user": "u"}, key="k")
        assert replayed.status == 503

    run(tmp_path, scenario, gate())


def test_a_lease_that_ends_during_the_fsync_is_noticed_before_the_answer(tmp_path):
    async def scenario(s):
        region = s["eu"]
        region.assume(active_in("eu", 1), s.clock.monotonic() + 60)
        commit = region.store.commit

        async def slow_fsync(batch):
            result = await commit(batch)
            region.authority.lease_until = s.clock.monotonic()
            return result

        region.store.commit = slow_fsync
        answer = await s.request("eu", "POST", "/sessions", {"id": "a", "user": "u"}, key="k")
        assert (answer.status, body(answer)["code"]) == (503, "PROA-U006")

    run(tmp_path, scenario, gate())


def test_late_writes_of_an_old_active_region_are_parked_everywhere_and_it_comes_back_anew(tmp_path):
    async def scenario(s):
        for region in s.regions.values():
            region.assume(active_in("eu", 1), s.clock.monotonic() + 60)
        await s.request("eu", "POST", "/sessions", {"id": "a", "user": "old"}, key="k1")
        await s.settled()
        s.links.cut |= {("us", "eu"), ("eu", "us")}
        await _reachable(s, "us", reachable=False)
        await s.request("eu", "POST", "/sessions", {"id": "a", "user": "late"}, key="k2")
        await s.request("eu", "POST", "/sessions", {"id": "late", "user": "late"}, key="k3")
        promoted = active_in("us", 2, [Cut(2, "eu/1", 1)])
        s["us"].assume(promoted, s.clock.monotonic() + 60)
        await s.request("us", "POST", "/sessions", {"id": "a", "user": "new"}, key="k4")

        async def second_life():
            return msgspec.structs.replace(s["eu"].store.identity, incarnation=2)

        s["eu"].rejoining.register = second_life
        s.links.cut.clear()
        await s["eu"].rejoin(promoted)
        await s.settled()
        for region in ("eu", "us"):
            assert [(p.commit.origin, p.commit.seq) for p in await s[region].store.parked()] == [
                ("eu/1", 2),
                ("eu/1", 3),
            ]
            assert body(await s.request(region, "GET", "/sessions/a"))["user"] == "new"
            assert (await s.request(region, "GET", "/sessions/late")).status == 404
        assert (s["eu"].origin, s["eu"].whole_since) == ("eu/2", 1)
        again = await s.request("us", "POST", "/sessions", {"id": "late", "user": "late"}, key="k3")
        assert "idempotency-replayed" not in dict(again.headers)

    run(tmp_path, scenario, gate())


def test_a_held_origin_is_applied_up_to_its_cut_and_no_further(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        await s.settled()
        assert s["us"].hold(frozenset({"eu/1"})) == {"eu/1": 1}
        for i in range(3):
            await s.request("eu", "POST", "/orders", {"id": f"b{i}"}, key=f"b{i}")
        assert await s["ap"].catch_up({"eu/1": 4}, 5)
        assert s["us"].cursors()["eu/1"] == 1
        assert await s["us"].catch_up({"eu/1": 3}, 5)
        assert s["us"].cursors()["eu/1"] == 3
        s["us"].hold(frozenset())
        await s.settled()
        assert s["us"].cursors()["eu/1"] == 4

    run(tmp_path, scenario)


def test_missing_rows_raise_not_found_unless_a_default_is_given(tmp_path):
    async def scenario(s):
        answer = await s.request("eu", "GET", "/orders/none")
        assert (answer.status, body(answer)["code"]) == (404, NotFound.code)

    run(tmp_path, scenario)


def test_a_write_waits_while_the_roles_change_hands_and_is_served_by_whoever_gets_them(tmp_path):
    async def scenario(s):
        far = s.clock.monotonic() + 60
        for region in s.regions.values():
            region.assume(active_in("eu", 1), far)
        await s["eu"].drain(1)
        s["us"].hold(frozenset({"eu/1"}))
        waiting = [
            asyncio.create_task(s.request(region, "POST", "/sessions", {"id": "a", "user": "u"}, key="k"))
            for region in ("eu", "us")
        ]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        for region in ("us", "eu"):
            s[region].assume(active_in("us", 2), far)
            s[region].hold(frozenset())
        old, new = await asyncio.gather(*waiting)
        assert (old.status, dict(old.headers)["proa-not-started"], new.status) == (503, "true", 200)

    run(tmp_path, scenario, gate())


def test_a_region_whose_disk_was_lost_gets_its_earlier_life_back_from_its_peers(tmp_path):
    async def scenario(s):
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        await s.settled()
        await s.stop("eu")
        shutil.rmtree(tmp_path / "eu")
        region = await s.start("eu", incarnation=2)
        assert await region.catch_up({"eu/1": 1}, 5)
        assert (await s.request("eu", "GET", "/orders/a")).status == 200
        again = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        assert dict(again.headers)["idempotency-replayed"] == "true"

    run(tmp_path, scenario)


def test_a_key_from_before_a_restart_is_replayed_even_where_its_handler_now_fails(tmp_path):
    async def scenario(s):
        first = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        await s.stop("eu")
        await s.start("eu")
        again = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        assert (again.body, dict(again.headers)["idempotency-replayed"]) == (first.body, "true")
        route, _ = s["eu"].router.find("POST", "/orders")

        async def fails(order: Order, ctx: Context) -> Order:
            raise RuntimeError("since then")

        await s.stop("eu")
        route.handler = fails
        await s.start("eu")
        again = await s.request("eu", "POST", "/orders", {"id": "a"}, key="k1")
        assert (again.body, dict(again.headers)["idempotency-replayed"]) == (first.body, "true")

    run(tmp_path, scenario)


def test_replication_goes_on_after_a_store_without_room_has_room_again(tmp_path):
    async def scenario(s):
        await s.settled()
        apply, refused = s["us"].store.apply, []

        async def full(entries, terms):
            refused.append(len(entries))
            raise StoreFull("no room")

        s["us"].store.apply = full
        await s.request("eu", "POST", "/orders", {"id": "a"}, key="k")
        async with asyncio.timeout(10):
            while len(refused) < 2:
                await asyncio.sleep(0.01)
        s["us"].store.apply = apply
        await s.settled()
        assert (await s.request("us", "GET", "/orders/a")).status == 200

    run(tmp_path, scenario)


def test_late_commits_are_set_aside_even_where_the_disk_had_no_room_at_first(tmp_path):
    async def scenario(s):
        region, tries = s["eu"], []
        region.assume(active_in("eu", 1), s.clock.monotonic() + 60)
        await s.request("eu", "POST", "/sessions", {"id": "late", "user": "u"}, key="k")
        set_aside = region.store.set_aside

        async def full_at_first(cuts):
            tries.append(cuts)
            if len(tries) == 1:
                raise StoreFull("no room")
            return await set_aside(cuts)

        region.store.set_aside = full_at_first
        region.assume(active_in("us", 2, [Cut(2, "eu/1", 0)]), 0.0)
        async with asyncio.timeout(10):
            while not await region.store.parked():
                await asyncio.sleep(0.01)
        assert len(tries) == 2

    run(tmp_path, scenario, gate())
