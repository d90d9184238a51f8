"""What people may ask of a region's events, under `/_proa/control/replays`: to send them once more, a page at a time.

Looking needs any operator's token; a replay needs an operator, and is audited when it begins.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from proa.control.api import Call
from proa.control.noting import Noting
from proa.errors import NotFound
from proa.runtime.event_log import Wanted
from proa.runtime.region import Region


class ReplaysApi:
    """Replays the events that a region knows."""

    def __init__(self, region: Region, note: Noting) -> None:
        self._region = region
        self._note = note

    async def __call__(self, call: Call) -> Any:
        events = self._region.events
        match call.method, call.path[1:]:
            case "POST", () if events:
                by, wanted = call.need("operator").name, call.read(Wanted)
                if not wanted.dry_run and not await events.begun(wanted):
                    await self._note(by, "events to be replayed", _detail(wanted))
                return await events.replay(wanted)
            case method, path:
                raise NotFound(
                    f"the control API of replays has no {method} of {'/'.join(path)!r}, or the app no events"
                )


def _detail(wanted: Wanted) -> dict[str, str]:
    since, until = (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for at in (wanted.since, wanted.until)
    )
    return {"event": wanted.event, "to": wanted.to, "since": since, "until": until, "replay": wanted.replay}
