"""The world as an author's tests use it: small apps, whole systems, faults by hand."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass

import pytest

from proa import App, Context, Objectives
from proa.errors import SimulationEscape, UsageError
from proa.simulation import World, simulated

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"


@dataclass
class Note:
    id: str
    text: str = ""


@dataclass
class Left:
    id: str
    count: int = 0


def shop(**options):
    app = App("shop", regions=[EU, US, AP], lease_s=2, objectives=Objectives(rto_s=5, rpo_s=1), **options)
    notes = app.table("notes", Note, key="id")
    left = app.table("left", Left, key="id", mode="strong")

    @app.put("/notes/{id}")
    async def write(id: str, note: Note) -> Note:
        await notes.put(note)
        return note

    @app.get("/notes/{id}")
    async def read(id: str) -> Note:
        return await notes.get(id)

    @app.post("/take/{id}", idempotent=True)
    async def take(id: str) -> Left:
        row = await left.get(id, Left(id))
        await left.put(Left(id, row.count + 1))
        return Left(id, row.count + 1)

    @app.get("/clock")
    async def clock(ctx: Context) -> float:
        return ctx.now()

    return app


def passive():
    return shop(topology="active-passive", failover="approval")


async def notes_of(world, region):
    return {key: note.text for key, note in world.table(region, "notes").items()}


# Requests and replication.


@simulated
async def test_a_row_written_in_one_region_is_read_in_all_of_them():
    async with World(shop(), seed=7) as world:
        await world[EU].put("/notes/1", Note("1", "hello"))
        await world.settle()
        replies = [await world[region].get("/notes/1") for region in (EU, US, AP)]
    assert [reply.json() for reply in replies] == [{"id": "1", "text": "hello"}] * 3


@simulated
async def test_the_edge_serves_clients_while_a_region_is_gone():
    async with World(shop(), seed=7) as world:
        world.lose(EU)
        replies = [await world.edge.post("/take/a", key=f"k{n}") for n in range(5)]
        assert [reply.json()["count"] for reply in replies] == [1, 2, 3, 4, 5]
        assert EU not in {reply.headers["proa-region"] for reply in replies}


@simulated
async def test_a_key_repeated_in_another_region_gets_the_first_answer():
    async with World(shop(), seed=7) as world:
        first = await world[EU].post("/take/a", key="k")
        again = await world[US].post("/take/a", key="k")
        assert (first.json(), again.json()) == ({"id": "a", "count": 1}, {"id": "a", "count": 1})
        assert world.table("witness", "left") == {"a": Left("a", 1)}


@simulated
async def test_a_dead_region_refuses_and_a_lost_one_says_nothing():
    async with World(shop(), seed=7) as world:
        world.kill(US)
        with pytest.raises(ConnectionRefusedError):
            await world[US].get("/clock")
        world.lose(AP)
        with pytest.raises(TimeoutError):
            await world[AP].get("/clock", timeout_s=1)


# Faults.


@simulated
async def test_a_paused_region_answers_when_it_goes_on():
    async with World(shop(), seed=7) as world:
        world.pause(EU)
        answer = asyncio.ensure_future(world[EU].get("/clock"))
        began = world.now
        await asyncio.sleep(3)
        assert not answer.done()
        world.resume(EU)
        assert (await answer).status == 200
        assert 3 < world.now - began < 3.1


@simulated
async def test_what_is_cut_off_catches_up_when_it_is_mended():
    async with World(shop(), seed=7) as world:
        world.partition(EU, [US, AP])
        await world[EU].put("/notes/1", Note("1", "kept"))
        await asyncio.sleep(5)
        assert await notes_of(world, US) == {}
        world.mend(EU, [US, AP])
        await world.settle()
        assert await notes_of(world, US) == await notes_of(world, EU) == {"1": "kept"}


@simulated
async def test_a_one_way_cut_stops_one_direction():
    async with World(shop(), seed=7) as world:
        world.partition("client", EU, one_way=True)
        with pytest.raises(TimeoutError):
            await world[EU].get("/clock", timeout_s=1)
        world.mend("client", EU)
        assert (await world[EU].get("/clock")).status == 200


@pytest.mark.parametrize("when", ["before", "inside", "after"])
def test_an_acknowledged_write_survives_a_crash_around_any_sync(when):
    @simulated
    async def survives():
        async with World(shop(), seed=7) as world:
            await world[EU].put("/notes/1", Note("1", "kept"))
            world.crash_at_fsync(EU, when)
            with pytest.raises(ConnectionError):
                await world[EU].put("/notes/2", Note("2", "perhaps"))
            world.heal()
            await world.settle()
            held = await notes_of(world, EU)
            assert held["1"] == "kept"
            assert await notes_of(world, US) == held
            return "2" in held

    kept = survives()
    assert kept or when != "after"
    assert not kept or when != "before"


@simulated
async def test_a_process_that_stands_still_in_a_sync_answers_when_it_goes_on():
    async with World(shop(), seed=7) as world:
        world.pause_at_fsync(EU, 3.0)
        began = world.now
        assert (await world[EU].put("/notes/1", Note("1", "kept"))).status == 200
        assert 3.0 < world.now - began < 3.1
        began = world.now
        await world[EU].put("/notes/2", Note("2", "at once"))
        assert world.now - began < 0.1


@simulated
async def test_a_dead_process_changes_nothing_any_more():
    async with World(shop(), seed=7) as world:
        world.disk(EU).slow_s = 5.0
        writing = asyncio.ensure_future(world[EU].put("/notes/1", Note("1", "late"), timeout_s=2))
        await asyncio.sleep(0.1)
        world.kill(EU)
        with pytest.raises(ConnectionResetError):
            await writing
        world.disk(EU).slow_s = 0.0
        held = await notes_of(world, EU)
        world.start(EU)
        await asyncio.sleep(10)
        assert await notes_of(world, EU) == held


@simulated
async def test_a_full_disk_refuses_and_takes_writes_again_when_it_has_room():
    async with World(shop(), seed=7) as world:
        world.disk(EU).full = True
        assert (await world[EU].put("/notes/1", Note("1"))).status == 507
        world.disk(EU).full = False
        assert (await world[EU].put("/notes/1", Note("1"))).status == 200


@simulated
async def test_clocks_jump_and_drift_per_node():
    async with World(shop(), seed=7) as world:
        world.jump(EU, 3600)
        ahead, right = [(await world[region].get("/clock")).json() for region in (EU, US)]
        assert 3599 < ahead - right < 3601
        world.drift(US, 0.5)
        before = (await world[US].get("/clock")).json()
        await asyncio.sleep(10)
        assert 14.9 < (await world[US].get("/clock")).json() - before < 15.1


@simulated
async def test_a_step_can_be_stopped_at_any_port_call_while_the_rest_goes_on():
    async with World(shop(), seed=7) as world:
        world.at_port(EU, 1, "pause", 2.0)
        began = world.now
        assert (await world[EU].get("/clock")).status == 200
        assert world.now - began > 2.0


@simulated
async def test_a_kill_at_a_port_call_is_a_death():
    async with World(shop(), seed=7) as world:
        boots = world.nodes[EU].boots
        world.at_port(EU, 3, "kill")
        await asyncio.sleep(2)
        assert world.nodes[EU].boots == boots + 1
        await world.settle()


@simulated
async def test_a_lost_disk_comes_back_under_a_new_incarnation():
    async with World(shop(), seed=7) as world:
        await world[EU].put("/notes/1", Note("1", "replicated"))
        await world.settle()
        before = world.region(EU).origin
        world.kill(EU)
        world.disk(EU).lose()
        world.start(EU)
        await world.settle()
        assert world.region(EU).origin != before
        assert await notes_of(world, EU) == {"1": "replicated"}


# People, roles, plans.


@simulated
async def test_a_fail_over_waits_for_its_approval_and_moves_the_role():
    async with World(passive(), seed=7) as world:
        await world.edge.put("/notes/1", Note("1", "before"))
        await world.settle()
        assert world.roles == {EU: "active", US: "standby", AP: "standby"}
        world.lose(EU)
        await world.until(lambda: world.plan and world.plan.step == "gate")
        await asyncio.sleep(5)
        assert world.roles[EU] == "active"
        await world.approve(accept_lost=10)
        await world.until(lambda: "active" in {world.roles[US], world.roles[AP]})
        assert world.roles[EU] == "fenced"
        assert (await world.edge.put("/notes/2", Note("2", "after"))).status == 200
        entries = await world.audit()
        assert [entry["action"] for entry in entries if entry["plan"]][:3] == ["request", "gate", "approve"]


# Invariants.


@simulated
async def test_an_invariant_is_checked_after_every_answer():
    async with World(shop(), seed=7) as world:

        @world.always
        def few(world):
            if len(world.table(EU, "notes")) > 1:
                yield "too many notes"

        await world[EU].put("/notes/1", Note("1"))
        with pytest.raises(AssertionError, match="few: too many notes"):
            await world[EU].put("/notes/2", Note("2"))


def test_a_final_invariant_is_checked_when_the_world_has_settled():
    seen = []

    @simulated
    async def once():
        async with World(shop(), seed=7) as world:

            @world.finally_
            def everywhere(world):
                seen.append([world.table(region, "notes").keys() for region in (EU, US, AP)])

            await world[EU].put("/notes/1", Note("1"))

    once()
    assert seen == [[{"1"}, {"1"}, {"1"}]]


# Limits.


def test_a_world_outside_of_virtual_time_says_what_is_missing():
    async def outside():
        async with World(shop()):
            pass

    with pytest.raises(UsageError, match="decorate the test with `simulated`"):
        asyncio.run(outside())


def test_an_escape_of_a_handler_ends_the_world_and_names_the_line():
    import time

    app = shop()

    @app.get("/escape")
    async def escape() -> float:
        return time.time()

    @simulated
    async def escaping():
        async with World(app, seed=7) as world:
            await world[EU].get("/escape")

    with pytest.raises(SimulationEscape, match=r"test_world\.py:\d+: .*ctx\.now"):
        escaping()


@simulated
async def test_a_name_that_is_no_node_is_refused():
    async with World(shop(), seed=7) as world:
        with pytest.raises(KeyError, match="there is no node 'mars'"):
            world["mars"]


# Determinism.

SCRIPT = """
from proa.app import load_app
from proa.simulation.case import Case
from proa.simulation.scenario import run_case
target = "proa.simulation.workloads.standard:active_passive"
app = load_app(target)
for seed, order in ((1, "fifo"), (2, "seeded"), (3, "fifo")):
    print(run_case(app, Case(target, seed, requests=60, duration_s=10.0, order=order)).trace_hash)
"""


def test_a_seed_gives_the_same_trace_in_another_process_with_another_hash_seed():
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(set(runs[0].stdout.split())) == 3


@simulated
async def test_a_minute_of_virtual_time_passes_at_once():
    async with World(shop(), seed=7) as world:
        await asyncio.sleep(60)
        assert world.now > 60


@simulated
async def test_healing_disarms_traps_and_ends_a_pause_in_the_middle_of_a_step():
    async with World(shop(), seed=7) as world:
        boots = world.nodes[US].boots
        world.at_port(EU, 1, "pause", 60.0)
        answer = asyncio.ensure_future(world[EU].get("/clock", timeout_s=30))
        await asyncio.sleep(2)
        assert not answer.done()
        world.at_port(US, 5_000, "kill")
        world.heal()
        assert (await answer).status == 200
        await asyncio.sleep(60)
        assert world.nodes[US].boots == boots


def test_a_world_that_never_comes_up_leaves_nothing_behind(monkeypatch):
    import time

    monkeypatch.setattr("proa.simulation.world.START_WITHIN_S", -1.0)
    clock, folders = time.time, []

    @simulated
    async def stuck():
        world = World(shop(), seed=7)
        try:
            async with world:
                pass
        finally:
            folders.append(world._folder)

    with pytest.raises(AssertionError, match="does not serve"):
        stuck()
    assert time.time is clock
    assert [folder.exists() for folder in folders] == [False]
