"""A client of the simulated system: it sends, loses patience, sends again, and keeps account of what it was told.

What an attempt means follows from its answer alone. A success is `ok`. A typed refusal (4xx) surely changed nothing,
nor did an attempt that reached nobody. A region's mark `proa-not-started` proves the same of the attempt that it
answered; behind the edge a keyed request may be running in a second region at that moment, so there it proves nothing.
Everything else may have happened: `unknown`.

Clients behave as badly as real ones. Some requests skip the edge: as an open connection or a stale route would, they
stay with one region until it gives no success any more, however long the edge has known better. A share of the keyed
ones is repeated on purpose, and one whose fate is unknown is sent again, always under the same Idempotency-Key, so
every attempt must be given the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Literal

import msgspec

from proa.chaos.workload import Request
from proa.runtime.eager import within
from proa.simulation.history import NEVER, Operation

EDGE = "edge"
Outcome = Literal["ok", "failed", "unknown"]
Repeat = Literal["later", "at_once", "elsewhere", "impatient"]
REPEATS: tuple[Repeat, ...] = ("later", "at_once", "elsewhere", "impatient")
"""After the answer; at the same moment; meanwhile straight at another region; after giving up early."""
CERTAINTY: Mapping[Outcome, int] = {"ok": 0, "unknown": 1, "failed": 2}
"""Of several attempts at one thing, the one with the least number tells whether it was done."""


class Reply(msgspec.Struct, frozen=True):
    """An answer as it came over the network. Header names are lower-case.

    `left_at` is the world's true time at which a region gave it away; NEVER where no region did.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    left_at: float = NEVER

    def json(self) -> Any:
        """The body's value; None where there is no body."""
        return msgspec.json.decode(self.body) if self.body else None


Send = Callable[[str, Request], Awaitable[Reply]]
"""Sends a request to `edge` or a region by name. ConnectionRefusedError: nothing was sent; any other OSError: it may
have been. It may also never return."""


class Call(msgspec.Struct, frozen=True):
    """What a workload wants done, in its own words and as a request. `via` is empty where the client may choose.

    `read` makes the operation's result of a successful answer, `refused` that of a typed refusal (4xx).
    """

    workload: str
    action: str
    key: str
    argument: Any
    request: Request
    via: str = ""
    read: Callable[[Reply], Any] = Reply.json
    refused: Callable[[Reply], Any] | None = None


class Habits(msgspec.Struct, frozen=True):
    """How clients behave: shares from 0 to 1, times in seconds.

    `direct_share` of the requests skips the edge, and `patient_share` of those would wait for `patient_s`. Of the keyed
    ones `repeat_share` is repeated on purpose, within `repeat_within_s`; impatient clients give up within
    `impatient_s`. A keyed request of unknown fate is sent again up to `tries_max` times.
    """

    timeout_s: float = 3.0
    direct_share: float = 0.4
    patient_share: float = 0.5
    patient_s: float = 10.0
    repeat_share: float = 0.2
    repeat_within_s: float = 0.2
    impatient_s: float = 0.1
    tries_max: int = 2


HABITS = Habits()


class Client:
    """One client near its `home` region. `now` tells the world's true time; `rng` is a stream of its own."""

    def __init__(
        self,
        name: str,
        home: str,
        send: Send,
        now: Callable[[], float],
        history: list[Operation],
        *,
        regions: Sequence[str],
        rng: Random,
        habits: Habits = HABITS,
    ) -> None:
        self.name = name
        self.regions = tuple(regions)
        self._near = home
        self._answered_last = home
        self._send = send
        self._now = now
        self._history = history
        self._rng = rng
        self._habits = habits
        self._keys = 0

    def new_key(self) -> str:
        """An Idempotency-Key that no other request has."""
        self._keys += 1
        return f"{self.name}-{self._keys}"

    async def ask(self, call: Call) -> Operation:
        """Carry a call out; of its attempts the one that tells most about whether it was done."""
        via = call.via or self._way()
        if not call.request.key:
            return await self._attempt(call, via)
        attempts = await self._attempts(call, via)
        tries = 0
        while (best := _best(attempts)).outcome == "unknown" and tries < self._habits.tries_max:
            tries += 1
            await self._pause()
            attempts.append(await self._attempt(call, EDGE))
        return best

    def _way(self) -> str:
        return self._near if self._rng.random() < self._habits.direct_share else EDGE

    async def _attempts(self, call: Call, via: str) -> list[Operation]:
        """The first attempt, and mostly nothing else."""
        if self._rng.random() >= self._habits.repeat_share:
            return [await self._attempt(call, via)]
        match self._rng.choice(REPEATS):
            case "later":
                return [await self._attempt(call, via), await self._repeat(call, EDGE)]
            case "at_once":
                return await _both(self._attempt(call, via), self._attempt(call, EDGE))
            case "elsewhere":
                return await _both(self._attempt(call, via), self._repeat(call, self._rng.choice(self.regions)))
            case "impatient":
                patience_s = self._rng.random() * self._habits.impatient_s
                return [await self._attempt(call, via, patience_s), await self._attempt(call, EDGE)]

    async def _repeat(self, call: Call, via: str) -> Operation:
        await self._pause()
        return await self._attempt(call, via)

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.random() * self._habits.repeat_within_s)

    async def _attempt(self, call: Call, via: str, patience_s: float | None = None) -> Operation:
        """One attempt. Also one that is cancelled is accounted for: what it did may show."""
        began = self._now()
        outcome: Outcome = "unknown"
        reply: Reply | None = None
        limit_s = patience_s or self._patience_s(via)
        try:
            reply = await within(lambda: limit_s, self._sent(via, call.request))
            outcome = judged(reply, exact=via != EDGE or not call.request.key)
        except ConnectionRefusedError:
            outcome = "failed"
        except OSError:  # the time ran out, or the connection was lost
            pass
        finally:
            operation = self._record(call, began, outcome, reply)
            self._hold_on(via, operation)
        return operation

    def _patience_s(self, via: str) -> float:
        patient = via != EDGE and self._rng.random() < self._habits.patient_share
        return self._habits.patient_s if patient else self._habits.timeout_s

    async def _sent(self, via: str, request: Request) -> Reply:
        return await self._send(via, request)

    def _record(self, call: Call, began: float, outcome: Outcome, reply: Reply | None) -> Operation:
        headers: Mapping[str, str] = reply.headers if reply else {}
        home, door = headers.get("proa-home", ""), headers.get("proa-region", "")
        operation = Operation(
            number=len(self._history),
            client=self.name,
            workload=call.workload,
            action=call.action,
            key=call.key,
            argument=call.argument,
            outcome=outcome,
            result=_result(call, reply, outcome),
            began=began,
            ended=NEVER if outcome == "unknown" else self._now(),
            region=home or door,
            epoch=int(headers.get("proa-epoch", 0)),
            idempotency_key=call.request.key,
            answered=reply.left_at if reply and home in ("", door) else NEVER,
            at_home=bool(home),
        )
        self._history.append(operation)
        return operation

    def _hold_on(self, via: str, operation: Operation) -> None:
        """Leave the region that was reached past the edge only when it fails, for the one that answered last."""
        if operation.outcome == "ok":
            self._answered_last = operation.region or self._answered_last
        elif via == self._near:
            self._near = self._answered_last


def judged(reply: Reply, *, exact: bool) -> Outcome:
    """What an answer proves. `exact`: no other attempt at the same request may be running behind it."""
    if 200 <= reply.status < 300:
        return "ok"
    if 400 <= reply.status < 500:
        return "failed"
    return "failed" if exact and reply.headers.get("proa-not-started") == "true" else "unknown"


def _result(call: Call, reply: Reply | None, outcome: Outcome) -> Any:
    if reply is None:
        return None
    if outcome == "ok":
        return call.read(reply)
    return call.refused(reply) if call.refused and 400 <= reply.status < 500 else None


def _best(attempts: Sequence[Operation]) -> Operation:
    """What is known after all of them: done, perhaps done, surely not done."""
    return min(attempts, key=lambda attempt: CERTAINTY[attempt.outcome])


async def _both(first: Coroutine[Any, Any, Operation], second: Coroutine[Any, Any, Operation]) -> list[Operation]:
    return list(await asyncio.gather(first, second))
