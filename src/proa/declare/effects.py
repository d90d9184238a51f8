"""Effects: functions that change the world outside of Proa, called at most once by a unit however often it runs.

`@app.effect` declares one. A unit that calls it first makes a claim durable, then calls, then records what came of it;
a unit that runs again (a lost race, a retried key, a message handed out again) is given what is recorded. Where an
attempt ended between claim and result nobody knows whether the call was made: an effect that is declared `idempotent`
is called again under the same key, any other waits for a person.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NewType, ParamSpec, TypedDict, TypeVar, cast, get_type_hints

import msgspec

from proa.declare.bodies import verify_name
from proa.declare.codec import RowCodec, to_json
from proa.declare.context import current_unit
from proa.errors import DeclarationError, EffectTooLarge

if TYPE_CHECKING:
    from proa.declare.handlers import Acknowledge

P = ParamSpec("P")
R = TypeVar("R")
CLAIM_S = 60.0
ARGUMENTS_BYTES_MAX = 64_000
RESULT_BYTES_MAX = 256_000


EffectKey = NewType("EffectKey", str)
"""The idempotency key of one call of an effect, for the other side: visible ASCII, the same in every attempt.

An effect that declares a parameter of this type is given it: `key: EffectKey = effect_key`.
"""
effect_key = EffectKey("")
"""The default of such a parameter, so that callers need not name it."""


class EffectOptions(TypedDict, total=False):
    """How an effect is called.

    `idempotent`: the other side knows a repeat by its key, so that a call of unknown outcome is made again; without it
    such a call waits for a person. `claim_s` (60) is for how long an attempt in another region is taken to be at work.
    `not_done` are exceptions that prove that nothing was done (ConnectionRefusedError, besides `NotDone`).
    `acknowledge="peer"` calls only once a second region has the claim of a regional unit.
    """

    name: str
    idempotent: bool
    claim_s: float
    not_done: tuple[type[BaseException], ...]
    acknowledge: Acknowledge


class Effect(Generic[P, R]):
    """A declared effect. `function` is the author's own, for tests that call it without a claim."""

    def __init__(self, function: Callable[P, Awaitable[R]], options: EffectOptions) -> None:
        self.function = function
        self.name = options.get("name") or getattr(function, "__name__", "")
        self.idempotent = options.get("idempotent", False)
        self.claim_s = options.get("claim_s", CLAIM_S)
        self.not_done = options.get("not_done", (ConnectionRefusedError,))
        self.acknowledge: Acknowledge = options.get("acknowledge", "region")
        verify_name("effect", self.name)
        if not inspect.iscoroutinefunction(function):
            raise DeclarationError(f"effect {self.name}: it is an `async def`")
        if self.claim_s <= 0:
            raise DeclarationError(f"effect {self.name}: claim_s must be positive, got {self.claim_s:g}")
        hints = get_type_hints(function)
        self.key_parameter = next((name for name, hint in hints.items() if hint is EffectKey), "")
        self.kind = cast("type[R]", hints.get("return", Any))
        self._codec: RowCodec[R] = RowCodec(self.kind)
        self._signature = inspect.signature(function)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it as part of the present unit.

        Raises:
            EffectUnknown: an attempt may have called it and nobody knows how that ended; a person has to say.
            EffectInFlight: another attempt at the same unit is calling it.
            EffectChanged: an attempt at the same unit called it with other arguments.
            EffectTooLarge: the arguments are larger than a claim may be; nothing was called.
        """
        unit = current_unit()
        given = self._signature.bind_partial(*args, **kwargs).arguments
        given.pop(self.key_parameter, None)
        shown = self.shown(given)

        async def call(key: str) -> bytes:
            own = {self.key_parameter: EffectKey(key)} if self.key_parameter else {}
            return self.encode(await self.function(*args, **{**kwargs, **own}))  # pyright: ignore[reportCallIssue]

        return self.decode(await unit.effect(self, shown, call))

    def shown(self, given: Mapping[str, Any]) -> bytes:
        """Arguments as JSON, by name.

        Raises:
            EffectTooLarge: they are larger than a claim may be.
        """
        data = to_json({name: msgspec.Raw(to_json(value)) for name, value in given.items()})
        if len(data) > ARGUMENTS_BYTES_MAX:
            raise EffectTooLarge(
                f"the arguments of {self.name} have {len(data):,} bytes; at most {ARGUMENTS_BYTES_MAX:,} fit. "
                "Keep what is large in a table, and pass its key"
            )
        return data

    def encode(self, result: R) -> bytes:
        """A result as stores keep it."""
        return self._codec.encode(result)

    def decode(self, data: bytes) -> R:
        """The result that stores keep as these bytes."""
        return self._codec.decode(data)
