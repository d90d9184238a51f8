"""One invocation from admission to answer: the driver of units of work.

Look the key up, run the handler, commit in one store, answer after the commit is durable. A lost race runs the handler
again with fresh reads; a typed 4xx is recorded like a result; an exception, a 5xx or a request that does not fit the
route is not. That a key is finished is decided by the commit. The look-up before it only spares the handler: a regional
unit makes it where the key was seen lately, a global one not at all (it would be a round trip); when the handler fails
the key is looked up before the failure is answered.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from proa.app import App
from proa.core.dedupe import Outcome, decide, fingerprint, key_in, owned, valid_key
from proa.core.home import Place
from proa.core.trace import own_trace
from proa.declare.context import CURRENT, Calling
from proa.declare.handlers import Route
from proa.declare.http import Answer, Request
from proa.errors import (
    AnswerWithheld,
    BadRequest,
    Contended,
    DeadlineExceeded,
    HandlerFailed,
    HttpError,
    KeyInUse,
    KeyReused,
    MissingIdempotencyKey,
    NotActive,
    NotHome,
    NotResident,
    OutcomeUnknown,
    ProaError,
    ResponseTooLarge,
    Unavailable,
    of_code,
)
from proa.ports import (
    Batch,
    Clock,
    Committed,
    Conflict,
    Entropy,
    Fenced,
    Found,
    GlobalStore,
    RegionStore,
    Telemetry,
)
from proa.runtime.answers import answer_of, marked, problem, replay
from proa.runtime.authority import Authority
from proa.runtime.eager import within
from proa.runtime.events import HandlerRaised, UnitConfirmed, UnitFinished
from proa.runtime.global_commits import GlobalCommits
from proa.runtime.unit import STORES, Elsewhere, Frame, Outbound, Purging, Store, Unit

if TYPE_CHECKING:
    from proa.runtime.effects import Effects
    from proa.runtime.levels import Levels
    from proa.runtime.sagas.engine import Sagas
    from proa.runtime.secrets import Keeper
    from proa.runtime.session import Session

ATTEMPTS_MAX = 8
BACKOFF_S = 0.002
FALLBACK_SHARE = 0.2
"""How much of a request's time is kept for the route's degraded handler."""
ROLE_WAIT_S = 1.5
ROLE_WAIT_SHARE = 0.4
"""How much of a request's time may pass waiting for roles that are changing hands, in each of two regions."""
EPOCH_HEADER = "proa-epoch"
HOME_HEADER = "proa-home"
SESSION_HEADER = "proa-session"


class Invocation(msgspec.Struct):
    """One request on its way: what stays the same over all attempts.

    Whoever waits for it brings `finished`, and finds its `outcome` if it committed one, in the homes of `places`.
    `passed_on`: another region sent it here because this one acts as home of a row that it writes. `by_peer`: a second
    region confirms what its answer rests on.
    """

    route: Route
    request: Request
    path: Mapping[str, str]
    unit: str
    trace: str
    deadline: float
    key: str | None = None
    owner: str = ""
    digest: bytes = b""
    attempts: int = 0
    replayed: bool = False
    finished: asyncio.Event | None = None
    outcome: Outcome | None = None
    session: Session | None = None
    places: tuple[Place, ...] = ()
    passed_on: bool = False
    by_peer: bool = False


Resolve = Callable[[Invocation, Place], Awaitable[Answer | None]]
"""Has the acting home of a place answer a request; None where that is this region by now, which then runs it."""


async def nobody_else(_call: Invocation, _place: Place) -> Answer | None:
    """For a region without others."""
    raise NotHome("there is no other region to act as home of the row")


class Confirming(Protocol):
    """Waits until a second region has what an answer rests on; says how long it took. See `runtime.confirm`."""

    def require(self, holders: tuple[str, ...] = ()) -> None: ...
    async def committed(self, commit: Committed, epoch: int, left_s: float, holders: tuple[str, ...] = ()) -> float: ...
    async def standing(self, left_s: float, holders: tuple[str, ...] = ()) -> float: ...


class Invoker:
    """Runs the routes of an app in one region."""

    def __init__(
        self,
        app: App,
        region: str,
        stores: tuple[RegionStore, GlobalStore],
        authority: Authority,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        levels: Levels,
    ) -> None:
        self._app = app
        self._region = region
        self._stores = stores
        self._regional, self._global = stores
        self.globally = GlobalCommits(region, self._global, authority)
        self._authority = authority
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self.levels = levels
        self.sessions = levels.sessions
        self.resolve: Resolve = nobody_else
        self.calls: Calling | None = None
        self.confirmations: Confirming | None = None
        self.secrets: Keeper | None = None
        self.outbound: Outbound | None = None
        self.effects: Effects | None = None
        self.sagas: Sagas | None = None
        self.purging: Purging | None = None
        self._in_flight: dict[tuple[str, str], Invocation] = {}
        self._mark = int(entropy.token(5), 16)
        self._units = 0

    def unit_id(self) -> str:
        """A new unit id of 32 hex digits, which is also a W3C trace id.

        Milliseconds come first, so that ids sort by time; then this process's random mark, and its count of units.
        """
        self._units += 1
        return (int(self._clock.now() * 1000) << 80 | self._mark << 40 | self._units).to_bytes(16).hex()

    def new_unit(self, route: Route | None, frame: Frame) -> Unit:
        """A unit that no request asked for, as an errand's is: `frame`, with what all units of the region know."""
        known = msgspec.structs.replace(
            frame,
            levels=self.levels,
            secrets=self.secrets,
            outbound=self.outbound,
            effects=self.effects,
            sagas=self.sagas,
            calls=self.calls,
            purging=self.purging,
        )
        return Unit(self._region, route, self._stores, self._clock, self._entropy, known)

    async def invoke(
        self, route: Route, request: Request, path: Mapping[str, str], passed_on_s: float | None = None
    ) -> Answer:
        """The answer to a request; every error is an answer too.

        `passed_on_s` is the time left for a request that another region sends to this one as the home of a row.

        Raises:
            NotHome: it sent it to the wrong one; nothing was committed.
        """
        started = self._clock.monotonic()
        unit = self.unit_id()
        trace = request.headers.get("traceparent") or own_trace(unit)
        limit_s = route.timeout_s if passed_on_s is None else min(passed_on_s, route.timeout_s)
        deadline = started + limit_s
        if request.deadline is not None:
            deadline = min(deadline, request.deadline)
        call = Invocation(route, request, path, unit, trace, deadline, passed_on=passed_on_s is not None)
        code = ""
        try:
            answer = await (self._in_session(call) if SESSION_HEADER in request.headers else self._admit(call))
        except ProaError as error:
            if call.passed_on and isinstance(error, NotHome):
                raise
            code = error.code
            answer = problem(error, unit)
        if call.session:
            answer = self.sessions.mark(call.session, answer)
        took = self._clock.monotonic() - started
        self._telemetry.emit(
            UnitFinished(route.scope, answer.status, took, unit, trace, call.attempts, call.replayed, code)
        )
        return answer

    # Admission.

    async def _in_session(self, call: Invocation) -> Answer:
        """The same once this region has what the client's session has seen; what it sees here is added."""
        session = await self.sessions.begin(call.request.headers[SESSION_HEADER], call.deadline)
        call.session = session
        answer = await self._admit(call)
        if call.replayed:
            await self.sessions.replayed(session, globally=call.route.unit == "global")
        return answer

    async def _admit(self, call: Invocation) -> Answer:
        if call.route.needs_role:
            await self._wait_for_role(call.route)
        if call.route.acknowledge == "peer":
            call.by_peer = True
            if call.route.unit == "regional":
                self._confirming.require()  # a `home` unit may be another region's: it is asked before it commits
        request = call.request
        call.key = _idempotency_key(call.route, request)
        if call.key is None:
            fallback = call.route.fallback
            return await (self._or_fallback(call, fallback) if fallback else self._attempt_all(call))
        call.owner = request.principal.owner if request.principal else ""
        call.digest = fingerprint(request.method, request.path, request.query, request.body)
        return await self._once(call, owned(call.key, call.owner))

    async def _wait_for_role(self, route: Route) -> None:
        if not self._authority.may_write_active():
            await self._authority.settled(min(ROLE_WAIT_S, route.timeout_s * ROLE_WAIT_SHARE))
        self._require_role(route)

    def _require_role(self, route: Route) -> None:
        if route.needs_role and not self._authority.may_write_active():
            raise NotActive(f"{self._region} is {self._authority.role} in epoch {self._authority.epoch}")

    async def _once(self, call: Invocation, key: str) -> Answer:
        """Let one request under a key run at a time; the others wait for its answer until their deadline."""
        address = (call.route.scope, key)
        while (running := self._in_flight.get(address)) is not None:
            if running.digest != call.digest:
                raise KeyReused(f"key {call.key!r} is in use by a request with another payload")
            await self._wait(running, call)
            if running.outcome:
                return await self._found(call, running.outcome, running.places)
        self._in_flight[address] = call
        try:
            if call.route.unit == "regional" and self._regional.finished_lately(*address):
                outcome = await self._regional.outcome(*address)
                if outcome:
                    return await self._found(call, outcome)
            return await self._attempt_all(call)
        finally:
            del self._in_flight[address]
            if call.finished:
                call.finished.set()

    async def _wait(self, running: Invocation, call: Invocation) -> None:
        if call.route.keys.in_flight == "refuse":
            raise _in_use(call)
        running.finished = running.finished or asyncio.Event()
        try:
            async with asyncio.timeout(call.deadline - self._clock.monotonic()):
                await running.finished.wait()
        except TimeoutError:
            raise _in_use(call) from None

    async def _found(self, call: Invocation, outcome: Outcome, places: tuple[Place, ...] = ()) -> Answer:
        if decide(outcome, call.digest, self._clock.now()) == "mismatch":
            raise KeyReused(f"key {call.key!r} was used with another payload")
        if outcome.is_sealed:
            raise _held_elsewhere(outcome)
        answer = await self._standing(call, replay(outcome), outcome.holders)
        self._require_role(call.route)
        if not all(map(self._authority.may_write_home, places)):
            raise NotHome(f"{self._region} is no home of these rows any more")
        if places:
            answer.headers.append((HOME_HEADER, self._region))
        call.replayed = True
        return answer

    async def _or_fallback(self, call: Invocation, fallback: Route) -> Answer:
        """The handler's answer, or that of another one where it came to nothing in most of the time there is."""
        until = call.deadline
        call.deadline -= self._left_s(call) * FALLBACK_SHARE
        try:
            return await self._attempt_all(call)
        except ProaError as error:
            if error.status < 500:
                raise
            call.route, call.deadline, call.attempts = fallback, until, 0
            if (answer := await self._degraded(call)) is None:
                raise
            return self._marked(answer, fallback, error)

    async def _degraded(self, call: Invocation) -> Answer | None:
        try:
            return await self._attempt_all(call)
        except ProaError:  # the handler's own failure is what the client must hear of
            return None

    def _marked(self, answer: Answer, fallback: Route, error: ProaError) -> Answer:
        from proa.runtime.calls import FellBack  # few routes have a fallback

        name = fallback.handler.__name__
        self._telemetry.emit(FellBack("", fallback.scope, name, f"{error.code}: {error.detail or error.title}"))
        return marked(answer, (f"handler={name}",))

    # Attempts.

    async def _attempt_all(self, call: Invocation) -> Answer:
        while call.attempts < ATTEMPTS_MAX:
            if call.attempts:
                await self._clock.sleep(BACKOFF_S * 2**call.attempts * self._entropy.random())
            call.attempts += 1
            answer = await self._attempt(call)
            if answer is not None:
                return answer
        raise Contended(f"{call.route.scope} lost {ATTEMPTS_MAX} races for its rows")

    async def _attempt(self, call: Invocation) -> Answer | None:
        """One run and one commit; None where a race was lost."""
        unit = self._unit(call)
        try:
            handle = self._at_home if call.route.unit == "home" else self._handle
            answer, keep_writes = await handle(call, unit)
            unit.stay()
        except (Elsewhere, BaseExceptionGroup):  # a task group tells in its own way what ended one of its tasks
            if unit.elsewhere is None:
                raise
            call.request.recallable = False
            return await self.resolve(call, unit.elsewhere)
        except ProaError:
            if outcome := await self._recorded(call, unit):
                return await self._found(call, outcome, unit.places)
            raise
        if not _finishes(call, answer):
            return answer  # a failure, which commits nothing
        store = self._store_for(call, unit)
        if store is None:
            unit.after_commit()
            return await self._standing(call, answer, unit.holders)
        return await self._commit(call, unit, store, answer, keep_writes=keep_writes)

    async def _commit(
        self, call: Invocation, unit: Unit, store: Store, answer: Answer, *, keep_writes: bool
    ) -> Answer | None:
        """The answer once what the unit did is durable; None where a race was lost."""
        call.request.recallable = False
        holders = unit.holders
        outcome = self._outcome(call, answer, holders) if call.key else None
        if holders or call.by_peer:
            self._check_holders(call, holders, outcome if store == "global" else None)
        batch = unit.batch(store, outcome, self._authority.epoch, keep_writes=keep_writes)
        result = await (self._regional.commit(batch) if store == "regional" else self.globally.commit(batch))
        if keep_writes and isinstance(result, Committed | Found):
            unit.after_commit()
        match result:
            case Committed():
                call.outcome, call.places = outcome, batch.places
                if call.session or call.by_peer:
                    await self._durable(call, unit, result, batch.epoch)
                return self._acknowledged(answer, batch) if unit.fenced_rows else answer
            case Conflict():
                return None
            case Found(outcome):
                return await self._found(call, outcome, batch.places)
            case Fenced(code, detail):
                raise of_code(code, detail)

    async def _durable(self, call: Invocation, unit: Unit, commit: Committed, epoch: int) -> None:
        """What a session and a second region are to know of a commit before it is answered."""
        if call.session:
            self._noted(call.session, commit)
        if call.by_peer:
            left_s = self._left_s(call)
            await self._confirmed(call, self._confirming.committed(commit, epoch, left_s, unit.holders))

    def _noted(self, session: Session, commit: Committed) -> None:
        if commit.origin:
            session.saw_all({commit.origin: commit.seq})
        else:
            session.saw_revision(commit.seq)

    # Acknowledging by peer.

    @property
    def _confirming(self) -> Confirming:
        assert self.confirmations is not None, "a region with routes that acknowledge by peer has confirmations"
        return self.confirmations

    async def _standing(self, call: Invocation, answer: Answer, holders: tuple[str, ...]) -> Answer:
        """An answer made of what is durable here, given when a second region has that too, if the route says so."""
        if call.by_peer:
            await self._confirmed(call, self._confirming.standing(self._left_s(call), holders))
            self._require_role(call.route)
        return answer

    async def _confirmed(self, call: Invocation, wait: Awaitable[float]) -> None:
        self._telemetry.emit(UnitConfirmed(call.route.scope, await wait))

    def _left_s(self, call: Invocation) -> float:
        return call.deadline - self._clock.monotonic()

    async def _at_home(self, call: Invocation, unit: Unit) -> tuple[Answer, bool]:
        """The handler's answer, in the region that it is up to: what it refuses may be refused by its home only.

        Raises:
            Elsewhere: that is another region, or not known.
        """
        try:
            handled = await self._handle(call, unit)
        except HttpError:
            unit.settle(self._app.tables)
            raise
        unit.settle(self._app.tables)
        return handled

    def _acknowledged(self, answer: Answer, batch: Batch) -> Answer:
        """The answer to a durable commit of `active` or `home` rows: given only while the right to it lasts."""
        if not self._authority.may_acknowledge(batch.epoch, batch.places):
            raise OutcomeUnknown("the commit is durable here, but the right to it ran out before the answer")
        told = [(EPOCH_HEADER, str(batch.epoch)), *([(HOME_HEADER, self._region)] if batch.places else [])]
        return Answer(answer.status, [*answer.headers, *told], answer.body)

    def _unit(self, call: Invocation) -> Unit:
        unit = call.unit if call.attempts == 1 else self.unit_id()
        frame = Frame(
            unit,
            call.trace,
            call.key,
            call.request.headers,
            call.deadline,
            self._authority,
            self.levels,
            call.session,
            again=call.attempts > 1,
            principal=call.request.principal,
            request=call.request,
            secrets=self.secrets,
            outbound=self.outbound,
            calls=self.calls,
            effects=self.effects,
            purging=self.purging,
            first=call.unit,
        )
        return Unit(self._region, call.route, self._stores, self._clock, self._entropy, frame)

    async def _handle(self, call: Invocation, unit: Unit) -> tuple[Answer, bool]:
        """The handler's answer, and whether its writes stand (a typed 4xx drops them)."""
        arguments = call.route.arguments(call.request, call.path, unit)
        handler = call.route.handler
        token = CURRENT.set(unit)
        try:
            work = handler(**arguments) if call.route.is_async else self._in_thread(handler, arguments)
            result = await within(unit.remaining_s, work)
        except HttpError as error:
            if not (call.key and call.route.keys.finishes(error.status)):
                raise
            return problem(error, unit.unit), False
        except ProaError:
            raise
        except TimeoutError:
            raise DeadlineExceeded(f"{call.route.scope} took longer than {call.route.timeout_s:g} s") from None
        except Exception as error:
            self._telemetry.emit(HandlerRaised(call.route.scope, unit.unit, unit.trace, traceback.format_exc()))
            failed = HandlerFailed(f"{call.route.scope} raised {type(error).__name__}")
            if call.key and call.route.keys.finishes(failed.status):
                return problem(failed, unit.unit), False
            raise failed from error
        finally:
            CURRENT.reset(token)
        answer = answer_of(result, call.route.status)
        told = marked(answer, unit.degraded) if unit.degraded else answer
        return told, answer.status < 500

    async def _in_thread(self, handler: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(None, lambda: run(handler, **arguments))

    async def _recorded(self, call: Invocation, unit: Unit) -> Outcome | None:
        """A unit whose handler failed may be a repeat of one that succeeded: then its answer stands."""
        if call.key is None or (call.route.unit == "home" and not unit.places):
            return None  # or no store to decide it was found yet
        store = self._global if call.route.unit == "global" else self._regional
        try:
            return await store.outcome(call.route.scope, owned(call.key, call.owner))
        except Unavailable:
            return None

    # Commit.

    def _store_for(self, call: Invocation, unit: Unit) -> Store | None:
        """Where the unit commits; None where there is nothing to commit."""
        if unit.store:
            return unit.store
        if call.key and call.route.unit != "read":
            return STORES[call.route.unit]
        return None

    def _check_holders(self, call: Invocation, holders: tuple[str, ...], published: Outcome | None) -> None:
        """Somebody is there to confirm a commit; what only some regions may hold is published nowhere else."""
        if call.by_peer:
            self._confirming.require(holders)
        if published and published.holders:
            self._refuse_to_publish(published)

    def _refuse_to_publish(self, outcome: Outcome) -> None:
        """The global store is in no region: it may record no answer that tells of resident rows."""
        if self._app.witness not in outcome.holders:
            named = ", ".join(outcome.holders)
            raise NotResident(
                f"{outcome.scope} commits in the global store and met rows that only {named} may hold; its answer "
                "would be recorded there. Read them in a route that writes no `strong` table, or takes no key"
            )

    def _outcome(self, call: Invocation, answer: Answer, holders: tuple[str, ...]) -> Outcome:
        keys = call.route.keys
        size, limit = _size(answer), keys.record_bytes_max or self._app.max_response_bytes
        if size > limit:
            raise ResponseTooLarge(f"{call.route.scope} answered {size:,} bytes; under a key it may answer {limit:,}")
        expires_at = self._clock.now() + (keys.expires_s or self._app.idempotency_ttl_s)
        return Outcome(
            call.route.scope,
            call.key or "",
            call.digest,
            answer.status,
            answer.headers,
            answer.body,
            call.unit,
            self._region,
            expires_at,
            holders,
            call.owner,
        )


def _size(answer: Answer) -> int:
    """What a record of an answer takes: body and headers."""
    size = len(answer.body)
    for name, value in answer.headers:  # one or two: a generator would cost more than they do
        size += len(name) + len(value)
    return size


def _finishes(call: Invocation, answer: Answer) -> bool:
    """Whether an answer finishes a key. A handler that returns a 4xx means it; a 5xx is a failure however it comes."""
    return answer.status < 500 or call.route.keys.finishes(answer.status)


def _in_use(call: Invocation) -> KeyInUse:
    return KeyInUse(f"the first request under key {call.key!r} is still running", headers={"retry-after": "1"})


def _held_elsewhere(outcome: Outcome) -> AnswerWithheld:
    named = ", ".join(outcome.holders)
    return AnswerWithheld(f"this key is finished; {named} can answer", headers={"proa-regions": named})


def _idempotency_key(route: Route, request: Request) -> str | None:
    if not route.idempotent:
        return None
    header = request.headers.get("idempotency-key")
    if header is None:
        if route.idempotent is True:
            raise MissingIdempotencyKey(f"{route.scope} needs an Idempotency-Key header")
        return None
    key, length_max = key_in(header), route.keys.key_length_max
    if not valid_key(key, length_max):
        raise BadRequest(f"Idempotency-Key must be one key of 1 to {length_max} visible ASCII characters")
    return key
