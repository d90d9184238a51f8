"""What people may ask of a region's effects and sagas, under `/_proa/control/effects` and `/_proa/control/sagas`.

Looking needs any operator's token, because arguments and results are shown; whatever settles, repeats or ends something
needs an operator, and is audited before it is done.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proa.control.api import Call
from proa.control.noting import Noting
from proa.errors import NotFound
from proa.runtime.parked import Parked
from proa.runtime.region import Region
from proa.runtime.sagas.desk import SagasDesk, Status


class Every(msgspec.Struct, frozen=True):
    """Whether those are meant, too, that do not wait for a person."""

    all: bool = False


class Which(msgspec.Struct, frozen=True):
    """An effect by its key."""

    key: str


class Said(msgspec.Struct, frozen=True):
    """What became of an effect: it was `done`, with a result; or it was not. And why that is said."""

    key: str
    done: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    why: str = ""


class Listed(msgspec.Struct, frozen=True):
    """Which sagas are wanted."""

    saga: str = ""
    status: Status = ""
    after: str = ""


class One(msgspec.Struct, frozen=True):
    """A saga, and what is done with it: from which step it goes on, or which signal it is sent; and why."""

    saga: str
    id: str
    step: int | None = None
    signal: str = ""
    value: Any = None
    why: str = ""


class EffectsApi:
    """Answers the calls about the effects of one region."""

    def __init__(self, region: Region, note: Noting) -> None:
        self._parked = Parked(region.app.effects, region.effects) if region.effects else None
        self._note = note

    async def __call__(self, call: Call) -> Any:
        match call.method, call.path[1:]:
            case "GET", ():
                return {"effects": await self._parked.listed(every=call.asked(Every).all) if self._parked else []}
            case "GET", ("one",):
                return await self._known.shown(call.asked(Which).key)
            case "POST", ("resolve",):
                return await self._resolve(call.need("operator").name, call.read(Said))
            case _:
                raise NotFound(f"the control API of effects has no {call.method} of {'/'.join(call.path[1:])!r}")

    @property
    def _known(self) -> Parked:
        if self._parked is None:
            raise NotFound("the app declares no effect")
        return self._parked

    async def _resolve(self, by: str, said: Said) -> Any:
        await self._known.shown(said.key)
        became = "done" if said.done else "not done"
        await self._note(by, "effect to be resolved", {"key": said.key, "became": became, "why": said.why})
        return await self._known.resolve(said.key, by, bytes(said.result) if said.done else None)


class SagasApi:
    """Answers the calls about the sagas of one region."""

    def __init__(self, region: Region, note: Noting) -> None:
        self._desk = SagasDesk(region.sagas, region.app.regions) if region.sagas else None
        self._note = note

    async def __call__(self, call: Call) -> Any:
        match call.method, call.path[1:]:
            case "GET", ():
                asked = call.asked(Listed)
                found = await self._desk.listed(asked.saga, asked.status, asked.after) if self._desk else []
                return {"sagas": found}
            case "GET", ("one",):
                one = call.asked(One)
                return await self._known.shown(one.saga, one.id)
            case "POST", (("retry" | "cancel" | "signal") as act,):
                return await self._act(act, call.need("operator").name, call.read(One))
            case _:
                raise NotFound(f"the control API of sagas has no {call.method} of {'/'.join(call.path[1:])!r}")

    @property
    def _known(self) -> SagasDesk:
        if self._desk is None:
            raise NotFound("the app declares no saga")
        return self._desk

    async def _act(self, act: str, by: str, one: One) -> Any:
        desk = self._known
        await desk.shown(one.saga, one.id)
        await self._note(by, f"saga to {act}", _detail(one))
        match act:
            case "retry":
                return await desk.retry(one.saga, one.id, one.step)
            case "cancel":
                return await desk.cancel(one.saga, one.id)
            case _:
                return await desk.signal(one.saga, one.id, one.signal, one.value)


def _detail(one: One) -> dict[str, str]:
    from_step = {} if one.step is None else {"from": str(one.step)}
    signal = {"signal": one.signal} if one.signal else {}
    return {"saga": one.saga, "id": one.id, **from_step, **signal, "why": one.why}
