"""What people may ask of a region's queues, under `/_proa/control/queues`: figures, pausing, and dead letters.

Looking needs any operator's token, because messages are shown; whatever changes something needs an operator, is
audited, and may be repeated. A region changes only letters for whose home it acts, so a command asks all regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Annotated, Any

import msgspec

from proa.control.api import Call, Why
from proa.control.noting import Noting
from proa.errors import NotFound, Unprocessable
from proa.runtime.messages.dead import DeadLetters, Wanted
from proa.runtime.messages.dispatcher import Dispatcher
from proa.runtime.messages.figures import figures
from proa.runtime.region import Region


class Meant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters are meant, as `Wanted` has it; `start` is where an earlier page ended.

    `to` is the region they are sent to (their own unless given), `rate` how many a second at most; of a `dry` run only
    their number is told: the part that was looked at, and where to go on with the `next` one. `job` is a name that who
    asks gives to what is begun, so that asking again begins nothing more, and it is known though the answer was lost.
    """

    error: str = ""
    code: str = ""
    since: float = 0.0
    until: float = inf
    fields: Mapping[str, str] = {}
    message: str = ""
    region: str = ""
    limit: int = 100
    start: str = ""
    to: str = ""
    rate: float = inf
    dry: bool = False
    job: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: str = ""

    def wanted(self, queue: str) -> Wanted:
        """The same, of a queue."""
        return Wanted(queue, self.error, self.code, self.since, self.until, self.fields, self.message, self.region)


class Edited(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that a letter is to have, and why."""

    body: msgspec.Raw
    why: str = ""


class QueuesApi:
    """Answers the calls about the queues of one region."""

    def __init__(self, region: Region, note: Noting) -> None:
        self._region = region
        self._note = note

    async def __call__(self, call: Call) -> Any:
        match call.method, call.path[1:]:
            case "GET", ():
                return {"queues": self._figures()}
            case "POST", (queue, "pause" | "resume" as what):
                return await self._pause(call, queue, what)
            case _, (queue, "dead", *path):
                return await self._of_dead(call, queue, tuple(path))
            case method, path:
                raise NotFound(f"the control API of queues has no {method} of {'/'.join(path)!r}")

    async def _of_dead(self, call: Call, queue: str, path: tuple[str, ...]) -> Any:
        dead = self._messages(queue).dead
        match call.method, path:
            case "POST", ("redrive" | "purge" as what,):
                return await self._begin(call, queue, what)
            case "GET", ("jobs",):
                return {"jobs": [job for job in dead.jobs() if job.queue == queue]}
            case "POST", ("cancel", job):
                call.need("operator")
                return dead.cancel(queue, job)
            case "GET" | "PUT", (message,):
                return await (dead.one(queue, message) if call.method == "GET" else self._edit(call, queue, message))
            case "POST", ():
                meant = call.read(Meant)
                return await dead.page(meant.wanted(queue), limit=meant.limit, start=meant.start)
            case method, _:
                raise NotFound(f"the control API of dead letters has no {method} of {'/'.join(path)!r}")

    def _figures(self) -> list[Any]:
        messages = self._region.messages
        return figures(messages.intakes.values(), self._region.clock) if messages else []

    async def _pause(self, call: Call, queue: str, what: str) -> dict[str, str]:
        by, why = call.need("operator").name, call.read(Why).why
        messages = self._messages(queue)
        await self._note(by, f"queue to be {what}d", {"queue": queue, "why": why})
        await messages.pause(queue, (why or f"paused by {by}") if what == "pause" else "", by)
        return {"queue": queue, "state": f"{what}d"}

    async def _begin(self, call: Call, queue: str, what: str) -> Any:
        meant, dead = call.read(Meant), self._dead(queue)
        if meant.to and meant.to not in self._region.app.regions:
            raise Unprocessable(f"there is no region {meant.to!r}")
        if meant.dry:
            return await dead.count(meant.wanted(queue), mine=True, start=meant.start)
        by = call.need("operator").name
        detail = {name: str(value) for name, value in msgspec.to_builtins(meant).items() if value}
        await self._note(by, f"dead letters to {what}", {"queue": queue, **detail})
        if what == "purge":
            return dead.purge(meant.wanted(queue), rate=meant.rate, job=meant.job)
        return dead.redrive(meant.wanted(queue), to=meant.to, rate=meant.rate, job=meant.job)

    async def _edit(self, call: Call, queue: str, message: str) -> Any:
        by, edited = call.need("operator").name, call.read(Edited)
        dead = self._dead(queue)
        await dead.one(queue, message)
        await self._note(by, "dead letter to be edited", {"queue": queue, "message": message, "why": edited.why})
        return await dead.edit(queue, message, bytes(edited.body))

    def _dead(self, queue: str) -> DeadLetters:
        return self._messages(queue).dead

    def _messages(self, queue: str) -> Dispatcher:
        """The region's queues, of which one is called so."""
        messages = self._region.messages
        if messages is None:
            raise NotFound(f"there is no queue {queue!r}; the app declares none")
        messages.dead.queue(queue)
        return messages
