"""`proa failover ...`: people ask for, approve, abort and watch fail-overs and fail-backs.

Looking needs the right to read the system's `cluster.json`; acting needs an operator's token and goes over HTTP to
any region that answers, so that it is the same as from anywhere else.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App as Cli
from cyclopts import Parameter

from proa.cli.output import APPROVAL_MISSING, FAILED, OK, note, print_json, print_table
from proa.cli.status import assignment_of, describe
from proa.cli.systems import look
from proa.operate.reach import control, find, token_of
from proa.runtime.config import ClusterConfig

WATCH_EVERY_S = 0.25

failover = Cli(name="failover", result_action="return_value", help_format="plaintext")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Which system, who asks, and how to answer."""

    state_dir: Path | None = None
    """The system's state directory; the one that runs below `.proa` unless given."""
    token: str | None = None
    """The operator's token, `NAME.SECRET`; better given as PROA_TOKEN than as a flag."""
    json: bool = False
    """Print JSON."""

    def ask(self, method: str, path: str, body: Any) -> tuple[ClusterConfig, dict[str, Any]]:
        """Ask the control API as this operator."""
        token, config = token_of(self.token), find(self.state_dir)
        return config, control(config, method, path, body, token)


_COMMON = Common()
Who = Annotated[Common, Parameter(name="*")]


@failover.command
def status(*, common: Who = _COMMON) -> int:
    """Show the roles, the latest plan, its gate and its timeline."""
    shown = msgspec.to_builtins(asyncio.run(look(find(common.state_dir))))
    if common.json:
        print_json(shown)
        return OK
    assignment = assignment_of(shown)
    epoch = f"epoch {assignment.epoch}" if assignment else "no roles yet"
    sys.stdout.write(f"{epoch}, fail-over by {shown['failover']}, preferred {shown['preferred']}\n\n")
    roles = assignment.roles if assignment else {}
    rows = [(name, role, shown["verdicts"].get(name, "-")) for name, role in roles.items()]
    print_table(("REGION", "ROLE", "VERDICT"), rows)
    if shown["plan"]:
        sys.stdout.write("\n")
        _print_plan(shown["plan"])
    return OK


@failover.command
def request(
    lost: str = "",
    *,
    target: str = "",
    reason: str = "",
    accept_lost: int | None = None,
    wait_s: float = 0.0,
    common: Who = _COMMON,
) -> int:
    """Ask for a fail-over: the region gives up its role. A second person must approve it.

    Args:
        lost: the region to take out; the active one unless given (active-passive).
        target: the region to take over; the fittest standby unless given.
        reason: why, for the audit log.
        accept_lost: accept the loss of that many writes.
        wait_s: wait so long for the plan's end; exits with 4 where nobody approved it by then.
        common: which system, and who asks.
    """
    body = {"lost": lost, "target": target, "reason": reason, "accept_lost": accept_lost}
    return _followed(*common.ask("POST", "/plans", body), wait_s, common)


@failover.command
def failback(
    *,
    target: str = "",
    reason: str = "",
    accept_lost: int | None = None,
    wait_s: float = 0.0,
    common: Who = _COMMON,
) -> int:
    """Ask to give the active role back to the preferred region. A second person must approve it.

    Args:
        target: another region than the preferred one.
        reason: why, for the audit log.
        accept_lost: accept the loss of that many writes.
        wait_s: wait so long for the plan's end; exits with 4 where nobody approved it by then.
        common: which system, and who asks.
    """
    body = {"target": target, "reason": reason, "accept_lost": accept_lost}
    return _followed(*common.ask("POST", "/failback", body), wait_s, common)


@failover.command
def approve(
    plan: str,
    *,
    digest: str = "",
    accept_lost: int | None = None,
    wait_s: float = 0.0,
    common: Who = _COMMON,
) -> int:
    """Approve a plan that somebody else asked for.

    Args:
        plan: the plan's id, as `proa failover status` shows it.
        digest: the digest that was shown; a plan that is another one by now is not approved.
        accept_lost: accept the loss of that many writes.
        wait_s: wait so long for the plan's end.
        common: which system, and who approves.
    """
    body = {"digest": digest, "accept_lost": accept_lost}
    return _followed(*common.ask("POST", f"/plans/{plan}/approve", body), wait_s, common)


@failover.command
def abort(plan: str, *, reason: str = "", common: Who = _COMMON) -> int:
    """Call a plan off, as long as nobody was promoted.

    Args:
        plan: the plan's id.
        reason: why, for the audit log.
        common: which system, and who asks.
    """
    return _followed(*common.ask("POST", f"/plans/{plan}/abort", {"reason": reason}), 0.0, common)


def _followed(config: ClusterConfig, plan: dict[str, Any], wait_s: float, common: Common) -> int:
    """Watch the plan as long as the caller wants to; print it."""
    deadline = time.monotonic() + wait_s
    step = ""
    while plan["open"] and time.monotonic() < deadline:
        if plan["step"] != step:
            step = plan["step"]
            note(f"plan {plan['id']}: {step}")
        time.sleep(WATCH_EVERY_S)
        plan = msgspec.to_builtins(asyncio.run(look(config)))["plan"]
    if common.json:
        print_json(plan)
    else:
        _print_plan(plan)
    return _code(plan, waited=wait_s > 0)


def _code(plan: dict[str, Any], *, waited: bool) -> int:
    if plan["step"] == "failed" or (waited and plan["step"] == "aborted"):
        return FAILED
    return APPROVAL_MISSING if waited and plan["awaiting"] else OK


def _print_plan(plan: dict[str, Any]) -> None:
    by = f"requested by {plan['requested_by']}" + (f", {plan['reason']}" if plan["reason"] else "")
    sys.stdout.write(f"plan {plan['id']}: {describe(plan)}: {plan['step']} ({by})\n")
    if plan["awaiting"]:
        sys.stdout.write(f"waits for approval: proa failover approve {plan['id']} --digest {plan['digest']}\n")
    findings = [("ok" if found["ok"] else "NO", found["name"], found["detail"]) for found in plan["findings"]]
    if findings:
        sys.stdout.write("\n")
        print_table(("", "GATE", "FINDING"), findings)
    if plan["timeline"]:
        begin = plan["timeline"][0]["at_s"]
        sys.stdout.write("\n")
        phases = [(p["phase"], f"{p['at_s'] - begin:.3f}", f"{p['took_s']:.3f}") for p in plan["timeline"]]
        print_table(("PHASE", "AT S", "TOOK S"), phases)
