"""An `App` collects declarations; everything else (running, drilling, deploying) reads them from it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from proa.core.dedupe import HANDLED
from proa.core.queue import FETCHED, SETTINGS
from proa.core.replicate.resolve import Merge
from proa.core.roles import Topology
from proa.declare.front import FrontDoor
from proa.declare.handlers import Acknowledge, GetOptions, Route, RouteOptions, mounted, route
from proa.declare.health import Check, HealthCheck
from proa.declare.objectives import Objectives
from proa.declare.tables import BaseTable, Mode, SortedTable, Table, TableOptions
from proa.errors import AppNotFound, DeclarationError
from proa.ports import Schema

if TYPE_CHECKING:
    from proa.declare.authentication import ApiKeys, Authentication, Oidc
    from proa.declare.bodies import Bodies
    from proa.declare.dependencies import Dependency, DependencyOptions
    from proa.declare.effects import Effect, EffectOptions
    from proa.declare.events import Event, EventOptions
    from proa.declare.mount import Asgi
    from proa.declare.queues import Queue, QueueOptions
    from proa.declare.residency import Declared
    from proa.declare.sagas import DeclaredSaga, Saga, SagaOptions
    from proa.declare.schedules import Schedule, ScheduleOptions
    from proa.declare.secrets import Secret

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., Any])
C = TypeVar("C", bound=Callable[[], Awaitable[bool]])
Failover = Literal["approval", "automatic"]

LEASE_S = 10.0
BODY_BYTES_MAX = 1024 * 1024
RESPONSE_BYTES_MAX = 256 * 1024
IDEMPOTENCY_TTL_S = 24 * 3600.0
REPAIR_EVERY_S = 600.0
CLOCK_BOUND_MS = 500.0
JOURNAL_RETENTION_S = 24 * 3600.0
JOURNAL_RETENTION_MAX_S = 7 * 24 * 3600.0


class TableDeclaration(TypedDict, total=False):
    """How a table is kept.

    `mode` says who may write: `any` region, the row's `home`, the `active` one where one is active, or any of them in
    the global store (`strong`). `merge` is what becomes of concurrent writes in mode `any`. `home` names the field that
    holds a row's home region; without it the row's key decides. `indexes` names fields by which rows are found besides
    their key: `{"by_sku": "sku"}`, or two where another one sorts the rows of one value: `{"by_day": ("day", "at")}`.
    `expires` names a field with the time (in seconds since 1970; None: never) from which on a row is not there any more
    for any reader. `residency` names the regions that may hold the rows, if not all may: a list, or `by(field, {...})`
    where a field of the row decides.
    """

    mode: Mode | None
    merge: Merge | None
    home: str | None
    indexes: Mapping[str, str | tuple[str, str]]
    expires: str | None
    residency: Declared | None


class App(FrontDoor):
    """The declarations of one application.

    Args:
        name: what logs, metrics and state directories call it.
        regions: every region that holds a full copy, in order of preference.
        topology: `active-active`: every region serves writes (tables default to mode `any`); `active-passive`: one
            does (tables default to mode `active`).
        active: the region that is active at first in `active-passive`; the first one unless given.
        witness: where the global store lives, outside every region's blast radius.
        failover: `approval`: a person approves a change of the active region; `automatic`: the quorum suffices.
        lease_s: how long a region may act on its role without renewing it; also how long a fail-over of an
            unreachable region waits.
        objectives: what drills and alarms judge against.
        max_body_bytes: larger requests get 413.
        max_response_bytes: larger responses of idempotent routes are refused before they commit.
        idempotency_ttl_s: how long a finished key is remembered.
        acknowledge: `region`: a regional unit is answered when its own region has it durable; `peer`: when a second
            region has, too. A route's own `acknowledge` overrules it.
        clock_bound_ms: a region whose clock is further off than this refuses its own writes.
        journal_retention_s: how long a region keeps commits in its journal that every other region has.
        journal_retention_max_s: how long it keeps those that another one lacks; a region that was away for longer
            catches up by a snapshot.
        repair_every_s: how often regions compare their rows with each other's and mend what differs; 0: never.
    """

    def __init__(  # noqa: PLR0913 - the options of an app, each by name
        self,
        name: str,
        *,
        regions: Sequence[str],
        topology: Topology = "active-active",
        active: str | None = None,
        witness: str | None = None,
        failover: Failover = "approval",
        lease_s: float = LEASE_S,
        objectives: Objectives | None = None,
        max_body_bytes: int = BODY_BYTES_MAX,
        max_response_bytes: int = RESPONSE_BYTES_MAX,
        idempotency_ttl_s: float = IDEMPOTENCY_TTL_S,
        clock_bound_ms: float = CLOCK_BOUND_MS,
        journal_retention_s: float = JOURNAL_RETENTION_S,
        journal_retention_max_s: float = JOURNAL_RETENTION_MAX_S,
        acknowledge: Acknowledge = "region",
        repair_every_s: float = REPAIR_EVERY_S,
    ) -> None:
        self.name = name
        self.regions = tuple(regions)
        self.topology: Topology = topology
        self.active = active or (self.regions[0] if self.regions else "")
        self.witness = witness
        self.failover: Failover = failover
        self.lease_s = lease_s
        self.objectives = objectives or Objectives()
        self.max_body_bytes = max_body_bytes
        self.max_response_bytes = max_response_bytes
        self.idempotency_ttl_s = idempotency_ttl_s
        self.clock_bound_ms = clock_bound_ms
        self.journal_retention_s = journal_retention_s
        self.journal_retention_max_s = journal_retention_max_s
        self.acknowledge: Acknowledge = acknowledge
        self.repair_every_s = repair_every_s
        self.routes: list[Route] = []
        self.tables: dict[str, BaseTable[Any]] = {}
        self.queues: dict[str, Queue[Any]] = {}
        self.events: dict[str, Event[Any]] = {}
        self.schedules: dict[str, Schedule] = {}
        self.effects: dict[str, Effect[..., Any]] = {}
        self.sagas: dict[str, DeclaredSaga[Any, Any]] = {}
        self.checks: dict[str, HealthCheck] = {}
        self.dependencies: dict[str, Dependency] = {}
        self.secrets: dict[str, Secret] = {}
        self.authentication: Authentication | None = None
        super().__init__()
        self._verify()

    def _verify(self) -> None:
        reserved = {"witness", "edge"} & set(self.regions)
        if not self.regions or len(set(self.regions)) != len(self.regions) or reserved:
            raise DeclarationError(
                f"{self.name}: regions must be one or more different names other than `witness` and `edge`, "
                f"got {list(self.regions)}"
            )
        if self.topology not in ("active-active", "active-passive"):
            raise DeclarationError(f"{self.name}: topology is active-active or active-passive, not {self.topology!r}")
        if self.active not in self.regions:
            raise DeclarationError(f"{self.name}: active region {self.active!r} is none of {', '.join(self.regions)}")
        if self.lease_s <= 0:
            raise DeclarationError(f"{self.name}: lease_s must be positive, got {self.lease_s:g}")
        if not 0 < self.journal_retention_s <= self.journal_retention_max_s:
            raise DeclarationError(
                f"{self.name}: journal_retention_s must be positive and at most journal_retention_max_s, "
                f"got {self.journal_retention_s:g} and {self.journal_retention_max_s:g}"
            )
        self._verify_acknowledge(self.name, self.acknowledge)

    def _verify_acknowledge(self, where: str, acknowledge: str | None) -> None:
        if acknowledge not in (None, "region", "peer"):
            raise DeclarationError(f"{where}: acknowledge is region or peer, not {acknowledge!r}")
        if acknowledge == "peer" and len(self.regions) == 1:
            raise DeclarationError(f"{where}: acknowledge `peer` needs a second region; {self.name} has one")

    def _verify_auth(self, declared: Route) -> None:
        if declared.knows_principals and self.authentication is None:
            raise DeclarationError(f"{declared.scope} asks for a principal; declare app.authenticate(...) before it")

    # Tables.

    @overload
    def table(self, name: str, kind: type[T], *, key: str, **options: Unpack[TableDeclaration]) -> Table[T]: ...
    @overload
    def table(
        self, name: str, kind: type[T], *, key: str, sort: str, **options: Unpack[TableDeclaration]
    ) -> SortedTable[T]: ...
    def table(
        self, name: str, kind: type[T], *, key: str, sort: str | None = None, **options: Unpack[TableDeclaration]
    ) -> Table[T] | SortedTable[T]:
        """Declare a table of `kind` (a dataclass, msgspec Struct or pydantic model) whose field `key` is its key.

        Where a second field is named as `sort`, rows with one key are told apart, and queried in order, by it. See
        `TableDeclaration` for the other options.
        """
        mode, merge = options.get("mode"), options.get("merge")
        if mode == "active" and self.topology == "active-active":
            raise DeclarationError(
                f"table {name}: mode `active` needs topology active-passive; where every region is active, "
                "choose `any` (merged) or `strong` (global store)"
            )
        home = options.get("home")
        mode = mode or ("home" if home else None)
        if mode == "home" and self.topology == "active-passive":
            raise DeclarationError(
                f"table {name}: mode `home` needs topology active-active; where one region is active, choose `active`"
            )
        chosen: Mode = mode or ("active" if self.topology == "active-passive" and merge is None else "any")
        rest = options.get("expires"), options.get("residency"), home, self.regions
        declared = TableOptions(key, chosen, merge, sort, options.get("indexes", {}), *rest)
        table = Table(name, kind, declared) if sort is None else SortedTable(name, kind, declared)
        if table.residency:
            table.residency.verify(self.regions, self.witness, strong=chosen == "strong")
        _once(self.tables, "table", name, table)
        return table

    def table_of(self, name: str) -> BaseTable[Any]:
        """The table that a store keeps under this name, whole or a part of it; KeyError where there is none."""
        return self.tables[name.partition("@")[0]]

    def merges(self) -> dict[str, Merge]:
        """The merge policies of the tables that declare one."""
        return {part: table.merge for table in self.tables.values() if table.merge for part in table.parts}

    def schemas(self, *, strong: bool) -> dict[str, Schema]:
        """What the global store (`strong`) or a region's own must know of its tables."""
        declared = {
            part: table.schema
            for table in self.tables.values()
            if (table.mode == "strong") == strong
            for part in table.parts
        }
        return declared if strong or not self.queues else declared | self._dead_letters()

    def _dead_letters(self) -> dict[str, Schema]:
        from proa.declare.queues import DEAD_SCHEMA

        return {queue.dead_table: DEAD_SCHEMA for queue in self.queues.values()}

    def kept(self) -> list[str]:
        """The tables in which regions keep rows of their own: parts of those declared, and Proa's own."""
        own = {table for queue in self.queues.values() for table in (queue.table, SETTINGS, FETCHED)}
        own.update(table for event in self.events.values() for table in event.tables)
        own.update(schedule.table for schedule in self.schedules.values())
        own.update(table for dependency in self.dependencies.values() for table in dependency.kept)
        if self.effects:
            from proa.core.effect import EFFECTS, PARKED

            own |= {EFFECTS, PARKED}
        if self.sagas:
            from proa.core.saga import SAGAS, SIGNALS, STEPS

            own |= {SAGAS, STEPS, SIGNALS}
        return [*self.schemas(strong=False), HANDLED, *sorted(own)]

    # Routes.

    def get(self, path: str, **options: Unpack[GetOptions]) -> Callable[[H], H]:
        """Declare a read-only handler. It also answers HEAD. See `GetOptions`."""
        return self._route("GET", path, options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a POST handler. See `RouteOptions`."""
        return self._route("POST", path, options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a PUT handler; an Idempotency-Key is heeded if one is sent. See `RouteOptions`."""
        return self._route("PUT", path, {"idempotent": "optional", **options})

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a PATCH handler. See `RouteOptions`."""
        return self._route("PATCH", path, options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a DELETE handler; an Idempotency-Key is heeded if one is sent. See `RouteOptions`."""
        return self._route("DELETE", path, {"idempotent": "optional", **options})

    def _route(self, method: str, path: str, options: RouteOptions | GetOptions) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            if any(other.method == method and other.path == path for other in self.routes):
                raise DeclarationError(f"{method} {path} is declared twice")
            self._verify_acknowledge(f"{method} {path}", options.get("acknowledge"))
            declared = route(method, path, handler, options, self.acknowledge)
            self._verify_auth(declared)
            self.routes.append(declared)
            return handler

        return declare

    def mount(self, prefix: str, app: Asgi, *, health: str | None = None, **options: Unpack[RouteOptions]) -> None:
        """Serve another ASGI application under a prefix, such as one of FastAPI; see `declare.mount`.

        Options are those of a route, for all of its paths; each writing method heeds an Idempotency-Key unless told
        otherwise. `health` is a path under the prefix that must answer with a 2xx for the region to be healthy.
        """
        routes = mounted(prefix, app, options)
        if any(route.mount and route.mount.prefix == prefix for route in self.routes):
            raise DeclarationError(f"mount {prefix} is declared twice")
        self._verify_auth(routes[0])
        self.routes += routes
        if health is not None:
            from proa.declare.mount import check_of

            mount = routes[0].mount
            assert mount
            check = check_of(mount, health)
            self.checks[check.name] = check

    # Who asks.

    @property
    def is_private(self) -> bool:
        """Whether it is declared where principals come from."""
        return self.authentication is not None

    def authenticate(
        self, *sources: Oidc | ApiKeys, recheck_s: float = 1.0, remembered: int = 10_000
    ) -> Authentication:
        """Declare where principals come from. From now on each route lets in whom its `auth` says, else anybody known.

        Verified credentials are remembered, at most about twice `remembered`, and looked at again for a revocation
        every `recheck_s`.
        """
        from proa.declare.authentication import Authentication, Options  # a function that is private never needs it

        if self.authentication is not None:
            raise DeclarationError(f"{self.name}: authenticate is declared twice")
        self.authentication = Authentication(sources, Options(recheck_s, remembered), self.table)
        return self.authentication

    def document(self, path: str = "/docs") -> None:
        """Serve what the routes take and answer: a page for people at `path`, OpenAPI 3.1 at `path/openapi.json`.

        Routes that are declared later are in it too; mounted applications and the two pages themselves are not.
        """
        from proa.declare import documents  # most apps show theirs to nobody

        self.get(path)(documents.for_people(self, f"{path}/openapi.json"))
        self.get(f"{path}/openapi.json")(documents.for_programs(self))
        for one in self.routes[-2:]:
            one.documented = False

    # Secrets.

    def secret(self, name: str, *, refresh_s: float = 30.0, stale_s: float = 24 * 3600.0) -> Secret:
        """Declare a secret that handlers read: `bank = app.secret("bank_token")`, then `bank.value()`.

        Each region looks for a new version every `refresh_s`, and goes on with the one it has for `stale_s` where it
        cannot look.
        """
        from proa.declare.secrets import Secret  # few functions need one

        return _once(self.secrets, "secret", name, Secret(name, refresh_s, stale_s))

    # Messages.

    def queue(self, name: str, kind: type[T], **options: Unpack[QueueOptions]) -> Queue[T]:
        """Declare a queue of messages of `kind` (a dataclass, msgspec Struct or pydantic model). See `QueueOptions`."""
        from proa.declare.queues import Queue  # an app without messages never needs it

        queue = Queue(name, kind, options)
        self._verify_residency(queue)
        self.add_queue(queue)
        return queue

    # Dependencies.

    def dependency(self, name: str, **options: Unpack[DependencyOptions]) -> Dependency:
        """Declare something that this app calls, and the policies in between. See `DependencyOptions`.

        bank = app.dependency("bank", retry=Retry(attempts=3), breaker=Breaker(), timeout_s=0.5)

        @bank.call(idempotent=True, fallback=(cached(60),))
        async def rate(currency: str) -> float: ...
        """
        from proa.declare.dependencies import Dependency  # an app without any never needs it

        return _once(self.dependencies, "dependency", name, Dependency(name, options))

    def add_queue(self, queue: Queue[Any]) -> None:
        """Take up a queue: one of the app's own, or that of a subscription."""
        _once(self.queues, "queue", queue.name, queue)

    def event(self, name: str, kind: type[T], **options: Unpack[EventOptions]) -> Event[T]:
        """Declare an event with a body of `kind` (a dataclass, Struct or pydantic model). See `EventOptions`."""
        from proa.declare.events import Event  # as a queue's

        event = Event(self, name, kind, options)
        self._verify_residency(event)
        return _once(self.events, "event", name, event)

    def _verify_residency(self, told: Bodies[Any]) -> None:
        if unknown := set(told.residency) - set(self.regions):
            named = ", ".join(sorted(unknown))
            raise DeclarationError(f"{told.what} {told.name}: residency names {named}, no region of the app")

    # Schedules.

    def schedule(
        self,
        cron: str | None = None,
        *,
        every_s: float | None = None,
        timezone: str = "UTC",
        **options: Unpack[ScheduleOptions],
    ) -> Callable[[H], H]:
        """Declare a handler that is run at the times of a cron expression in a time zone, or every so many seconds.

        It takes a `Tick`, a `Context`, both or nothing. See `ScheduleOptions`.
        """
        from proa.declare.schedules import Schedule, timing_of

        timing, said = timing_of(cron, every_s, timezone)

        def declare(handler: H) -> H:
            schedule = Schedule(handler, timing, said, options, self.regions)
            if schedule.once == "region" and self.topology == "active-passive":
                raise DeclarationError(
                    f"schedule {schedule.name}: once `region` needs topology active-active; a standby runs nothing"
                )
            _once(self.schedules, "schedule", schedule.name, schedule)
            return handler

        return declare

    def saga(self, **options: Unpack[SagaOptions]) -> Callable[[Callable[[Saga, T], Awaitable[R]]], DeclaredSaga[T, R]]:
        """Declare a saga: a function whose steps are each done once, and undone if it fails. See `SagaOptions`."""
        from proa.declare.sagas import DeclaredSaga  # an app without sagas never needs it

        def declare(function: Callable[[Saga, T], Awaitable[R]]) -> DeclaredSaga[T, R]:
            declared = DeclaredSaga(function, options, self.regions)
            _once(self.sagas, "saga", declared.name, declared)
            self.add_queue(declared.queue)
            return declared

        return declare

    # The outside world.

    @overload
    def effect(self, function: Callable[P, Awaitable[R]]) -> Effect[P, R]: ...
    @overload
    def effect(
        self, function: None = None, **options: Unpack[EffectOptions]
    ) -> Callable[[Callable[P, Awaitable[R]]], Effect[P, R]]: ...
    def effect(
        self, function: Callable[P, Awaitable[R]] | None = None, **options: Unpack[EffectOptions]
    ) -> Effect[P, R] | Callable[[Callable[P, Awaitable[R]]], Effect[P, R]]:
        """Declare a function that changes the world outside: a unit calls it once, however often it runs.

        See `EffectOptions`.
        """
        from proa.declare.effects import Effect  # an app without effects never needs it

        def declare(function: Callable[P, Awaitable[R]]) -> Effect[P, R]:
            declared = Effect(function, options)
            self._verify_acknowledge(f"effect {declared.name}", declared.acknowledge)
            return _once(self.effects, "effect", declared.name, declared)

        return declare(function) if function else declare

    # Health.

    def health(self, *, every_s: float = 5.0, fail_after: int = 3, timeout_s: float = 2.0) -> Callable[[C], C]:
        """Declare a check of something this app needs; its cached verdict is part of the region's deep health."""

        def declare(check: C) -> C:
            name = getattr(check, "__name__", "check")
            checked: Check = check
            _once(self.checks, "health check", name, HealthCheck(name, checked, every_s, fail_after, timeout_s))
            return check

        return declare

    def __repr__(self) -> str:
        return f"<App {self.name} in {', '.join(self.regions)} ({self.topology})>"


def _once(known: dict[str, T], what: str, name: str, declared: T) -> T:
    """Take up a declaration under its name."""
    if name in known:
        raise DeclarationError(f"{what} {name} is declared twice")
    known[name] = declared
    return declared


def load_app(target: str) -> App:
    """The app at `target`: a folder with `app.py`, a file, or `module:attribute`.

    Raises:
        AppNotFound: nothing is there, or it defines no App (or more than one and none is called `app`).
    """
    path = Path(target)
    if path.is_dir():
        path = path / "app.py"
    if path.suffix == ".py":
        return _only_app(_module_from(path), str(path))
    from importlib import import_module  # tools load apps by name; a function that serves one never does

    module_name, _, attribute = target.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise AppNotFound(f"{target}: no such folder, file or module") from error
    if not attribute:
        return _only_app(module, target)
    found = getattr(module, attribute, None)
    if not isinstance(found, App):
        raise AppNotFound(f"{target}: {attribute} is not an App")
    return found


def _module_from(path: Path) -> ModuleType:
    if not path.is_file():
        raise AppNotFound(f"{path}: no such file")
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # an app imports the modules beside it by their plain names
    from importlib.util import module_from_spec, spec_from_file_location

    name = f"proa_app_{path.parent.resolve().name}_{path.stem}".replace("-", "_")
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _only_app(module: ModuleType, where: str) -> App:
    named = getattr(module, "app", None)
    if isinstance(named, App):
        return named
    apps = [value for value in module.__dict__.values() if isinstance(value, App)]
    if len(apps) != 1:
        raise AppNotFound(f"{where}: expected one App, found {len(apps)}; name it `app`")
    return apps[0]
