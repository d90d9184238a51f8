"""What an app declares about the way in, for all of its routes: throttles, firewall, slots, CORS, proxies before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from proa.errors import DeclarationError

if TYPE_CHECKING:
    from proa.core.policy.firewall import Rule
    from proa.core.policy.slots import Concurrency
    from proa.core.policy.throttle import Throttle

LOOPBACK = ("127.0.0.0/8", "::1/128")
BODY_TIMEOUT_S = 10.0
HEAD_TIMEOUT_S = 10.0
HEAD_BYTES_MAX = 32 * 1024
SAFE_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-cache",
}
"""On every answer unless declared otherwise: what it is stays what its type says, nothing frames it, runs in it, or
learns from where it was linked; no cache between gives it to anybody else, whatever credential it was for, and the
client's own asks before it uses it again."""


class Cors(msgspec.Struct, frozen=True):
    """Which other sites' pages may use the app, and what they may send and see.

    `origins` are whole origins such as `https://shop.example`, or `*` for all, which excludes `credentials`.
    """

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = ("authorization", "content-type", "idempotency-key", "proa-session", "traceparent")
    exposed: tuple[str, ...] = ("idempotency-replayed", "proa-region", "proa-session", "ratelimit", "retry-after")
    credentials: bool = False
    max_age_s: int = 600

    def __post_init__(self) -> None:
        if not self.origins:
            raise DeclarationError("cors: name the origins that may use the app, or `*`")
        if "*" in self.origins and (self.credentials or len(self.origins) > 1):
            raise DeclarationError("cors: `*` stands alone, and never with credentials; name the origins instead")


class Front(msgspec.Struct):
    """All that is declared about the way in besides what routes say of themselves."""

    throttles: tuple[Throttle, ...] = ()
    rules: tuple[Rule, ...] = ()
    concurrency: Concurrency | None = None
    cors: Cors | None = None
    trusted_proxies: tuple[str, ...] = LOOPBACK
    country_header: str = ""
    body_timeout_s: float = BODY_TIMEOUT_S
    head_timeout_s: float = HEAD_TIMEOUT_S
    max_head_bytes: int = HEAD_BYTES_MAX
    answer_headers: Mapping[str, str] = msgspec.field(default_factory=lambda: SAFE_HEADERS)


class FrontDoor:
    """The declarations of an app about the way in; `App` is one."""

    def __init__(self) -> None:
        self.front = Front()

    def throttle(self, *throttles: Throttle) -> None:
        """Limit the rate of all routes, besides what each says itself. Each throttle counts by itself."""
        self.front.throttles += throttles

    def firewall(self, *rules: Rule) -> None:
        """Block requests that match a rule, or count them; in the order of declaration."""
        known = {rule.name for rule in self.front.rules}
        for rule in rules:
            if rule.name in known:
                raise DeclarationError(f"firewall rule {rule.name} is declared twice")
            known.add(rule.name)
        self.front.rules += rules

    def concurrency(self, declared: Concurrency) -> None:
        """Bound how many units run at once in a region; shed what cannot be served in time, the least important first.

        Routes with a `concurrency` of their own do not count here.
        """
        self.front.concurrency = declared

    def cors(self, origins: Sequence[str], *, credentials: bool = False, max_age_s: int = 600) -> None:
        """Let pages of other sites use the app. See `Cors`."""
        self.front.cors = Cors(tuple(origins), credentials=credentials, max_age_s=max_age_s)

    def behind(self, *trusted: str, country_header: str = "") -> None:
        """Say which proxies (addresses or CIDR blocks) may be believed about whom they speak for.

        `country_header` is the one in which the outermost tells the client's country, such as
        `cloudfront-viewer-country`. Unless declared, this machine is trusted, and no country is known.
        """
        from proa.core.policy.address import networks  # most apps declare nothing

        networks(trusted, "behind")
        self.front.trusted_proxies, self.front.country_header = trusted, country_header.lower()

    def limits(
        self,
        *,
        body_timeout_s: float = BODY_TIMEOUT_S,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        max_head_bytes: int = HEAD_BYTES_MAX,
    ) -> None:
        """Bound how long a request may take to arrive, its head and its body each, and how large its head may be."""
        if min(body_timeout_s, head_timeout_s, max_head_bytes) <= 0:
            raise DeclarationError("limits: body_timeout_s, head_timeout_s and max_head_bytes must be positive")
        self.front.body_timeout_s, self.front.head_timeout_s = body_timeout_s, head_timeout_s
        self.front.max_head_bytes = max_head_bytes

    def answer_headers(self, headers: Mapping[str, str | None]) -> None:
        """Add headers to every answer, or change the safe ones that are there (see `SAFE_HEADERS`); None: none.

        A handler that sets one itself has the last word.
        """
        named = {name.lower(): value for name, value in headers.items()}
        together = {**self.front.answer_headers, **named}
        self.front.answer_headers = {name: value for name, value in together.items() if value is not None}
