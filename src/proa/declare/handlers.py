"""Routes: a method and a path, the handler behind them, and what the runtime and the edge need to know of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import msgspec

from proa.core.dedupe import Idempotency
from proa.declare.binding import Getter, bind, perhaps_principal, principal
from proa.declare.classify import READS, tables_called, written_tables
from proa.declare.context import Context
from proa.declare.http import Request
from proa.declare.identity import ANYBODY_KNOWN, Auth, Requirement
from proa.declare.objectives import Objectives
from proa.declare.tables import BaseTable
from proa.errors import DeclarationError, ProaError

if TYPE_CHECKING:
    from proa.core.policy.cache import Cache
    from proa.core.policy.slots import Concurrency, Priority
    from proa.core.policy.throttle import Throttle
    from proa.declare.duplicates import OnDuplicate
    from proa.declare.mount import Asgi, Mount

Idempotent = bool | Literal["optional"]
"""Whether a route needs a key, heeds one, or knows none."""
UnitClass = Literal["read", "regional", "home", "global"]
DeclaredUnit = Literal["regional", "home", "global"]
Acknowledge = Literal["region", "peer"]
"""Whose disk must have a commit before it is answered: its region's, or another region's besides."""
READ_METHODS = ("GET", "HEAD")
TIMEOUT_S = 5.0
DEFAULT_KEYS = Idempotency()


class Route(msgspec.Struct):
    """One declared route.

    `scope` is the name under which its idempotency keys are kept, and by which logs and metrics call it.
    """

    method: str
    path: str
    scope: str
    handler: Callable[..., Any]
    getters: dict[str, Getter]
    idempotent: Idempotent
    timeout_s: float
    status: int
    objectives: Objectives | None
    declared_unit: DeclaredUnit | None
    declared_acknowledge: Acknowledge | None
    default_acknowledge: Acknowledge
    is_async: bool
    on_duplicate: Callable[..., Any] | None = None
    throttles: tuple[Throttle, ...] = ()
    concurrency: Concurrency | None = None
    priority: Priority = "normal"
    errors: tuple[type[ProaError], ...] = ()
    mount: Mount | None = None
    auth: Auth = ANYBODY_KNOWN
    keys: Idempotency = DEFAULT_KEYS
    documented: bool = True
    cache: Cache | None = None
    fallback: Route | None = None
    _class: UnitClass | None = None
    _needs_role: bool | None = None
    _acknowledge: Acknowledge | None = None

    @property
    def unit(self) -> UnitClass:
        """The class of its units: read-only, or committed in the region, in a row's home, or in the global store.

        It is inferred at first use.
        """
        if self._class is None:
            self._class = self._classify()
        return self._class

    @property
    def acknowledge(self) -> Acknowledge:
        """What its units wait for before they are answered. Global ones commit in one store that is no region's.

        Raises:
            DeclarationError: `peer` was asked for by name, where units commit in no region.
        """
        if self._acknowledge is None:
            self._acknowledge = self._acknowledges()
        return self._acknowledge

    @property
    def needs_role(self) -> bool:
        """Whether its units write `active` tables, as far as its code (or a unit so far) has shown."""
        if self._needs_role is None:
            self._needs_role = any(table.mode == "active" for table in self.writes())
        return self._needs_role

    @needs_role.setter
    def needs_role(self, value: bool) -> None:
        self._needs_role = value

    @property
    def decided_once(self) -> bool:
        """Whether a unit that carries a key is decided in one place, in whichever region it is tried.

        Rows that name their home themselves may name another one in each region.
        """
        if not self.idempotent or self.unit not in ("global", "home"):
            return False
        return self.unit == "global" or not any(table.home for table in self.writes())

    @property
    def knows_principals(self) -> bool:
        """Whether it would have something to say of who asks: a demand of its own, or a parameter."""
        asked = any(getter in (principal, perhaps_principal) for getter in self.getters.values())
        return asked or self.auth not in (None, ANYBODY_KNOWN)

    def writes(self) -> set[BaseTable[Any]]:
        """The tables that the handler's code writes."""
        return written_tables(self.handler)

    def reads(self) -> set[BaseTable[Any]]:
        """The tables that the handler's code reads."""
        return tables_called(self.handler, READS)

    def arguments(self, request: Request, path: Mapping[str, str], context: Context) -> dict[str, Any]:
        """The handler's arguments out of a request; raises BadRequest or Unprocessable."""
        return {name: getter(request, path, context) for name, getter in self.getters.items()}

    def _acknowledges(self) -> Acknowledge:
        if self.unit in ("read", "global"):
            if self.declared_acknowledge == "peer":
                raise DeclarationError(
                    f"{self.scope}: acknowledge is for units that commit in a region; its units are {self.unit}"
                )
            return "region"
        return self.declared_acknowledge or self.default_acknowledge

    def _classify(self) -> UnitClass:
        if self.method in READ_METHODS:
            return "read"
        if self.declared_unit:
            return self.declared_unit
        modes = {table.mode for table in self.writes()}
        return "global" if "strong" in modes else "home" if "home" in modes else "regional"


class ReadOptions(TypedDict, total=False):
    """Options of a read-only route: seconds until its deadline (5 unless given), and objectives of its own.

    `throttle` limits its rate, besides what the app declares; `concurrency` gives it slots of its own; `priority` says
    who goes first where slots are short. `errors` are documented besides those that its code names.
    `auth` says whom it lets in, where the app declares `authenticate`: whoever is known unless given,
    `scopes("orders:read")` or `roles("admin")`, `"optional"` where credentials need not be sent, None for anybody.
    """

    timeout_s: float
    objectives: Objectives | None
    throttle: Throttle | Sequence[Throttle]
    concurrency: Concurrency | None
    priority: Priority
    errors: Sequence[type[ProaError]]
    auth: Auth


class GetOptions(ReadOptions, total=False):
    """Options of a GET route. `cache` lets a region keep its answers for a while: they must be the same for all.

    `fallback` is a handler with the same parameters that answers where the route's own comes to nothing: where it
    raises, takes longer than four fifths of the time, or meets a store or a dependency that cannot answer. It has the
    rest of the time, and the answer says so (`proa-degraded`).
    """

    cache: Cache | None
    fallback: Callable[..., Any] | None


class RouteOptions(ReadOptions, total=False):
    """Options of a writing route.

    `idempotent=True` requires an Idempotency-Key, `"optional"` heeds one if it is sent; an `Idempotency` says what is
    made of it besides. `status` is that of a plain
    result (200). `unit` overrules the class that Proa infers from the handler's code. `on_duplicate` is called where
    two regions finished one key each for itself: `async def undo(duplicate: Duplicate, ctx: Context)`.
    `acknowledge="peer"` answers a regional unit only when another region has its commit durable too (the app's own
    `acknowledge` unless given).
    """

    idempotent: Idempotent | Idempotency
    status: int
    unit: DeclaredUnit | None
    on_duplicate: OnDuplicate | None
    acknowledge: Acknowledge | None


def route(
    method: str,
    path: str,
    handler: Callable[..., Any],
    options: GetOptions | RouteOptions,
    acknowledge: Acknowledge = "region",
    getters: dict[str, Getter] | None = None,
) -> Route:
    """Check a declaration and make the route of it."""
    if not path.startswith("/") or path.startswith("/_proa"):
        raise DeclarationError(f"{method} {path}: a path starts with / and not with /_proa, which is Proa's own")
    timeout_s = options.get("timeout_s", TIMEOUT_S)
    if timeout_s <= 0:
        raise DeclarationError(f"{method} {path}: timeout_s must be positive, got {timeout_s:g}")
    getters = bind(handler, method, path) if getters is None else getters
    auth = options.get("auth", ANYBODY_KNOWN)
    if not isinstance(auth, Requirement) and principal in getters.values():
        raise DeclarationError(
            f"{method} {path}: auth={auth!r} lets in whom nobody knows, but a parameter needs a Principal; "
            "annotate it `Principal | None`"
        )
    asked = options.get("idempotent", False)
    return Route(
        method=method,
        path=path,
        scope=f"{method} {path}",
        handler=handler,
        getters=getters,
        idempotent=_idempotent(asked),
        timeout_s=timeout_s,
        status=options.get("status", 200),
        objectives=options.get("objectives"),
        declared_unit=options.get("unit"),
        declared_acknowledge=options.get("acknowledge"),
        default_acknowledge=acknowledge,
        is_async=inspect.iscoroutinefunction(handler),
        on_duplicate=_on_duplicate(f"{method} {path}", options),
        throttles=_throttles(options.get("throttle", ())),
        concurrency=options.get("concurrency"),
        priority=_priority(f"{method} {path}", options.get("priority", "normal")),
        errors=tuple(options.get("errors", ())),
        auth=auth,
        keys=asked if isinstance(asked, Idempotency) else DEFAULT_KEYS,
        cache=options.get("cache"),
        fallback=_fallback(method, path, options),
    )


def _fallback(method: str, path: str, options: GetOptions | RouteOptions) -> Route | None:
    """A route's degraded handler, as a route of the same name."""
    handler: Callable[..., Any] | None = options.get("fallback")
    if handler is None:
        return None
    return route(method, path, handler, {"auth": options.get("auth", ANYBODY_KNOWN)})


def mounted(prefix: str, app: Asgi, options: RouteOptions) -> list[Route]:
    """A route for each method, for every path under the prefix. Those that may write heed keys unless told not to."""
    from proa.declare.mount import METHODS, Mount, checked_prefix, whole, within  # few apps mount any

    mount = Mount(checked_prefix(prefix), app)
    made: list[Route] = []
    for method in METHODS:
        reads = method in (*READ_METHODS, "OPTIONS")
        chosen: RouteOptions = (
            {**options, "idempotent": False} if reads else {"idempotent": "optional", "unit": "regional", **options}
        )
        one = route(method, f"{prefix}/*", mount.__call__, chosen, getters={"request": whole, "ctx": within})
        one.mount = mount
        made.append(one)
    return made


def _throttles(declared: Throttle | Sequence[Throttle]) -> tuple[Throttle, ...]:
    return tuple(declared) if isinstance(declared, Sequence) else (declared,)


def _priority(scope: str, priority: Priority) -> Priority:
    if priority not in ("high", "normal", "low"):
        raise DeclarationError(f"{scope}: priority is high, normal or low, not {priority!r}")
    return priority


def _idempotent(asked: Idempotent | Idempotency) -> Idempotent:
    if isinstance(asked, Idempotency):
        return True if asked.required else "optional"
    return asked


def _on_duplicate(scope: str, options: GetOptions | RouteOptions) -> Callable[..., Any] | None:
    if (handler := options.get("on_duplicate")) is None:
        return None
    from proa.declare.duplicates import check_handler  # few routes have one

    return check_handler(scope, options.get("idempotent"), handler)
