"""Serverless applications that survive the loss of a region, and prove it first."""

from importlib import import_module
from typing import TYPE_CHECKING

from proa.app import App
from proa.core.dedupe import Idempotency
from proa.declare.context import Context
from proa.declare.http import Header, Response
from proa.declare.identity import Principal, roles, scopes
from proa.declare.objectives import Objectives
from proa.declare.tables import SortedTable, Table
from proa.errors import (
    AlreadyExists,
    BadRequest,
    ConditionFailed,
    Forbidden,
    HttpError,
    NotDone,
    NotFound,
    ProaError,
    Rejected,
    SignalTimedOut,
    StepFailed,
    TooManyRequests,
    TryLater,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

if TYPE_CHECKING:
    from proa.core.policy.breaker import Breaker
    from proa.core.policy.budget import Budget
    from proa.core.policy.bulkhead import Bulkhead
    from proa.core.policy.cache import Cache
    from proa.core.policy.fallback import cached
    from proa.core.policy.firewall import Rule
    from proa.core.policy.hedge import Hedge
    from proa.core.policy.limiter import Limit
    from proa.core.policy.retry import Retry
    from proa.core.policy.slots import Concurrency
    from proa.core.policy.throttle import Throttle
    from proa.core.replicate import merge
    from proa.declare import cloudevents
    from proa.declare.authentication import ApiKeys, Oidc
    from proa.declare.caching import purge
    from proa.declare.duplicates import Duplicate
    from proa.declare.effects import EffectKey, effect_key
    from proa.declare.levels import bounded, strong
    from proa.declare.queries import Page
    from proa.declare.queues import Message
    from proa.declare.residency import by
    from proa.declare.sagas import Saga
    from proa.declare.schedules import Tick
    from proa.declare.streams import Change
    from proa.declare.updates import add, append, assign, remove
    from proa.runtime.alone import guard

__all__ = [
    # An app and what it declares
    "App",
    "Change",
    "Context",
    "Duplicate",
    "Header",
    "Message",
    "Objectives",
    "Page",
    "Response",
    "SortedTable",
    "Table",
    "Tick",
    "by",
    "cloudevents",
    "merge",
    # The outside world, and what takes its time
    "EffectKey",
    "NotDone",
    "Saga",
    "SignalTimedOut",
    "StepFailed",
    "effect_key",
    # The way in
    "Concurrency",
    "Rule",
    "Throttle",
    # Keys of requests
    "Idempotency",
    # Who asks
    "ApiKeys",
    "Oidc",
    "Principal",
    "roles",
    "scopes",
    # Changes of a row's fields
    "add",
    "append",
    "assign",
    "remove",
    # What stands between a caller and something that may fail
    "Breaker",
    "Budget",
    "Bulkhead",
    "Cache",
    "Hedge",
    "Limit",
    "Retry",
    "cached",
    "guard",
    "purge",
    # How old a row may be when it is read
    "bounded",
    "strong",
    # Typed answers
    "AlreadyExists",
    "BadRequest",
    "ConditionFailed",
    "Forbidden",
    "HttpError",
    "NotFound",
    "ProaError",
    "Rejected",
    "TooManyRequests",
    "TryLater",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
]
__version__ = "0.1.0"
_WHEN_USED = {
    "Breaker": "proa.core.policy.breaker",
    "Budget": "proa.core.policy.budget",
    "Bulkhead": "proa.core.policy.bulkhead",
    "Cache": "proa.core.policy.cache",
    "Hedge": "proa.core.policy.hedge",
    "Limit": "proa.core.policy.limiter",
    "Retry": "proa.core.policy.retry",
    "cached": "proa.core.policy.fallback",
    "guard": "proa.runtime.alone",
    "purge": "proa.declare.caching",
    "merge": "proa.core.replicate.merge",
    "Change": "proa.declare.streams",
    "Duplicate": "proa.declare.duplicates",
    "Saga": "proa.declare.sagas",
    **dict.fromkeys(("EffectKey", "effect_key"), "proa.declare.effects"),
    "Page": "proa.declare.queries",
    "Message": "proa.declare.queues",
    "cloudevents": "proa.declare.cloudevents",
    "Tick": "proa.declare.schedules",
    "by": "proa.declare.residency",
    "Concurrency": "proa.core.policy.slots",
    "Rule": "proa.core.policy.firewall",
    "Throttle": "proa.core.policy.throttle",
    **dict.fromkeys(("ApiKeys", "Oidc"), "proa.declare.authentication"),
    **dict.fromkeys(("bounded", "strong"), "proa.declare.levels"),
    **dict.fromkeys(("add", "append", "assign", "remove"), "proa.declare.updates"),
}


def __getattr__(name: str) -> object:
    """Load a name that many functions never use, and so start quicker without, when it is first asked for."""
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_WHEN_USED[name])
    found = globals()[name] = getattr(module, name, module)  # `merge` is a module itself
    return found
