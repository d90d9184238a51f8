"""What declarations promise: for each table who writes it and what a read shows, for each route what it commits.

`proa explain consistency APP` prints the page. It is a pure function of the declarations, so it cannot drift from them;
what each mode promises is written down once, in `MODES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from proa.app import App
from proa.cli.check import promise
from proa.core.residency import holders
from proa.declare.handlers import Route
from proa.declare.tables import BaseTable

MERGES = {"last_writer": "the later one stays", "fields": "each field goes by its rule"}
NO_MESSAGE = "no message"
AT_HOME = "no message at home; elsewhere one round trip"
STORE_TRIP = "one round trip to the global store"


class Read(msgspec.Struct, frozen=True):
    """What a read at a level promises, and what it costs in messages."""

    level: str
    promises: str
    costs: str


class Mode(msgspec.Struct, frozen=True):
    """What a mode promises. `{...}` stand for what an app declares: see `_facts`.

    `region`, `store` and `link` tell what happens when one of them is lost.
    """

    writers: str
    write_costs: str
    reads: tuple[Read, ...]
    region: str
    store: str
    link: str


class TablePromise(msgspec.Struct, frozen=True):
    """One table's section of the page."""

    table: str
    mode: str
    writers: str
    write_costs: str
    reads: tuple[Read, ...]
    lost: tuple[tuple[str, str], ...]
    held: str = "every region"


class RoutePromise(msgspec.Struct, frozen=True):
    """One route's line. `unit` is the class that the edge and the stores treat it by."""

    route: str
    unit: str
    writes: tuple[str, ...]
    key: str


class Page(msgspec.Struct, frozen=True):
    """All that is promised of an app."""

    app: str
    topology: str
    regions: tuple[str, ...]
    tables: tuple[TablePromise, ...]
    routes: tuple[RoutePromise, ...]


SESSION = Read(
    "session",
    "nothing older than what the client's `proa-session` has written or read, else 503 (PROA-Q002); what a lost region "
    "took of that along is told once (409, PROA-Q003)",
    "no message; right after a write in another region it waits for that to arrive",
)
FRESH = Read(
    "bounded(s)",
    "everything that the regions whose commits count had s seconds before the read began, else 503 (PROA-Q001)",
    "no message while the last pulls vouch for it, else one round trip to the peers",
)
MODES: Mapping[str, Mode] = {
    "any": Mode(
        writers="every region, at once; of concurrent writes: {merge}",
        write_costs="one fsync in the region",
        reads=(
            Read("default", "what this region has applied; others' commits show after the lag", NO_MESSAGE),
            FRESH,
            SESSION,
            Read("strong", "refused: every region writes, so none can answer alone", "-"),
        ),
        region="the others go on at once; what it had not replicated is missing until its disk returns, then merges",
        store="goes on",
        link="both sides go on and merge when it heals; bounded reads across it refuse when they become older than s",
    ),
    "home": Mode(
        writers="the region that is home of the row, or its stand-in; other regions hand the request on to it",
        write_costs="one fsync at home; elsewhere one round trip more",
        reads=(
            Read("default", "what this region has applied; elsewhere than at home after the lag", NO_MESSAGE),
            Read(
                "strong",
                "of one row: every write acknowledged; elsewhere than at home the request is handed on",
                AT_HOME,
            ),
            FRESH,
            SESSION,
        ),
        region="its rows are refused until their stand-ins act (a plan moves them); what it had acknowledged and not "
        "replicated is set aside and listed",
        store="goes on until the lease ends ({lease_s:g} s); then writes are refused",
        link="requests that would have to cross it are refused; each region goes on with the rows that it is home of",
    ),
    "active": Mode(
        writers="{active}, or the region that a fail-over has promoted",
        write_costs="one fsync in the active region",
        reads=(
            Read("default", "what this region has applied; a standby shows commits after the lag", NO_MESSAGE),
            Read(
                "strong",
                "in the active region, while its lease lasts: every write acknowledged in this epoch; elsewhere 503 "
                "(PROA-R001)",
                NO_MESSAGE,
            ),
            FRESH,
            SESSION,
        ),
        region="writes are refused until a standby is promoted ({failover}); what the lost region had acknowledged and "
        "not replicated is set aside and listed",
        store="goes on until the lease ends ({lease_s:g} s); then writes and strong reads are refused",
        link="the active region goes on; a standby behind the link lags",
    ),
    "strong": Mode(
        writers="every region, through the global store, in one order",
        write_costs=STORE_TRIP + " and its fsync",
        reads=(
            Read("default, strong", "every commit acknowledged before the read began, anywhere", STORE_TRIP),
            Read(
                "bounded(s)",
                "a row that was current at some moment within s seconds before the read began, else 503 (PROA-Q001); "
                "validated at the commit only if the unit writes that row",
                "no message while this region's copy is young enough, else " + STORE_TRIP,
            ),
            Read("session", "bounded reads show nothing older than the session has written or read", "as above"),
        ),
        region="nothing is lost, and the others go on at once",
        store="writes and strong reads are refused (503, PROA-R004); bounded reads go on for at most s seconds",
        link="a region that is cut off from the global store does as if that were lost; the others go on",
    ),
}


def page(app: App) -> Page:
    """What the declarations of an app promise."""
    return Page(
        app.name,
        app.topology,
        app.regions,
        tuple(_table(app, table) for table in app.tables.values()),
        tuple(_route(route) for route in app.routes),
    )


def _table(app: App, table: BaseTable[Any]) -> TablePromise:
    mode, told = MODES[table.mode], _facts(app, table)
    lost = (("A region", mode.region), ("The global store", mode.store), ("The link between regions", mode.link))
    return TablePromise(
        table.name,
        table.mode,
        told(mode.writers),
        mode.write_costs,
        mode.reads,
        tuple((what, told(happens)) for what, happens in lost),
        _held(table),
    )


def _facts(app: App, table: BaseTable[Any]) -> Callable[[str], str]:
    """Puts what the app declares into a sentence."""
    ended = f"at once where its end is certain, else after its lease of {app.lease_s:g} s"
    approved = ended if app.failover == "automatic" else f"{ended}; a person approves"
    policy = table.merge.name if table.merge else "last_writer"
    merge = MERGES.get(policy, f"what {policy} makes of them")
    return lambda text: text.format(merge=merge, active=app.active, failover=approved, lease_s=app.lease_s)


def _held(table: BaseTable[Any]) -> str:
    """The regions that may hold its rows, one set after another."""
    if table.residency is None:
        return "every region"
    return ", or ".join(" and ".join(holders(part)) for part in table.residency.parts)


def _route(route: Route) -> RoutePromise:
    return RoutePromise(route.scope, route.unit, tuple(sorted(t.name for t in route.writes())), promise(route))


# As markdown.


def markdown(found: Page) -> str:
    """The page as a document."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Page) -> Iterator[str]:
    yield f"# What {found.app} promises"
    yield ""
    yield f"{found.topology} in {', '.join(found.regions)}. What the levels mean: [reading](../guides/reading.md)."
    alike: dict[TablePromise, list[str]] = {}
    for table in found.tables:
        alike.setdefault(msgspec.structs.replace(table, table=""), []).append(f"`{table.table}`")
    for table, names in alike.items():
        yield from _section(table, names)
    yield from ("", "## Routes", "", "| route | unit | writes | the same request again |", "|---|---|---|---|")
    for route in found.routes:
        yield f"| `{route.route}` | {route.unit} | {', '.join(route.writes) or '-'} | {route.key} |"


def _section(table: TablePromise, names: Sequence[str]) -> Iterator[str]:
    """What some tables promise alike."""
    yield from ("", f"## {', '.join(names)}: mode `{table.mode}`", "")
    yield f"- **Written by** {table.writers}. A write costs {table.write_costs}."
    yield f"- **Held by** {table.held}."
    yield from (f"- **{what} is lost**: {happens}." for what, happens in table.lost)
    yield from ("", "| read at level | promises | costs |", "|---|---|---|")
    yield from (f"| {read.level} | {read.promises} | {read.costs} |" for read in table.reads)
