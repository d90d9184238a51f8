"""What people may ask of a region's schedules, under `/_proa/control/schedules`: where they stand, run, pause, resume.

Looking needs any operator's token; whatever changes something needs an operator, is audited, and may be repeated.
"""

from __future__ import annotations

from typing import Any

from proa.control.api import Call, Why
from proa.control.noting import Noting
from proa.errors import NotFound
from proa.runtime.region import Region

DONE = {"run": "schedule to be run now", "pause": "schedule to be paused", "resume": "schedule to be resumed"}
"""What may be done, as the audit log says it."""


class SchedulesApi:
    """Answers the calls about the schedules of one region."""

    def __init__(self, region: Region, note: Noting) -> None:
        self._region = region
        self._note = note

    async def __call__(self, call: Call) -> Any:
        scheduler = self._region.scheduler
        match call.method, call.path[1:]:
            case "GET", ():
                return {"schedules": scheduler.status() if scheduler else []}
            case "POST", (name, what) if what in DONE:
                if scheduler is None:
                    raise NotFound(f"there is no schedule {name!r}; the app declares none")
                scheduler.check(name)
                by, why = call.need("operator").name, call.read(Why).why
                await self._note(by, DONE[what], {"schedule": name, "why": why})
                act = {"run": scheduler.run_now, "pause": scheduler.pause, "resume": scheduler.resume}[what]
                return {"schedule": name, "of": await act(name)}
            case method, path:
                raise NotFound(f"the control API of schedules has no {method} of {'/'.join(path)!r}")
