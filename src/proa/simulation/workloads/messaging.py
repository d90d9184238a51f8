"""The apps on which messages are judged: what is sent is delivered once, wherever its region goes meanwhile.

A letter is sent by a unit that also notes that it was, so the two show whether they were one commit: regional ones
under `/any`, those that leave the global store under `/strong`, those of groups, which keep their order, under
`/grouped`. Each delivery is a row under the unit that made it, so that a second one shows. Some letters fail at first,
some always.
Simulate them as `proa.simulation.workloads.messaging:active_active` and `...:active_passive`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from proa.app import App
from proa.core.policy.retry import Retry
from proa.declare.context import Context
from proa.declare.objectives import Objectives
from proa.declare.queues import Message
from proa.simulation.workloads.standard import LEASE_S, REGIONS, TIMEOUT_S

Kind = Literal["any", "strong", "grouped"]
KINDS: tuple[Kind, ...] = ("any", "strong", "grouped")
ATTEMPTS = 4
HOPELESS = 9
"""A letter that fails so often never arrives."""
GROUPS = ("a", "b", "c")
RETRY = Retry(attempts=ATTEMPTS, base_s=0.2, cap_s=1.0)


class Letter(msgspec.Struct, frozen=True):
    """`fails` is how many attempts at it fail."""

    fails: int = 0


class Posting(msgspec.Struct, frozen=True):
    """What a client asks for."""

    fails: int = 0
    group: str = ""


class Sent(msgspec.Struct, frozen=True):
    """Says that a message was sent, under its id, by a unit with this key."""

    id: str
    key: str
    fails: int


class Delivery(msgspec.Struct, frozen=True):
    """Says that a message took effect, under the unit that let it. `place` counts those of its group and home."""

    id: str
    message: str
    group: str = ""
    home: str = ""
    place: int = 0


class Count(msgspec.Struct, frozen=True):
    """How many letters were delivered: letters of one home collide over it."""

    id: str
    value: int


def active_active_app() -> App:
    """Three active regions: each delivers its own letters, and those of a lost one are divided among the others."""
    app = App("messages-active-active", regions=REGIONS, lease_s=LEASE_S, objectives=Objectives(rto_s=2, rpo_s=2))
    _letters(app)
    return app


def active_passive_app() -> App:
    """One active region delivers everything; its successor goes on."""
    app = App(
        "messages-active-passive",
        regions=REGIONS,
        topology="active-passive",
        failover="automatic",
        lease_s=LEASE_S,
        objectives=Objectives(rto_s=10, rpo_s=2),
    )
    _letters(app)
    return app


def _letters(app: App) -> None:
    _kind(app, "any")
    _kind(app, "strong")
    _kind(app, "grouped")


def _kind(app: App, kind: Kind) -> None:
    sent = app.table(f"{kind}_sent", Sent, key="id", mode="strong" if kind == "strong" else "any")
    deliveries = app.table(f"{kind}_deliveries", Delivery, key="id", mode="any")
    counts = app.table(f"{kind}_counts", Count, key="id", mode="any")
    queue = app.queue(f"{kind}_letters", Letter, retry=RETRY, groups=kind == "grouped")

    @app.post(f"/{kind}/letters", idempotent=True, timeout_s=TIMEOUT_S)
    async def send(body: Posting, ctx: Context) -> Sent:
        message = await queue.send(Letter(body.fails), group=body.group or None)
        note = Sent(message, ctx.idempotency_key or "", body.fails)
        await sent.put(note)
        return note

    @queue.consumer(concurrency=2)
    async def deliver(message: Message[Letter], ctx: Context) -> None:
        name = f"{message.region}/{message.group}"
        count = (await counts.get(name, Count(name, 0))).value + 1
        await counts.put(Count(name, count))
        await deliveries.put(Delivery(ctx.unit, message.id, message.group, message.region, count))
        if message.attempt <= message.body.fails:
            raise RuntimeError(f"attempt {message.attempt} fails")


active_active = active_active_app()
active_passive = active_passive_app()
