"""An author's drill in the simulated world: what was acknowledged is found everywhere, and once."""

import asyncio
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from proa.app import App
from proa.chaos import workload
from proa.chaos.workload import Request
from proa.core.dedupe import Outcome
from proa.core.replicate.journal import Commit, Row, Write
from proa.declare.objectives import Objectives
from proa.errors import NodeFailed
from proa.simulation.client import Client, Habits, Reply
from proa.simulation.history import Final, StoreState
from proa.simulation.loop import run
from proa.simulation.workloads.authored import Authored
from proa.simulation.workloads.catalogue import all_for

REGIONS = ("eu-west-1", "us-east-1")
ORIGIN = "eu-west-1/1"


class Order(msgspec.Struct):
    id: str
    reference: str


app = App("orders", regions=REGIONS, objectives=Objectives(rpo_s=1))
orders = app.table("orders", Order, key="id")


@app.post("/orders", idempotent=True)
async def place(order: Order) -> Order:
    await orders.put(order)
    return order


class Drill(workload.Workload):
    counted = {"orders": "reference"}  # noqa: RUF012 - as an author writes it

    def __init__(self):
        self.ready = False

    async def setup(self, send):
        self.ready = await send(Request("POST", "/orders", b"{}", key="first")) == b'{"id":"first"}'

    def request(self, number, rng):
        return Request("POST", "/orders", b"{}", key=f"order-{number}-{rng.getrandbits(8)}")

    def read_back(self, _request, answer):
        return Request("GET", f"/orders/{msgspec.json.decode(answer)['id']}")

    def check(self, rows):
        return [f"order {row['id']} is cursed" for row in rows["orders"] if row["reference"] == "cursed"]


class Shop:
    """Two regions that keep an order under its key; each may lack some."""

    def __init__(self):
        self.rows = {region: {} for region in REGIONS}
        self.commits = {}
        self.asked = []
        self.down = False
        self.history = []

    async def send(self, via, request):
        await asyncio.sleep(0.01)
        if self.down:
            return Reply(503, {}, b"")
        if request.method == "POST":
            for region in REGIONS:
                self.add(region, request.key, request.key)
            return Reply(200, {"proa-region": "eu-west-1"}, msgspec.json.encode({"id": request.key}))
        self.asked.append((via, request.path))
        found = request.path.rpartition("/")[2] in self.rows[via]
        return Reply(200 if found else 404, {"proa-region": via}, b"{}")

    def add(self, region, id, reference):
        seq = len(self.commits) + 1
        value = msgspec.msgpack.encode(Order(id, reference))
        outcome = Outcome("POST /orders", reference, b"", 200, [], b"", f"{seq:032x}", "eu-west-1", 1e9)
        self.commits[id] = Commit(ORIGIN, seq, seq, 0, {}, [Write("orders", id, value)], [], outcome, outcome.unit)
        self.rows[region][id] = Row("orders", id, value, seq, ORIGIN, seq, {}, seq)

    def final(self, **changes):
        regions = {
            region: StoreState({("orders", key): row for key, row in rows.items()}, {})
            for region, rows in self.rows.items()
        }
        return Final(regions, StoreState({}, {}), **changes)


def played(shop, acts=6, spoil=None, **final):
    """The adapter after a drill, and what it found."""
    adapter = Authored(app, Drill())

    async def main():
        now = asyncio.get_running_loop().time
        habits = Habits(direct_share=0, repeat_share=0, tries_max=0)
        client = Client("c", "eu-west-1", shop.send, now, shop.history, regions=REGIONS, rng=Random(1), habits=habits)
        await adapter.setup(client)
        for number in range(acts):
            await adapter.act(client, Random(number))
        if spoil:
            spoil(shop)
        end = shop.final(**final)
        await adapter.finish(client, end)
        return adapter, adapter.check(shop.history, end)

    return run(main())


def first(shop):
    return next(key for key in shop.rows["eu-west-1"] if key.startswith("order-0"))


def test_the_set_up_is_sent_until_it_is_answered_with_success():
    adapter, _ = played(Shop())
    assert adapter._authors.ready


def test_a_set_up_that_nobody_answers_ends():
    shop = Shop()
    shop.down = True
    with pytest.raises(NodeFailed):
        played(shop)


def test_a_system_that_keeps_everything_holds():
    shop = Shop()
    assert played(shop)[1] == []
    assert shop.history != []


def test_of_writes_whose_rows_are_there_only_a_sample_is_read_back_in_every_region():
    shop = Shop()
    played(shop, acts=30)
    assert 2 * len(REGIONS) <= len(shop.asked) < 30
    assert {via for via, _ in shop.asked} == set(REGIONS)


def lost(shop, *regions):
    key = first(shop)
    for region in regions:
        del shop.rows[region][key]


def test_a_write_that_no_region_finds_is_lost():
    (found,) = played(Shop(), spoil=lambda shop: lost(shop, *REGIONS))[1]
    assert (found.invariant, found.operations) == ("loss", (1,))


def test_a_write_that_one_region_does_not_find_is_a_violation():
    (found,) = played(Shop(), spoil=lambda shop: lost(shop, "us-east-1"))[1]
    assert (found.invariant, found.operations) == ("loss", (1,))
    assert found.detail.startswith("us-east-1 does not find /orders/order-0")


@pytest.mark.parametrize(("lost_at", "violated"), [(0.5, False), (100.0, True)])
def test_a_lost_disk_may_take_what_is_younger_than_the_declared_rpo(lost_at, violated):
    gone = {"lost_disks": frozenset({ORIGIN}), "lost_at": {ORIGIN: lost_at}}
    found = played(Shop(), spoil=lambda shop: lost(shop, *REGIONS), **gone)[1]
    assert [violation.invariant for violation in found] == (["loss"] if violated else [])


def test_a_write_on_the_lost_write_list_is_accounted_for():
    shop = Shop()

    def park(shop):
        shop.parked = shop.commits[first(shop)]
        lost(shop, *REGIONS)
        plain = shop.final

        def final(**changes):
            end = plain(**changes)
            return replace(end, regions={n: replace(state, parked=[shop.parked]) for n, state in end.regions.items()})

        shop.final = final

    assert played(shop, spoil=park)[1] == []


def twice(shop):
    for region in REGIONS:
        shop.add(region, "again", first(shop))


def test_two_rows_of_one_request_are_a_violation_in_every_region():
    found = played(Shop(), spoil=twice)[1]
    assert [violation.invariant for violation in found] == ["effects", "effects"]


def test_the_authors_own_check_speaks_for_every_region():
    def curse(shop):
        shop.add("us-east-1", "x", "cursed")

    (found,) = played(Shop(), spoil=curse)[1]
    assert (found.invariant, found.detail) == ("author", "us-east-1: order x is cursed")


def test_an_app_with_a_drill_gets_its_authors_workload():
    (adapter,) = all_for(app, Drill())
    assert adapter.name == "drill"
