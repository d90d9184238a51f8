"""Combinations of declarations, and habits of handlers, that cannot keep what they promise.

Each is a `Rule` with a code, a cause and a fix (`proa explain K005` prints them); what it finds in an app is a `Danger`
that says where. `refused` must be changed before the app can be trusted; `warned` may be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from proa.app import App
from proa.cli.habits import calls_home, counted, walks
from proa.cli.laws import judged
from proa.core.replicate.snapshot import joinable_from
from proa.core.residency import holders, resident
from proa.declare.classify import written_tables
from proa.declare.dependencies import Call
from proa.declare.handlers import Route

Verdict = Literal["refused", "warned"]


class Setting(msgspec.Struct, frozen=True):
    """What is checked: the app, and the round trip between regions and to the global store (0: nobody said)."""

    app: App
    rtt_ms: float = 0.0

    def writing(self) -> Iterator[Route]:
        """The routes that write a table."""
        return (route for route in self.app.routes if route.unit != "read" and route.writes())


class Rule(msgspec.Struct, frozen=True):
    """One thing that goes wrong. `find` says of an app where it is, one sentence each."""

    code: str
    verdict: Verdict
    title: str
    cause: str
    fix: str
    find: Callable[[Setting], Iterator[str]]


class Danger(msgspec.Struct, frozen=True):
    """What a rule found at one place."""

    code: str
    verdict: Verdict
    what: str
    cause: str
    fix: str


def dangers(app: App, rtt_ms: float = 0.0) -> list[Danger]:
    """Everything about `app` that will hurt in an outage; `rtt_ms` is the distance of regions and the global store."""
    setting = Setting(app, rtt_ms)
    return [
        Danger(rule.code, rule.verdict, what, rule.cause, rule.fix) for rule in RULES for what in rule.find(setting)
    ]


# The system.


def _no_witness(setting: Setting) -> Iterator[str]:
    app = setting.app
    if app.failover == "automatic" and len(app.regions) == 2 and app.witness is None:
        yield "automatic fail-over between two regions without a witness"


def _long_lease(setting: Setting) -> Iterator[str]:
    app, rto_s = setting.app, setting.app.objectives.rto_s
    if app.topology == "active-passive" and rto_s is not None and app.lease_s >= rto_s:
        yield f"lease_s={app.lease_s:g} is not below rto_s={rto_s:g}; about {rto_s / 3:.2g} would be"


# Routes and what they write.


def _loss(setting: Setting) -> Iterator[str]:
    for route in setting.writing():
        lagging = sorted(table.name for table in route.writes() if table.mode != "strong")
        promised = (route.objectives or setting.app.objectives).rpo_s == 0
        if lagging and promised and route.acknowledge != "peer":
            yield f"{route.scope} promises rpo_s=0, but {', '.join(lagging)} replicate after the answer"


def _no_second(setting: Setting) -> Iterator[str]:
    for route in setting.writing():
        tables = sorted(route.writes(), key=lambda table: table.name)
        alone = [
            table.name for table in tables if any(resident(part) and len(holders(part)) == 1 for part in table.parts)
        ]
        if alone and route.acknowledge == "peer":
            yield f"{route.scope} waits for a second region, but rows of {', '.join(alone)} may be held in one alone"


def _endless_journal(setting: Setting) -> Iterator[str]:
    app = setting.app
    parts = list(filter(resident, app.kept()))
    for region in app.regions:
        if not joinable_from(region, app.regions, parts):
            yield f"no other region may hold all that {region} may, so no journal is ever compacted"


def _mixed(setting: Setting) -> Iterator[str]:
    for route in setting.writing():
        modes = {table.mode for table in route.writes()}
        if "strong" in modes and len(modes) > 1:
            yield f"{route.scope} writes strong tables and {', '.join(sorted(modes - {'strong'}))} ones"


def _no_key(setting: Setting) -> Iterator[str]:
    for route in setting.writing():
        repeatable = route.method in ("PUT", "DELETE") and route.idempotent
        if route.idempotent is not True and not repeatable:
            tables = ", ".join(sorted(table.name for table in route.writes()))
            key = "no Idempotency-Key" if not route.idempotent else "an Idempotency-Key only where one is sent"
            yield f"{route.scope} writes {tables} and heeds {key}"


def _too_short(setting: Setting) -> Iterator[str]:
    for route in setting.app.routes:
        needed_ms = setting.rtt_ms * _rounds(route)
        if route.timeout_s * 1000 < needed_ms:
            yield (
                f"{route.scope} has timeout_s={route.timeout_s:g}, but what it waits for elsewhere takes "
                f"{needed_ms:g} ms at a round trip of {setting.rtt_ms:g} ms"
            )


def _rounds(route: Route) -> int:
    """How many round trips a unit of this route may need: to the global store, to a row's home, to a second region."""
    reads = any(table.mode == "strong" for table in route.reads())
    return reads + (route.unit in ("global", "home")) + (route.acknowledge == "peer")


def _lost_sums(setting: Setting) -> Iterator[str]:
    if len(setting.app.regions) > 1:
        for route in setting.writing():
            for table, field, seen in counted(route):
                yield f"{route.scope} changes the number {table.name}.{field} ({seen}), which one writer wins"


def _unheard(setting: Setting) -> Iterator[str]:
    for route in setting.app.routes:
        if route.on_duplicate and route.unit == "global":
            yield f"{route.scope} has on_duplicate, but its units are global: no key is ever used twice"


def _torn_handler(setting: Setting) -> Iterator[str]:
    for route in setting.app.routes:
        written = written_tables(route.on_duplicate) if route.on_duplicate else ()
        if strong := sorted(table.name for table in written if table.mode == "strong"):
            yield f"on_duplicate of {route.scope} writes strong tables: {', '.join(strong)}"


# Dependencies.


def _calls(setting: Setting) -> Iterator[Call[..., Any]]:
    return (call for dependency in setting.app.dependencies.values() for call in dependency.calls.values())


def _repeated(setting: Setting) -> Iterator[str]:
    for call in _calls(setting):
        retry = call.policies.retry
        if retry and retry.attempts > 1 and not call.idempotent:
            name = f"{call.dependency.name}.{call.name}"
            yield f"{name} is made up to {retry.attempts} times, and not said to be idempotent"


def _doubled(setting: Setting) -> Iterator[str]:
    for call in _calls(setting):
        if call.policies.hedge and not call.idempotent:
            yield f"{call.dependency.name}.{call.name} is hedged, and not said to be idempotent"


def _unending(setting: Setting) -> Iterator[str]:
    for dependency in setting.app.dependencies.values():
        if dependency.calls and dependency.policies.timeout is None:
            yield f"{dependency.name} has no timeout_s: its calls last until the unit's deadline"


# What handlers do.


def _cross_region(setting: Setting) -> Iterator[str]:
    for route in setting.app.routes:
        if seen := calls_home(setting.app, route):
            yield f"{route.scope} {seen}: it seems to call a region of its own app, or the edge"


def _endless(setting: Setting) -> Iterator[str]:
    for route in setting.app.routes:
        if walks(route):
            yield f"{route.scope} asks for page after page of a query in a loop"


# Tables.


def _expiring(setting: Setting) -> Iterator[str]:
    for table in setting.app.tables.values():
        if table.mode == "strong" and table.expires:
            yield f"strong table {table.name} expires by {table.expires!r}"


def _unlawful(setting: Setting) -> Iterator[str]:
    for name, law in judged(setting.app).broken.items():
        yield f"table {name}: its merge breaks a law: {law}"


def _untried(setting: Setting) -> Iterator[str]:
    for name in judged(setting.app).untried:
        yield f"table {name}: no rows could be made up to try its merge on"


def _open(setting: Setting) -> Iterator[str]:
    if setting.app.authentication:
        for route in setting.writing():
            if route.auth is None:
                tables = ", ".join(sorted(table.name for table in route.writes()))
                yield f"{route.scope} writes {tables} for anybody"


RULES = (
    Rule(
        "PROA-K001",
        "refused",
        "Automatic fail-over that nobody can judge",
        "when the link between two regions is cut, each sees the other as lost, and nobody can tell who is right",
        "declare where the witness lives: App(..., witness=...), outside both regions",
        _no_witness,
    ),
    Rule(
        "PROA-K002",
        "warned",
        "A lease as long as the recovery may take",
        "a region that cannot be reached is replaced only when its lease has run out",
        "declare a lease of about a third of rto_s, or a larger rto_s",
        _long_lease,
    ),
    Rule(
        "PROA-K003",
        "warned",
        "No loss promised, and lost with the region",
        "what a lost region had acknowledged and not yet replicated is missing until its disk returns",
        'declare acknowledge="peer", keep such rows in `strong` tables, or give the route an rpo_s above the lag',
        _loss,
    ),
    Rule(
        "PROA-K004",
        "refused",
        "One unit, two stores",
        "a unit commits in exactly one store, so one of the writes is refused at run time",
        "split the handler, or give the tables the same kind of mode",
        _mixed,
    ),
    Rule(
        "PROA-K005",
        "warned",
        "A sum that one writer wins",
        "two regions that add at the same moment each write their own sum; the merge keeps one, the other is gone",
        "make the field a `merge.Counter` with merge=merge.fields(), or the table `strong`",
        _lost_sums,
    ),
    Rule(
        "PROA-K006",
        "warned",
        "A handler that waits for another region",
        "a region that needs another one to answer fails with it: two regions become one larger one",
        "write a row and let replication carry it, or read it here; keep the call out of the handler",
        _cross_region,
    ),
    Rule(
        "PROA-K007",
        "warned",
        "A write that may run twice",
        "a client that got no answer can only send the request again, and without a key it is another request",
        "declare idempotent=True; PUT and DELETE, which replace or remove a row as a whole, may leave it `optional`",
        _no_key,
    ),
    Rule(
        "PROA-K008",
        "refused",
        "A deadline below the round trip",
        "the unit ends before the global store, the row's home or the second region can have answered, so it fails",
        "give the route a longer timeout_s, or keep what it writes in `any` tables without waiting for a peer",
        _too_short,
    ),
    Rule(
        "PROA-K009",
        "warned",
        "A query without an end",
        "every row returned is kept and checked at the commit, so the unit grows with the table until it is too slow",
        "answer one page and hand `next` to the client, or keep a row with the total and change it with each write",
        _endless,
    ),
    Rule(
        "PROA-K010",
        "warned",
        "A strong row whose end is a matter of clocks",
        "each region judges the end by its own clock, so within clock_bound_ms a row is there for one and gone for "
        "another; who relies on its absence may act while somebody else still relies on the row",
        "leave more than clock_bound_ms between the end and what rests on it, or let a unit delete the row",
        _expiring,
    ),
    Rule(
        "PROA-K011",
        "refused",
        "A merge that breaks a law",
        "regions apply the same writes in different orders; where the merge is not commutative, associative and "
        "idempotent they end with different rows",
        "change the function until it holds for the values shown; the larger, the union, the later are such functions",
        _unlawful,
    ),
    Rule(
        "PROA-K012",
        "warned",
        "A merge that was not tried",
        "its rows are of a type, or under constraints, that generated values do not meet, so nobody knows of its laws",
        "try it in a test of your own, in any order and twice, or give the fields types that leave more room",
        _untried,
    ),
    Rule(
        "PROA-K013",
        "warned",
        "A handler of duplicates that nobody calls",
        "a key of a global unit is decided in one place, so there are no duplicates to hand over",
        "leave on_duplicate out",
        _unheard,
    ),
    Rule(
        "PROA-K014",
        "refused",
        "A handler of duplicates that writes another store",
        "its rows and the mark that the pair is handled are one commit in the region's own store; the write of a "
        "strong row is refused at run time, each time it is tried",
        "write a row of mode `any`, and let what must be strong follow from it",
        _torn_handler,
    ),
    Rule(
        "PROA-K015",
        "refused",
        "A second copy that may not exist",
        "residency keeps the rows in one region, so no other one can have them durable; the answer would never come",
        "name a second region in the table's residency, or acknowledge by the region itself",
        _no_second,
    ),
    Rule(
        "PROA-K016",
        "warned",
        "Journals that only grow",
        "a region that needs a snapshot takes it from one other region, which must hold all that it may; where sets of "
        "regions overlap so that there is none, entries are kept for ever, and disks fill",
        "let the sets of residency contain one another, or give each region another one that is in all of its sets",
        _endless_journal,
    ),
    Rule(
        "PROA-K017",
        "warned",
        "A write that anybody may make",
        "the app authenticates, but auth=None lets whoever finds the route change rows; and a key under which nobody "
        "is known belongs to whoever sends it",
        "leave auth out, or demand scopes; where it is meant, let the firewall or a throttle stand before it",
        _open,
    ),
    Rule(
        "PROA-K018",
        "warned",
        "A call that is made again",
        "an attempt that failed may have had its effect all the same, and the next one has it once more",
        "say idempotent=True where the other side tells repeats apart, or declare such calls without retry",
        _repeated,
    ),
    Rule(
        "PROA-K019",
        "refused",
        "A call that is made twice at once",
        "a hedge makes a second attempt while the first goes on, and both may have their effect",
        "say idempotent=True if the call only reads or the other side tells repeats apart, or leave the hedge out",
        _doubled,
    ),
    Rule(
        "PROA-K020",
        "warned",
        "A call that nothing ends",
        "where the dependency does not answer, each call holds its unit, and its place in a bulkhead, to the end",
        "declare timeout_s for the dependency, well below that of the routes that call it",
        _unending,
    ),
)
"""Every rule, by code."""
