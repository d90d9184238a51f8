"""Which workloads fit an app, and the verdict on a run: what each of them finds, and what holds for every app.

The standard apps are put under all workloads of their modes. Few of them act in one run: a hundred requests spread over
all would rarely meet, while those of one to three collide. How many and which ones is drawn from the run's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from random import Random

from proa.app import App
from proa.chaos import workload
from proa.simulation.checkers import causality, control, convergence, fencing, handled, indexes
from proa.simulation.history import Final, Operation, Violation
from proa.simulation.workloads import dependent, messaging, scheduled, standard
from proa.simulation.workloads.absences import Absences
from proa.simulation.workloads.append import Lists
from proa.simulation.workloads.authored import Authored
from proa.simulation.workloads.bank import Bank
from proa.simulation.workloads.bounds import Bounds
from proa.simulation.workloads.confirmed import Confirmed
from proa.simulation.workloads.counter import Counters
from proa.simulation.workloads.effects import Charges
from proa.simulation.workloads.errands import errands
from proa.simulation.workloads.guests import Guests
from proa.simulation.workloads.letters import Letters
from proa.simulation.workloads.register import Registers
from proa.simulation.workloads.sessions import Sessions
from proa.simulation.workloads.sets import Sets
from proa.simulation.workloads.shelves import Shelves
from proa.simulation.workloads.standard import Held
from proa.simulation.workloads.streams import Streams
from proa.simulation.workloads.ticks import Ticks
from proa.simulation.workloads.trips import Calls, Trips
from proa.simulation.workloads.workload import Workload

HELD = (Bank, Counters, Lists, Sets, Charges, Shelves, Sessions, Bounds)
MERGED = (Lists, Sets, Charges, Shelves, Sessions, Bounds, Guests, Streams)
AT_ONCE_MAX = 3
ENDANGERED_SHARE = 0.6
RETAINED_SHARE = 0.4
"""How many of the runs keep their journals for seconds only."""


def all_for(app: App, authors: workload.Workload | None = None) -> list[Workload]:
    """Every workload that fits an app: those of a standard app, or the author's own."""
    if authors is not None:
        return [Authored(app, authors)]
    for known, all_of_it in _OF:
        if app is known:
            return all_of_it()
    return []


def drawn(workloads: Sequence[Workload], rng: Random) -> list[Workload]:
    """Those that act in one run; often one of them on `active` or `home` rows: they suffer most when roles move."""
    endangered = [workload for workload in workloads if workload.name.startswith(("active ", "home "))]
    count = min(rng.randint(1, AT_ONCE_MAX), len(workloads))
    first = rng.sample(endangered, 1) if endangered and rng.random() < ENDANGERED_SHARE else []
    others = [workload for workload in workloads if workload not in first]
    return first + rng.sample(others, count - len(first))


def fitting(workloads: Sequence[Workload], app: App) -> list[Workload]:
    """Those whose tables the app has."""
    resident = any(table.residency for table in app.tables.values())
    return [workload for workload in workloads if resident or not isinstance(workload, Guests)]


def retained(app: App, seed: int) -> App:
    """The app with journals that are kept so shortly that they are compacted within a run: a standard app, at times.

    Without its resident tables: no region could give another one all of them, so nothing would be compacted.
    """
    rng = Random(f"{seed}/retention")  # noqa: S311 - to be repeated
    if app not in standard.APPS or rng.random() > RETAINED_SHARE:
        return app
    short = copy(app)
    short.tables = {name: table for name, table in app.tables.items() if not table.residency}
    short.journal_retention_s = rng.uniform(0.2, 2.0)
    short.journal_retention_max_s = short.journal_retention_s + rng.uniform(0.1, 2.0)
    return short


def without_idle_streams(app: App, workloads: Sequence[Workload]) -> App:
    """A standard app without the streams of which none of these workloads has news: they would look at each commit."""
    if app.name not in {one.name for one in standard.APPS}:
        return app
    used = {workload.table for workload in workloads if isinstance(workload, Streams)}
    lean = copy(app)
    lean.tables = {name: table for name, table in app.tables.items() if not table.streams or name in used}
    return lean


def verdict(app: App, workloads: Sequence[Workload], history: Sequence[Operation], final: Final) -> list[Violation]:
    """Everything that contradicts a guarantee, the particular before the general."""
    particular = [found for workload in workloads for found in workload.check(history, final)]
    general = [*fencing.check(history, final), *control.check(history, final), *causality.check(final)]
    general += [*indexes.check(app, final), *handled.check(final)]
    return [*particular, *general, *convergence.check(history, final, app.merges())]


def collisions(workloads: Sequence[Workload], history: Sequence[Operation]) -> dict[str, int]:
    """How often the operations of each workload got in each other's way, for the coverage of a batch of runs."""
    return {f"collision: {workload.name}": workload.collisions(history) for workload in workloads}


def _held(app: App, mode: Held) -> list[Workload]:
    rpo_s = app.objectives.rpo_s
    kinds = (*HELD, Guests, Streams) if mode == "active" else HELD
    return [Registers(mode, rpo_s), *(kind(mode, rpo_s) for kind in kinds)]


def _merged(app: App) -> list[Workload]:
    return [kind("any", app.objectives.rpo_s) for kind in MERGED]


def _at_home(app: App) -> list[Workload]:
    """What writes one row at a time: rows of a home each."""
    rpo_s = app.objectives.rpo_s
    return [Registers("home", rpo_s), *(kind("home", rpo_s) for kind in (Counters, Lists, Sessions, Bounds))]


def _letters(app: App) -> list[Workload]:
    return [Letters(kind, app.objectives.rpo_s) for kind in messaging.KINDS]


_OF: Sequence[tuple[App, Callable[[], list[Workload]]]] = (
    (
        standard.active_passive,
        lambda: [
            *_held(standard.active_passive, "active"),
            *_held(standard.active_passive, "strong"),
            *_merged(standard.active_passive),
            Confirmed("active"),
        ],
    ),
    (
        standard.active_active,
        lambda: [
            *_held(standard.active_active, "strong"),
            *_merged(standard.active_active),
            Confirmed("any"),
            *_at_home(standard.active_active),
        ],
    ),
    (standard.confirmed_pair, lambda: [Confirmed("active")]),
    (standard.homes, lambda: [Absences("home", standard.homes.objectives.rpo_s)]),
    (standard.confirmed_trio, lambda: [Confirmed("active", insists=True)]),
    (messaging.active_active, lambda: _letters(messaging.active_active)),
    (messaging.active_passive, lambda: _letters(messaging.active_passive)),
    (scheduled.scheduled, lambda: [Ticks()]),
    (errands, lambda: [Trips(), Calls()]),
    (dependent.app, lambda: [dependent.Transfers()]),
)
"""The workloads of each standard app."""
