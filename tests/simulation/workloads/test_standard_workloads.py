"""The standard workloads pass a service without defects, and see each defect that is planted into it."""

from random import Random

import pytest
from msgspec.structs import replace
from standard_service import Service, violations

from proa.simulation.loop import run
from proa.simulation.workloads import standard
from proa.simulation.workloads.append import Lists
from proa.simulation.workloads.bank import Bank
from proa.simulation.workloads.catalogue import all_for, collisions, drawn
from proa.simulation.workloads.confirmed import Confirmed
from proa.simulation.workloads.counter import Counters
from proa.simulation.workloads.effects import Charges
from proa.simulation.workloads.register import Registers
from proa.simulation.workloads.sets import Sets
from proa.simulation.workloads.shelves import Shelves
from proa.simulation.workloads.streams import Streams

APPS = [standard.active_active, standard.active_passive]
EVERY = [(standard.active_active, 23), (standard.active_passive, 29)]
NAMES = ["active_active", "active_passive"]


def found(service, workload, **habits):
    return {violation.invariant for violation in violations(service, [workload], **habits)} - {"convergence"}


@pytest.mark.parametrize("app", APPS, ids=NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_a_service_without_defects_passes_every_workload(app, seed):
    workloads = [each for each in all_for(app) if not isinstance(each, Streams)]  # the service runs no streams
    assert violations(Service(app, seed=seed), workloads) == []


@pytest.mark.parametrize(("app", "count"), EVERY, ids=NAMES)
def test_every_workload_fits_its_app_and_collides(app, count):
    service, workloads = Service(app), all_for(app)
    violations(service, workloads, acts=80)
    assert len(workloads) == count
    assert [name for name, count in collisions(workloads, service.history).items() if count == 0] == []


@pytest.mark.parametrize("app", APPS, ids=NAMES)
def test_a_loss_of_what_a_second_region_confirmed_is_seen(app):
    [workload] = [each for each in all_for(app) if isinstance(each, Confirmed)]
    assert "loss" in found(Service(app, "loses commits"), workload)


@pytest.mark.parametrize("mode", ["strong", "active"])
@pytest.mark.parametrize(
    ("defect", "kind", "invariants"),
    [
        ("validates nothing", Registers, {"register"}),
        ("validates nothing", Bank, {"bank"}),
        ("validates nothing", Counters, {"counter"}),
        ("validates nothing", Lists, {"append"}),
        ("forgets commits", Registers, {"register"}),
        ("forgets commits", Bank, {"bank"}),
        ("forgets commits", Counters, {"counter"}),
        ("forgets commits", Lists, {"append"}),
        ("forgets commits", Sets, {"set"}),
        ("forgets commits", Charges, {"effects", "loss"}),
        *(("loses commits", kind, {"loss"}) for kind in (Registers, Bank, Counters, Lists, Sets, Charges, Shelves)),
        ("forgets commits", Shelves, {"index"}),
        ("forgets keys", Counters, {"counter"}),
        ("forgets keys", Lists, {"append"}),
        ("forgets keys", Charges, {"effects"}),
        ("commits halves", Bank, {"bank"}),
        ("commits halves", Sets, {"set"}),
    ],
)
def test_a_defect_is_seen_where_a_row_has_one_value_at_a_time(mode, defect, kind, invariants):
    assert found(Service(standard.active_passive, defect), kind(mode), repeat_share=0.5) >= invariants


@pytest.mark.parametrize(
    ("defect", "workload", "invariants"),
    [
        ("reads the past", Registers("strong"), {"register"}),
        ("reads the past", Sets("strong"), {"set"}),
        ("commits halves", Sets("any"), {"set", "atomic"}),
        ("forgets commits", Sets("any"), {"set"}),
        ("loses commits", Sets("any"), {"loss"}),
        ("loses commits", Lists("any"), {"loss"}),
        ("loses commits", Charges("any"), {"effects", "loss"}),
        ("forgets commits", Charges("any"), {"effects", "loss"}),
        ("forgets keys", Charges("any"), {"effects"}),
    ],
)
def test_a_defect_is_seen_where_reads_are_strong_or_rows_are_merged(defect, workload, invariants):
    assert found(Service(standard.active_active, defect), workload, repeat_share=0.5) >= invariants


def test_a_list_that_was_built_on_another_one_is_never_replaced_by_it():
    service, workload = Service(standard.active_active), Lists("any")

    async def main():
        client = service.client(direct_share=0, repeat_share=0)
        for seed in range(8):
            await workload.act(client, Random(seed))

    run(main())
    assert workload.check(service.history, service.final()) == []
    address = ("any_lists", service.commits[-1].writes[0].key)
    earlier = [write for commit in service.commits[:-1] for write in commit.writes if write.key == address[1]]
    service.rows[address] = replace(service.rows[address], value=earlier[-1].value)
    assert {violation.invariant for violation in workload.check(service.history, service.final())} == {"append"}


def test_few_workloads_act_in_one_run_and_the_seed_says_which():
    workloads = all_for(standard.active_passive)
    draws = [[workload.name for workload in drawn(workloads, Random(seed))] for seed in range(100)]
    again = [[workload.name for workload in drawn(workloads, Random(seed))] for seed in range(100)]
    assert draws == again
    assert {len(names) for names in draws} == {1, 2, 3}
    assert {name for names in draws for name in names} == {workload.name for workload in workloads}


def test_an_app_of_somebody_else_has_no_standard_workload():
    assert all_for(standard.active_active_app()) == []


def test_a_workload_repeats_itself_for_a_seed():
    first, second = Service(standard.active_passive), Service(standard.active_passive)
    violations(first, all_for(standard.active_passive))
    violations(second, all_for(standard.active_passive))
    assert first.history == second.history
