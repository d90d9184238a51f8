"""The two operators of a drill: one asks, the other approves, both through the control API like anybody else.

They know what a person would know: what a region that still answers shows them. An approver looks at the plan as it
is shown, takes some time, and approves just that; if the gate says that writes may be lost, the number shown is what is
accepted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from proa.chaos.progress import ApprovalGiven, FailBackRequested, Progress
from proa.chaos.system import System
from proa.chaos.wire import Answer, HttpClient
from proa.chaos.workload import Request
from proa.core.plan import Finding, Loss
from proa.core.replicate.journal import Commit
from proa.errors import ProaError, of_code

CONTROL = "/_proa/control"
TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.1
RETRY_S = 0.2


class Person(msgspec.Struct, frozen=True):
    """An operator and the token that proves it."""

    name: str
    token: str


class ShownPlan(msgspec.Struct, frozen=True):
    """A plan as the control API shows it."""

    id: str
    kind: str
    step: str
    digest: str
    awaiting: str | None = None
    findings: list[Finding] = []
    loss: Loss = Loss()


class Shown(msgspec.Struct, frozen=True):
    """What a person sees first."""

    plan: ShownPlan | None = None


class Parked(msgspec.Struct, frozen=True):
    """A commit that came too late, as the lost-write list shows it."""

    commit: Commit


class Problem(msgspec.Struct, frozen=True):
    """What matters here of a problem+json answer."""

    code: str = ""
    detail: str = ""


class People:
    """A requester and an approver of one system."""

    def __init__(self, system: System, requester: Person, approver: Person, tell: Progress) -> None:
        self._system = system
        self._requester = requester
        self._approver = approver
        self._tell = tell

    async def approve(self, region: str, after_s: float, within_s: float) -> float:
        """Wait at `region` for a plan that wants approval, take `after_s`, and approve it; when that was (wall clock).

        Raises:
            TimeoutError: no plan could be approved in time.
        """
        async with asyncio.timeout(within_s):
            await self._awaiting(region)
            await asyncio.sleep(after_s)
            while True:
                plan = await self._awaiting(region)
                accept = accepted_loss(plan)
                at = time.time()
                try:
                    await self._act(self._approver, region, f"/plans/{plan.id}/approve", digest=plan.digest, **accept)
                except ProaError:
                    await asyncio.sleep(RETRY_S)  # the plan changed, or the gate found something new: look again
                    continue
                self._tell(ApprovalGiven(plan.id, plan.kind, self._approver.name, accept.get("accept_lost")))
                return at

    async def fail_back(self, region: str, within_s: float) -> str:
        """Ask at `region` to go back to the preferred region, as soon as that is allowed; the plan's id.

        Raises:
            TimeoutError: it was not allowed in time; the reason given last is its message.
        """
        reason = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        made = await self._act(self._requester, region, "/failback", reason="the region is back")
                    except ProaError as error:
                        reason = error.detail
                        await asyncio.sleep(RETRY_S)
                        continue
                    plan: str = made["id"]
                    self._tell(FailBackRequested(plan, self._requester.name))
                    return plan
        except TimeoutError:
            raise TimeoutError(f"the fail-back was not allowed: {reason}") from None

    async def lost_writes(self, region: str) -> frozenset[str]:
        """The Idempotency-Keys in a region's own lost-write list."""
        listed = msgspec.convert(await self._call(self._requester, region, "GET", "/lost"), list[Parked])
        return frozenset(parked.commit.outcome.key for parked in listed if parked.commit.outcome)

    async def _awaiting(self, region: str) -> ShownPlan:
        while True:
            try:
                shown = msgspec.convert(await self._call(self._approver, region, "GET", "/status"), Shown)
            except ProaError:
                shown = Shown()  # nobody answers there right now; a person would try again
            if shown.plan and shown.plan.awaiting == "approval":
                return shown.plan
            await asyncio.sleep(LOOK_EVERY_S)

    async def _act(self, who: Person, region: str, path: str, **body: Any) -> Any:
        return await self._call(who, region, "POST", path, msgspec.json.encode(body))

    async def _call(self, who: Person, region: str, method: str, path: str, body: bytes = b"") -> Any:
        client = HttpClient(self._system.region_url(region))
        request = Request(method, CONTROL + path, body, headers=(("authorization", f"Bearer {who.token}"),))
        try:
            answer = await client.send(request, TIMEOUT_S)
        finally:
            client.close()
        if not answer.ok:
            raise error_of(answer)
        return msgspec.json.decode(answer.body)


async def hire(system: System, tell: Progress) -> People:
    """Two new operators of a system."""
    mark = secrets.token_hex(3)  # a state directory may know the people of an earlier drill
    names = (f"drill-requester-{mark}", "operator"), (f"drill-approver-{mark}", "approver")
    requester, approver = [Person(name, await system.operator(name, role)) for name, role in names]
    return People(system, requester, approver, tell)


def accepted_loss(plan: ShownPlan) -> dict[str, int]:
    """What an approver accepts with this plan: the loss shown, where the gate does not pass without it."""
    refused = any(finding.name == "loss" and not finding.ok for finding in plan.findings)
    return {"accept_lost": plan.loss.known} if refused else {}


def error_of(answer: Answer) -> ProaError:
    """The error that an answer carries."""
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except ValueError:
        problem = Problem(detail=answer.error or f"HTTP {answer.status}")
    return of_code(problem.code, problem.detail)


def somebody(regions: Sequence[str], lost: str) -> str:
    """A region where people look when `lost` does not answer."""
    return next(region for region in regions if region != lost)
