"""Rows that only some regions may hold: who may write, what travels, what is answered, and what files hold."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from proa import App, by
from proa.core.replicate.journal import Write
from proa.core.residency import Gap, Holding
from proa.core.roles import Assignment, Cut
from proa.ports import Batch
from proa.runtime.holdings import holdings
from support.inproc import system

REGIONS = ["eu", "de", "us"]
MARKER = "heidi-of-grindelwald"
"""Part of every key and value that must not leave Europe."""


@dataclass
class Person:
    id: str
    country: str
    note: str = ""


@dataclass
class Visit:
    id: str
    note: str = ""


def clinic(**regions):
    app = App("clinic", regions=regions.get("regions", REGIONS))
    patients = app.table("patients", Visit, key="id", residency=["eu", "de"])
    people = app.table(
        "people",
        Person,
        key="id",
        residency=by("country", {"DE": ["eu", "de"], "US": ["us"]}, otherwise=["eu", "us"]),
        indexes={"by_country": "country"},
    )
    visits = app.table("visits", Visit, key="id")

    @app.put("/patients/{id}")
    async def admit(id: str, body: Visit) -> Visit:
        await patients.put(body)
        await visits.put(Visit(f"visit-{body.note}"))
        return body

    @app.get("/patients/{id}")
    async def read(id: str) -> Visit:
        return await patients.get(id)

    @app.post("/patients/{id}/look", idempotent=True)
    async def look(id: str) -> Visit:
        return await patients.get(id)

    @app.delete("/patients/{id}")
    async def discharge(id: str) -> None:
        await patients.delete(id)

    @app.post("/patients/{id}/insert", idempotent=True)
    async def insert(id: str) -> None:
        await patients.insert(Visit(id))

    @app.put("/people/{id}")
    async def register(id: str, body: Person) -> Person:
        await people.put(body)
        return body

    @app.get("/people/{id}")
    async def person(id: str) -> Person:
        return await people.get(id)

    @app.delete("/people/{id}")
    async def remove(id: str) -> None:
        await people.delete(id)

    @app.get("/countries/{country}")
    async def listed(country: str) -> list[str]:
        return [one.id for one in (await people.by("by_country").query(country, limit=2)).rows]

    @app.get("/visits/{id}")
    async def visit(id: str) -> Visit:
        return await visits.get(id)

    return app


def run(scenario, folder, app=None):
    async def main():
        async with system(app or clinic(), folder) as running:
            await scenario(running)

    asyncio.run(main())


def put(running, region, id, note="", key=None):
    return running.request(region, "PUT", f"/patients/{id}", {"id": id, "note": note}, key=key)


def register(running, region, id, country, note=""):
    return running.request(region, "PUT", f"/people/{id}", {"id": id, "country": country, "note": note})


def get(running, region, path):
    return running.request(region, "GET", path)


def bytes_of(running, region):
    return b"".join(path.read_bytes() for path in sorted((running.folder / region).iterdir()))


def code_of(answer):
    return msgspec.json.decode(answer.body)["code"]


def body_of(answer):
    return msgspec.json.decode(answer.body)


def cut_off(running, *regions):
    for one in regions:
        running.links.cut |= {(one, other) for other in running.app.regions if other != one}
        running.links.cut |= {(other, one) for other in running.app.regions if other != one}


def mend(running):
    running.links.cut.clear()


async def eventually(probe, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not await probe():
            await asyncio.sleep(0.02)


# What travels.


def test_a_resident_row_reaches_the_regions_that_may_hold_it_and_no_bytes_of_it_any_other(tmp_path):
    async def scenario(running):
        assert (await put(running, "eu", MARKER, MARKER, key="k-1")).status == 200
        await running.settled()
        assert body_of(await get(running, "de", f"/patients/{MARKER}")) == {"id": MARKER, "note": MARKER}
        assert MARKER.encode() in bytes_of(running, "de")
        assert MARKER.encode() not in bytes_of(running, "us").replace(f"visit-{MARKER}".encode(), b"")

    run(scenario, tmp_path)


def test_what_every_region_may_hold_of_the_same_commit_arrives_everywhere(tmp_path):
    async def scenario(running):
        await put(running, "eu", MARKER, "7")
        await running.settled()
        assert (await get(running, "us", "/visits/visit-7")).status == 200

    run(scenario, tmp_path)


def test_a_region_that_may_not_hold_a_row_refuses_to_write_and_to_read_it_and_names_those_that_may(tmp_path):
    async def scenario(running):
        for answer in (await put(running, "us", MARKER), await get(running, "us", f"/patients/{MARKER}")):
            assert (answer.status, code_of(answer)) == (421, "PROA-R010")
            assert dict(answer.headers)["proa-regions"] == "de, eu"
            assert dict(answer.headers)["proa-not-started"] == "true"
            assert MARKER.encode() not in answer.body
        answer = await register(running, "us", MARKER, "DE")
        assert (answer.status, dict(answer.headers)["proa-regions"]) == (421, "de, eu")

    run(scenario, tmp_path)


def test_messages_do_not_name_the_key_of_a_resident_row(tmp_path):
    async def scenario(running):
        missing = await get(running, "eu", f"/patients/{MARKER}")
        await running.request("eu", "POST", f"/patients/{MARKER}/insert", key="k-1")
        there = await running.request("eu", "POST", f"/patients/{MARKER}/insert", key="k-2")
        assert [missing.status, there.status] == [404, 409]
        assert MARKER.encode() not in missing.body + there.body

    run(scenario, tmp_path)


# Keys of finished units.


def test_a_repeat_where_the_answer_may_not_be_held_is_refused_and_not_run_again(tmp_path):
    async def scenario(running):
        await put(running, "eu", MARKER)
        first = await running.request("eu", "POST", f"/patients/{MARKER}/look", key="k-1")
        await running.settled()
        repeat = await running.request("us", "POST", f"/patients/{MARKER}/look", key="k-1")
        assert (repeat.status, code_of(repeat)) == (409, "PROA-R011")
        assert dict(repeat.headers)["proa-regions"] == "de, eu"
        replayed = await running.request("de", "POST", f"/patients/{MARKER}/look", key="k-1")
        assert (replayed.status, replayed.body) == (200, first.body)
        other = await running.request("us", "POST", "/patients/other/look", key="k-1")
        assert (other.status, code_of(other)) == (422, "PROA-H423")
        outcome = await running["us"].store.outcome("POST /patients/{id}/look", "k-1")
        assert (outcome.is_sealed, outcome.body, outcome.headers) == (True, b"", [])
        assert b"k-1" not in bytes_of(running, "us")

    run(scenario, tmp_path)


# By a field.


def test_a_row_is_held_where_its_field_says(tmp_path):
    async def scenario(running):
        await register(running, "eu", "anna", "DE")
        await register(running, "us", "bob", "US")
        await register(running, "us", "carl", "FR")
        await running.settled()
        held = {}
        for region in REGIONS:
            answers = [await get(running, region, f"/people/{name}") for name in ("anna", "bob", "carl")]
            held[region] = [answer.status for answer in answers]
        assert held == {"eu": [200, 404, 200], "de": [200, 404, 404], "us": [404, 200, 200]}

    run(scenario, tmp_path)


def test_a_row_whose_field_changes_leaves_those_that_lose_it_and_reaches_those_that_gain_it(tmp_path):
    async def scenario(running):
        await register(running, "eu", "anna", "DE", "first")
        await running.settled()
        assert (await get(running, "de", "/people/anna")).status == 200
        await register(running, "eu", "anna", "FR", "second")
        await running.settled()
        answers = {region: await get(running, region, "/people/anna") for region in REGIONS}
        assert {region: answer.status for region, answer in answers.items()} == {"eu": 200, "de": 404, "us": 200}
        assert body_of(answers["us"])["note"] == "second"
        assert body_of(await get(running, "eu", "/countries/DE")) == []
        assert body_of(await get(running, "us", "/countries/FR")) == ["anna"]
        assert b"second" not in bytes_of(running, "de")

    run(scenario, tmp_path)


def test_a_move_beside_a_write_elsewhere_leaves_two_of_which_the_later_shows_until_the_next_write(tmp_path):
    async def scenario(running):
        await register(running, "eu", "anna", "DE", "first")
        await running.settled()
        cut_off(running, "de")
        await register(running, "eu", "anna", "FR", "moved")
        await asyncio.sleep(0.01)  # a later stamp
        await register(running, "de", "anna", "DE", "meanwhile")
        mend(running)
        await running.settled()
        shown = {region: body_of(await get(running, region, "/people/anna")).get("note") for region in REGIONS}
        assert shown == {"eu": "meanwhile", "de": "meanwhile", "us": "moved"}
        await register(running, "eu", "anna", "FR", "again")
        await running.settled()
        shown = {region: body_of(await get(running, region, "/people/anna")).get("note") for region in REGIONS}
        assert shown == {"eu": "again", "de": None, "us": "again"}

    run(scenario, tmp_path)


def test_a_query_finds_rows_of_every_part_in_one_order(tmp_path):
    async def scenario(running):
        for name in ("d", "b"):
            await register(running, "eu", name, "FR")
        for name in ("c", "a"):
            await register(running, "eu", name, "DE")
        assert body_of(await get(running, "eu", "/countries/FR")) == ["b", "d"]
        assert body_of(await get(running, "eu", "/countries/DE")) == ["a", "c"]
        await running.request("eu", "DELETE", "/people/a")
        assert body_of(await get(running, "eu", "/countries/DE")) == ["c"]

    run(scenario, tmp_path)


# The proof.


def test_every_region_proves_by_looking_that_it_holds_nothing_that_it_may_not(tmp_path):
    async def scenario(running):
        await put(running, "eu", MARKER, key="k-1")
        await register(running, "us", "bob", "US")
        await running.settled()
        found = {region: await holdings(running.app, region, running[region].store) for region in REGIONS}
        assert {region: one.forbidden for region, one in found.items()} == {"eu": [], "de": [], "us": []}
        assert {held.table for held in found["us"].held} == {"people@us"}
        assert Holding("rows", "patients@de+eu", ("de", "eu"), 1) in found["de"].held

    run(scenario, tmp_path)


def test_what_lies_in_a_store_all_the_same_is_found(tmp_path):
    async def scenario(running):
        cut_off(running, "us")
        await put(running, "eu", MARKER)
        (entry,) = await running["eu"].store.journal({"eu/1": 0}, 10)
        misfit = msgspec.msgpack.encode({"id": "x", "country": "US", "note": ""})
        await running["us"].store.apply([entry], running["us"].replicator.terms)
        await running["eu"].store.commit(Batch("u", {}, [Write("people@de+eu", "x", misfit)]))
        found = {region: await holdings(running.app, region, running[region].store) for region in REGIONS}
        assert [(held.what, held.count) for held in found["us"].forbidden] == [("journal writes", 1), ("rows", 1)]
        assert [(held.what, held.table) for held in found["eu"].forbidden] == [("misplaced rows", "people@de+eu")]

    run(scenario, tmp_path)


def test_a_damaged_entry_does_not_end_the_proof_and_is_named_by_it(tmp_path):
    async def scenario(running):
        for region in REGIONS:
            cut_off(running, region)
        for key in ("k-1", "k-2"):
            await put(running, "eu", MARKER, key=key)
        with closing(sqlite3.connect(tmp_path / "eu" / "region.db")) as connection:
            connection.execute("UPDATE journal SET entry = X'C1' WHERE seq = 1")
            connection.commit()
        found = await holdings(running.app, "eu", running["eu"].store)
        assert found.damaged == ["eu/1:1"]
        assert Holding("journal writes", "patients@de+eu", ("de", "eu"), 1) in found.held
        assert "eu/1:1 in the journal cannot be read" in running["eu"].store.damaged

    run(scenario, tmp_path)


@pytest.mark.parametrize("damaged", [b"\xc1", b"\xa1\xff"], ids=["no record", "a text that is none"])
def test_damaged_records_of_finished_keys_do_not_end_the_proof_and_are_named_by_it(tmp_path, damaged):
    async def scenario(running):
        for key in ("k-1", "k-2"):
            await put(running, "eu", MARKER, key=key)
        writer = running["eu"].store._writer
        writer.execute("INSERT INTO doubled SELECT scope, key, 'u' || unit, record, ?, 0 FROM outcomes", (damaged,))
        (scope, key) = writer.execute("SELECT scope, key FROM outcomes ORDER BY key").fetchone()
        writer.execute("UPDATE outcomes SET record = ? WHERE key = ?", (damaged, key))
        writer.commit()
        found = await holdings(running.app, "eu", running["eu"].store)
        answers = [(held.what, held.count) for held in found.held if held.what in ("answers", "duplicates")]
        assert answers == [("answers", 1), ("duplicates", 2)]
        assert (len(found.unreadable), found.damaged) == (3, [])
        assert found.unreadable[0] == f"answers {scope} {key}"
        assert all(one.startswith(f"duplicates {scope} ") for one in found.unreadable[1:])

    run(scenario, tmp_path)


# Third regions.


FOUR = ["eu", "de", "us", "at"]


def four():
    app = App("four", regions=FOUR)
    rows = app.table("rows", Visit, key="id", residency=["eu", "de"])
    plain = app.table("plain", Visit, key="id")

    @app.put("/rows/{id}")
    async def write(id: str) -> None:
        await rows.put(Visit(id, MARKER))
        await plain.put(Visit(id))

    @app.get("/rows/{id}")
    async def read(id: str) -> Visit:
        return await rows.get(id)

    @app.put("/plain/{id}")
    async def note(id: str) -> None:
        await plain.put(Visit(id))

    @app.get("/plain/{id}")
    async def noted(id: str) -> Visit:
        return await plain.get(id)

    return app


async def passed_by_us_alone(running, *, note=True):
    """`eu` writes row 1; only `us` hears of it before `eu` is cut off. `us` then writes what rests on it."""
    cut_off(running, "de", "at")
    await running.request("eu", "PUT", "/rows/1", {})
    await eventually(lambda: has(running, "us", "/plain/1"))
    mend(running)
    cut_off(running, "eu")
    if note:
        await running.request("us", "PUT", "/plain/2", {})


async def has(running, region, path):
    return (await get(running, region, path)).status == 200


def test_a_region_that_lacks_a_row_does_not_pass_its_commit_on_to_one_that_may_hold_it(tmp_path):
    async def scenario(running):
        await passed_by_us_alone(running)
        await eventually(lambda: has(running, "at", "/plain/2"))  # which may not hold it and needs no more
        await asyncio.sleep(0.5)
        assert not await has(running, "de", "/plain/1")
        assert running["de"].cursors().get("eu/1", 0) == 0
        mend(running)
        await running.settled()
        assert [await has(running, "de", path) for path in ("/rows/1", "/plain/1", "/plain/2")] == [True, True, True]
        for region in ("us", "at"):
            assert MARKER.encode() not in bytes_of(running, region)

    run(scenario, tmp_path, four())


def after_losing(region, origin, seq):
    roles = dict.fromkeys(FOUR, "active") | {region: "down"}
    return Assignment(2, "active-active", roles, cuts=(Cut(2, origin, seq),))


def test_after_a_cut_what_nobody_else_has_is_taken_as_it_is_listed_and_filled_when_it_turns_up(tmp_path):
    async def scenario(running):
        await passed_by_us_alone(running)
        for region in ("de", "us", "at"):
            running[region].assume(after_losing("eu", "eu/1", 1), float("inf"))
        await eventually(lambda: has(running, "de", "/plain/2"))
        assert await running["de"].store.gaps(10) == [Gap("eu/1", 1, ("rows@de+eu",))]
        assert (await get(running, "de", "/rows/1")).status == 404
        assert await running["at"].store.gaps(10) == []
        mend(running)
        await eventually(lambda: has(running, "de", "/rows/1"))
        assert await running["de"].store.gaps(10) == []

    run(scenario, tmp_path, four())


def test_the_target_of_a_fail_over_reaches_a_cut_that_only_a_region_without_the_rows_had(tmp_path):
    async def scenario(running):
        await passed_by_us_alone(running, note=False)
        held = running["de"].hold(frozenset({"eu/1"}))
        assert held == {"eu/1": 0}
        assert await running["de"].catch_up({"eu/1": 1}, 5.0)
        assert await running["de"].store.gaps(10) == [Gap("eu/1", 1, ("rows@de+eu",))]

    run(scenario, tmp_path, four())


@pytest.mark.parametrize("who", ["de", "us"])
def test_a_region_with_an_empty_disk_catches_up_with_what_it_may_hold(tmp_path, who):
    async def scenario(running):
        for number in range(5):
            await running.request("eu", "PUT", f"/rows/{number}", {})
        await running.settled()
        await running.stop(who)
        for path in (tmp_path / who).iterdir():
            path.unlink()
        await running.start(who, 2)
        await eventually(lambda: has(running, who, "/plain/4"))
        assert await has(running, who, "/rows/4") == (who == "de")

    run(scenario, tmp_path, four())
