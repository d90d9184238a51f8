"""The dependencies of one region: the state of their policies, and each declared call behind them.

A call is put together when it is first made, and then found in one look-up. What it depends on is reached through
`Dependencies`, where there is one: a simulation answers in its stead, or breaks it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from proa.core.policy.breaker import Forced
from proa.core.policy.compose import Gates, Policies
from proa.declare.context import CURRENT
from proa.declare.dependencies import Call, Dependency
from proa.errors import DeclarationError, DependencyFailed, ProaError
from proa.observe.hub import Hub
from proa.observe.metrics import Registry
from proa.ports import Clock, Dependencies, Entropy, Labels, RegionStore
from proa.runtime.authority import Authority
from proa.runtime.calls import CallFailed
from proa.runtime.composed import composed, gates, purse
from proa.runtime.guard import Ends, Guarded, tell, told_of

if TYPE_CHECKING:
    from proa.runtime.shared_breakers import SharedBreakers

HERE = ""
ELSEWHERE = "elsewhere"


class Standing:
    """What all calls of a dependency share in a region."""

    def __init__(self, dependency: Dependency) -> None:
        own = dependency.policies
        self.dependency = dependency
        targets = [HERE, *([ELSEWHERE] if any(call.elsewhere for call in dependency.calls.values()) else [])]
        self.gates = {target: gates(own, blocks=dependency.blocks, counted=True) for target in targets}
        budgets = (call.policies.budget for call in dependency.calls.values())
        self.purse = purse(next(filter(None, budgets), None), blocks=dependency.blocks)

    @property
    def here(self) -> Gates:
        """The gates of the dependency itself, rather than of where it is reached elsewhere."""
        return self.gates[HERE]


class Calls(dict[Call[..., Any], Callable[..., Any]]):
    """Each declared call behind its policies, in one region."""

    def __init__(
        self,
        dependencies: Mapping[str, Dependency],
        clock: Clock,
        entropy: Entropy,
        emit: Callable[[msgspec.Struct], None],
        reach: Dependencies | None,
    ) -> None:
        super().__init__()
        self._ends = Ends(clock, entropy, emit, _left_s, _mark)
        self._reach = reach
        self.standings = {name: Standing(each) for name, each in dependencies.items()}
        self._shared: SharedBreakers | None = None

    def share(self, region: str, regions: Sequence[str], store: RegionStore, authority: Authority, hub: Hub) -> None:
        """Let breakers that are declared shared heed those of other regions, once started."""
        circuits = {name: standing.here.circuit for name, standing in self.standings.items()}
        shared = {name: circuit for name, circuit in circuits.items() if circuit and circuit.breaker.shared}
        if not shared:
            return
        from proa.runtime.shared_breakers import SharedBreakers  # few are

        self._shared = SharedBreakers(region, regions, shared, store, authority, (self._ends.clock, self._ends.entropy))
        hub.subscribe(self._shared.on_event)

    def start(self) -> None:
        """Begin to tell other regions, and to listen, where breakers are shared."""
        if self._shared:
            self._shared.start()

    def stop(self) -> None:
        if self._shared:
            self._shared.stop()

    def force(self, dependency: str, state: Forced | None) -> None:
        """Hold a dependency's breaker in a state, or let it judge again (None).

        Raises:
            DeclarationError: it has none.
        """
        circuit, now = self.standings[dependency].here.circuit, self._ends.clock.monotonic()
        if circuit is None:
            raise DeclarationError(f"dependency {dependency} declares no breaker")
        if state is None:
            circuit.release(now)
        else:
            circuit.force(state, now)
        tell(dependency, circuit, self._ends.emit)

    def __missing__(self, call: Call[..., Any]) -> Callable[..., Any]:
        self[call] = made = self._made(call)
        return made

    def _made(self, call: Call[..., Any]) -> Callable[..., Any]:
        """The call behind its policies. What is elsewhere has gates of its own; retries and fallback are the call's."""
        guarded, elsewhere = self._guarded(call, HERE, call.policies), None
        if call.elsewhere:
            attempts_only = msgspec.structs.replace(call.policies, retry=None, hedge=None)
            elsewhere = composed(self._reached(call, call.elsewhere), self._guarded(call, ELSEWHERE, attempts_only))
        return _translated(composed(self._reached(call, call.function), guarded, call.fallback, elsewhere), guarded)

    def _guarded(self, call: Call[..., Any], target: str, policies: Policies) -> Guarded:
        standing = self.standings[call.dependency.name]
        return Guarded(call.dependency.name, call.name, policies, standing.gates[target], standing.purse, self._ends)

    def _reached(self, call: Call[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
        return self._reach.reached(call.dependency.name, function) if self._reach else function


def _translated(work: Callable[..., Any], guarded: Guarded) -> Callable[..., Any]:
    """A failure that is none of Proa's own is the dependency's: the client is told to come back later."""

    def told(error: Exception) -> ProaError:
        guarded.emit(CallFailed, told_of(error))
        return DependencyFailed(f"{guarded.name} failed: {told_of(error)}")

    if not inspect.iscoroutinefunction(work):

        @functools.wraps(work)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            try:
                return work(*args, **kwargs)
            except ProaError:
                raise
            except Exception as error:
                raise told(error) from error

        return blocking

    @functools.wraps(work)
    async def waiting(*args: Any, **kwargs: Any) -> Any:
        try:
            return await work(*args, **kwargs)
        except ProaError:
            raise
        except Exception as error:
            raise told(error) from error

    return waiting


def _left_s() -> float:
    unit = CURRENT.get(None)
    return unit.remaining_s() if unit else float("inf")


def _mark(mark: str) -> None:
    if unit := CURRENT.get(None):
        unit.degrade(mark)


def register_gauges(metrics: Registry, standings: Mapping[str, Standing]) -> None:
    """What a scrape asks the dependencies of a region for."""
    metrics.gauge("proa_dependency_attempts", lambda: _attempts(standings))
    metrics.gauge("proa_breaker_open", lambda: _breakers(standings))
    metrics.gauge("proa_bulkhead_calls", lambda: _bulkheads(standings))
    metrics.gauge("proa_retry_budget_tokens", lambda: _budgets(standings))


def _targets(standings: Mapping[str, Standing]) -> Iterator[tuple[dict[str, str], Gates]]:
    for name, standing in standings.items():
        for target, made in standing.gates.items():
            yield ({"dependency": name, "target": target} if target else {"dependency": name}), made


def _attempts(standings: Mapping[str, Standing]) -> Iterator[tuple[Labels, float]]:
    for labels, made in _targets(standings):
        assert made.tally, "a region counts"
        yield {**labels, "outcome": "passed"}, made.tally.passed
        yield {**labels, "outcome": "failed"}, made.tally.failed


def _breakers(standings: Mapping[str, Standing]) -> Iterator[tuple[Labels, float]]:
    """1 where it is open, 0.5 where it is half-open, 0 where it is closed."""
    for labels, made in _targets(standings):
        if made.circuit:
            yield labels, {"closed": 0.0, "half-open": 0.5, "open": 1.0}[made.circuit.state]


def _bulkheads(standings: Mapping[str, Standing]) -> Iterator[tuple[Labels, float]]:
    for labels, made in _targets(standings):
        if made.places:
            yield {**labels, "state": "running"}, made.places.running
            yield {**labels, "state": "waiting"}, made.places.waiting


def _budgets(standings: Mapping[str, Standing]) -> Iterator[tuple[Labels, float]]:
    for name, standing in standings.items():
        if standing.purse:
            yield {"dependency": name}, standing.purse.tokens
