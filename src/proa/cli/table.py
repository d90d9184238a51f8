"""`proa table ...`: what regions hold, where they differ, and what a fail-over left behind.

Everything is asked of every region over HTTP with an operator's token, since rows are shown. What a region that does
not answer would have said is missing, and said to be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlencode

import msgspec
from cyclopts import App as Cli
from cyclopts import Parameter

from proa.cli.output import FAILED, OK, VIOLATED, note, print_json, print_table
from proa.core.replicate.lost import FATES, settled_fate
from proa.core.residency import may_hold, table_of
from proa.errors import NotActive, NotHome, NotResident, RegionSilent, Unavailable, UsageError
from proa.local.plane import declared
from proa.operate import asking
from proa.operate.reach import find, state_dir_of, token_of

table = Cli(name="table", result_action="return_value", help_format="plaintext")

NAMED_MAX = 5
_AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, kw_only=True)
class Common:
    """Which system, who asks, and how to answer."""

    state_dir: Path | None = None
    """The system's state directory; `.proa/<app name>` unless given."""
    token: str | None = None
    """An operator's token, `NAME.SECRET`; better given as PROA_TOKEN than as a flag."""
    json: bool = False
    """Print JSON."""

    def system(self, app: str, part: str = "tables") -> System:
        """The running system of `app`, as this operator reaches it; what is asked is a part of its control API."""
        token = token_of(self.token)
        return System(find(self.state_dir or state_dir_of(declared(app))), token, part)


NOBODY = Common()
Who = Annotated[Common, Parameter(name="*")]


class Asking(asking.Asking):
    """The regions of a running system; people are told on standard error of each that does not answer."""

    def silent(self, error: RegionSilent, missing: str) -> None:
        note(f"{error}{missing}")


class System(Asking, asking.Regions):
    """A running system as commands ask it."""


# Conflicts.


@table.command
def conflicts(
    app: str,
    name: str = "",
    *,
    region: str = "",
    key: str = "",
    since: str = "",
    limit: int = 20,
    common: Who = NOBODY,
) -> int:
    """Show concurrent writes of one row: both versions, who wrote them, and the rule that decided.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of one table only.
        region: as one region noted them; each notes the conflicts that it decided.
        key: of one row only; the parts of a key with a sort value are divided by `/`.
        since: not older than this: an age such as `90s`, `15m`, `2h`, `7d`, or a time such as `2026-01-31T12:00`.
        limit: so many of each region, the newest first.
        common: which system, and who asks.
    """
    wanted = {"table": name, "key": key, "since": since_of(since), "limit": limit}
    answers = common.system(app).ask_all(f"conflicts?{urlencode(wanted)}", region)
    found = sorted((one for said in answers.values() for one in said["conflicts"]), key=_newest_first)
    if common.json:
        print_json({"conflicts": found, "dropped": {name: said["dropped"] for name, said in answers.items()}})
        return OK
    for one in found:
        _print_conflict(one)
    if not found:
        note("no conflicts")
    return OK


def _newest_first(one: Mapping[str, Any]) -> tuple[float, str]:
    return (-one["at"], one["region"])


def since_of(text: str) -> float:
    """A point in time, in seconds since 1970: an age before now, or a time (UTC unless it says otherwise)."""
    if not text:
        return 0.0
    try:
        if text[-1] in _AGES:
            return (datetime.now(UTC) - timedelta(seconds=float(text[:-1]) * _AGES[text[-1]])).timestamp()
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise UsageError(f"since {text!r} is neither an age such as 15m nor a time such as 2026-01-31T12:00") from None


def _print_conflict(one: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{moment(one['at'])}  {one['table']} {one['key']}  decided by {one['rule']} in {one['region']}\n")
    for side in ("ours", "theirs"):
        version = one[side]
        sys.stdout.write(f"  {side:6}  {_fields(version['row'], one['differs'])}\n")
        for author in version["authors"]:
            unit = f"unit {author['unit']}, trace {author['trace']}" if author["unit"] else "unit no longer known"
            sys.stdout.write(f"          {moment(author['at'])}  {author['dot']}  {unit}\n")


def _fields(row: Any, differs: Sequence[str]) -> str:
    """A row in one line, the fields that differ marked by `*`."""
    if row is None:
        return "(deleted)"
    if not isinstance(row, dict):
        return _json(row)
    fields = cast("dict[str, Any]", row)
    return "  ".join(f"{'*' if name in differs else ''}{name}={_json(value)}" for name, value in fields.items())


# Lost writes.


@table.command
def lost(
    app: str,
    *,
    reapply: str = "",
    dismiss: str = "",
    why: str = "",
    force: bool = False,
    common: Who = NOBODY,
) -> int:
    """Show the acknowledged writes that a fail-over went on without, and settle them one by one.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        reapply: write the rows of this lost commit again, as a new unit of the present epoch.
        dismiss: mark this lost commit as one that needs nothing more.
        why: the reason, for the audit log.
        force: reapply although a row was written since; what stands there is replaced.
        common: which system, and who asks.
    """
    if reapply and dismiss:
        raise UsageError("a lost write is reapplied or dismissed, not both")
    system = common.system(app)
    if reapply or dismiss:
        body = {"dot": reapply or dismiss, "why": why} | ({"force": force} if reapply else {})
        return _settle(system, "reapply" if reapply else "dismiss", body, common)
    answers = system.ask_all("lost")
    found = merged({region: said["lost"] for region, said in answers.items()})
    if common.json:
        print_json({"lost": found, "damaged": {region: said["damaged"] for region, said in answers.items()}})
    else:
        _print_lost(found)
        _note_damaged(answers, "what was lost among them is not shown")
    return OK


def merged(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lists of several regions as one, a commit each, the oldest first.

    A commit that stands in a lost row's place may have reached one region before the other.
    """
    found: dict[str, dict[str, Any]] = {}
    for region, listed in answers.items():
        for one in listed:
            known = found.setdefault(one["dot"], {**one, "regions": []})
            known["regions"].append(region)
            known["fate"] = settled_fate(known["fate"], one["fate"])
            known["rows"] = _together([*known["rows"], *one["rows"]])
    return sorted(found.values(), key=lambda one: (one["at"], one["dot"]))


def _together(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of one commit as several regions tell of them; one that may not hold a row does not."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        key = (row["table"], row["key"])
        found[key] = max(found.get(key, row), row, key=lambda one: FATES.index(one["fate"]))
    return list(found.values())


def _settle(system: System, how: str, body: Mapping[str, Any], common: Common) -> int:
    """Ask region after region, until one that has the lost write may settle it."""
    refused: list[str] = []
    for region in system.config.regions():
        try:
            settled = system.ask(region, "POST", f"lost/{how}", body)
        except RegionSilent as error:
            refused.append(f"{region}: {error.why}")
            continue
        except (NotActive, NotHome, NotResident) as error:
            refused.append(f"{region}: {error}")
            continue
        if common.json:
            print_json(settled)
        else:
            unit = f" by unit {settled['unit']} in {settled['region']}" if settled["unit"] else ""
            sys.stdout.write(f"{settled['dot']} {settled['how']}{unit}, decided by {settled['by']}\n")
        return OK
    raise Unavailable("; ".join(refused))


def _print_lost(found: Sequence[Mapping[str, Any]]) -> None:
    aside = [one for one in found if one["fate"] != "merged"]
    print_table(("COMMIT", "AT", "EPOCH", "TABLE", "KEY", "FATE", "SETTLED", "UNIT"), _lost_rows(aside))
    for origin, count in _count_by_origin(one for one in found if one["fate"] == "merged").items():
        note(f"{count} later commits of {origin} wrote `any` rows alone: they merged as usual, nothing of them is lost")


def _lost_rows(aside: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for one in aside:
        settled = f"{one['settled']['how']} by {one['settled']['by']}" if one["settled"] else "-"
        head = (one["dot"], moment(one["at"]), str(one["epoch"]))
        rows = one["rows"] or [{"table": "-", "key": "-", "fate": one["fate"]}]
        yield from ((*head, row["table"], row["key"], row["fate"], settled, one["unit"]) for row in rows)


def _count_by_origin(commits: Iterator[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in commits:
        origin = one["dot"].rpartition(":")[0]
        counts[origin] = counts.get(origin, 0) + 1
    return counts


# Comparing.


@table.command
def diff(app: str, name: str = "", *, between: tuple[str, str] | None = None, common: Who = NOBODY) -> int:
    """Compare the rows that regions hold; exits with 3 where some differ that are not in motion.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of one table only.
        between: two regions; every pair unless given.
        common: which system, and who asks.
    """
    return _compare(app, name, between, common, mend=False)


@table.command
def repair(
    app: str,
    name: str = "",
    *,
    between: tuple[str, str] | None = None,
    dry_run: bool = False,
    common: Who = NOBODY,
) -> int:
    """Compare the rows that regions hold and mend what differs; exits with 3 where some could not be mended.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        name: of one table only.
        between: two regions; every pair unless given.
        dry_run: only show what differs.
        common: which system, and who asks.
    """
    return _compare(app, name, between, common, mend=not dry_run)


def _compare(app: str, name: str, between: tuple[str, str] | None, common: Common, *, mend: bool) -> int:
    system, parts = common.system(app), _parts(app, name)
    for region in between or ():
        system.regions(region)
    pairs = [between] if between else list(combinations(system.regions(""), 2))
    reports = [
        _compared(system, part, pair, mend=mend)
        for pair in pairs
        for part in parts
        if all(may_hold(region, part) for region in pair)
    ]
    found = [one for report in reports for one in report["found"]]
    if common.json:
        print_json({"compared": reports})
    else:
        _print_differences(reports)
    return OK if all(mend and one["mended"] for one in found) else VIOLATED


def _parts(app: str, name: str) -> list[str]:
    """The parts of one table, or of all that regions keep themselves."""
    found_in = declared(app)
    known = [part for part in found_in.kept() if table_of(part) in found_in.tables]
    found = [part for part in known if table_of(part) == name] if name else known
    if not found:
        tables = ", ".join(dict.fromkeys(map(table_of, known)))
        raise UsageError(f"there is no table {name!r} that every region keeps; there are {tables or 'none'}")
    return found


def _compared(system: System, part: str, pair: tuple[str, str], *, mend: bool) -> dict[str, Any]:
    """Compare a part of a table between two regions, the one asking the other, some rows at a time."""
    report: dict[str, Any] = {"between": pair, "table": table_of(part), "rows": 0, "exchanged": 0, "found": []}
    start: str | None = ""
    while start is not None:
        body = {"table": part, "peer": pair[1], "start": start, "mend": mend}
        said = system.ask(pair[0], "POST", "compare", body)
        for figure in ("rows", "exchanged", "found"):
            report[figure] += said[figure]
        start = said["next"]
    return report


def _print_differences(reports: Sequence[Mapping[str, Any]]) -> None:
    for report in reports:
        one, other = report["between"]
        note(f"{report['table']}: {report['rows']:,} rows of {one} beside {other}, {len(report['found'])} differ")
        for found in report["found"]:
            mended = "  mended" if found["mended"] else ""
            sys.stdout.write(f"{found['table']} {found['key']}  {found['what']} in {one}{mended}\n")
            for region, row in ((one, found["ours"]), (other, found["theirs"])):
                text = "(not there)" if row is None else _fields(row, found["differs"])
                sys.stdout.write(f"  {region}  {text}\n")


# Residency.


@table.command
def residency(app: str, *, common: Who = NOBODY) -> int:
    """Prove where rows are held: every region counts what its store has that only some regions may hold.

    Exits with 3 where a region holds what it may not, with 1 where one does not answer or cannot read all that it has.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        common: which system, and who asks.
    """
    system = common.system(app)
    answers = system.ask_all("residency")
    if common.json:
        print_json({"regions": answers})
    else:
        _print_holdings(answers)
        _note_damaged(answers, "what they hold is not counted")
    if any(said["forbidden"] for said in answers.values()):
        return VIOLATED
    uncounted = any(said["damaged"] or said["unreadable"] for said in answers.values())
    told_all = system.heard_all(answers) and not uncounted
    return OK if told_all else FAILED


def _note_damaged(answers: Mapping[str, Any], missing: str) -> None:
    """Say which regions cannot read entries of their journals."""
    for region, said in answers.items():
        if damaged := said["damaged"]:
            note(
                f"{region} cannot read {', '.join(damaged[:NAMED_MAX])} in its journal until a peer mends it; {missing}"
            )


def _print_holdings(answers: Mapping[str, Any]) -> None:
    head = ("REGION", "ONLY IN", "TABLE", "WHAT", "COUNT", "")
    print_table(head, [_holding(region, held, said) for region, said in answers.items() for held in said["held"]])
    for region, said in answers.items():
        if lacking := said["lacking"]:
            named = ", ".join(lacking[:NAMED_MAX])
            note(f"{region} lacks rows of {len(lacking)} commits that nobody within reach has: {named}")
        if unreadable := said["unreadable"]:
            named = ", ".join(unreadable[:NAMED_MAX])
            note(f"{region} cannot read {len(unreadable)} records of finished keys, which are not counted: {named}")


def _holding(region: str, held: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[str, ...]:
    only, table = "+".join(held["regions"]), table_of(held["table"]) or "-"
    return (region, only, table, held["what"], str(held["count"]), "FORBIDDEN" if held in said["forbidden"] else "")


table.command(
    "proa.cli.doubled:duplicates",
    name="duplicates",
    help="Show the keys that two regions finished, each for itself, and who dealt with it.",
)

table.command(
    "proa.cli.streams:streams",
    name="streams",
    help="Show how far each change stream has come with the changes of each origin, and what fails.",
)
table.command(
    "proa.cli.streams:rebuild",
    name="rebuild",
    help="Clear what a change stream made and tell it everything again.",
)


# Leaves.


def moment(at: float, timespec: str = "milliseconds") -> str:
    """A time as people and programs read it, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
