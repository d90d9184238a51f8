"""`proa insync ...`: who confirms each region's commits, and releasing a region from members that are gone for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cyclopts import App as Cli

from proa.cli.failover import Common, Who
from proa.cli.output import OK, note, print_json, print_table

insync = Cli(name="insync", result_action="return_value", help_format="plaintext")
_COMMON = Common()


@insync.command
def status(*, common: Who = _COMMON) -> int:
    """Show the set of each region, and which members are gone: their disk was lost, or put back.

    Args:
        common: which system, and who asks.
    """
    sets = common.ask("GET", "/insync", None)[1]["sets"]
    if common.json:
        print_json({"sets": sets})
    else:
        print_table(("REGION", "SET OF", "LIFE", "MEMBERS", "GONE", "RELEASE ASKED BY"), [_line(one) for one in sets])
    return OK


@insync.command
def release(region: str, *, accept_loss: bool = False, why: str = "", common: Who = _COMMON) -> int:
    """Ask that a region go on without what members of its earlier life had. A second person must approve it.

    Args:
        region: the region that refuses units because nobody can say what those members had.
        accept_loss: accept that what only they had is lost.
        why: the reason, for the audit log.
        common: which system, and who asks.
    """
    body = {"accept_loss": accept_loss, "why": why}
    return _told(common.ask("POST", f"/insync/{region}/release", body)[1], common, f"proa insync approve {region}")


@insync.command
def approve(region: str, *, common: Who = _COMMON) -> int:
    """Approve what somebody else asked for.

    Args:
        region: the region whose set is released.
        common: which system, and who approves.
    """
    return _told(common.ask("POST", f"/insync/{region}/approve", None)[1], common, "")


def _told(one: Mapping[str, Any], common: Common, following: str) -> int:
    if common.json:
        print_json(one)
    else:
        print_table(("REGION", "SET OF", "LIFE", "MEMBERS", "GONE", "RELEASE ASKED BY"), [_line(one)])
    if following:
        note(f"a second person must approve it: {following}")
    return OK


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    lists = (", ".join(one["members"]) or "-", ", ".join(one["gone"]) or "-")
    return (one["region"], one["origin"], one["life"], *lists, one["asked_by"] or "-")
