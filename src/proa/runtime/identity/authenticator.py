"""From a request to its principal. Warm: one look-up, no await. Cold: form, key, signature, claims, revocations.

What was verified is remembered until it ends, and looked at again every `recheck_s` for a revocation, in this region's
own store. So a revocation takes effect here within `recheck_s` of its arrival, and nothing outside the region is asked
about a token whose key is at hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from proa.core.identity import apikey
from proa.core.identity.memory import Memory, Verified
from proa.core.identity.principal import Principal
from proa.core.identity.refusal import Refusal
from proa.core.identity.revocation import revoked, targets
from proa.core.identity.token import issuer_of, judge, parse
from proa.core.replicate.journal import Row
from proa.declare.authentication import Authentication, Oidc
from proa.declare.http import Request
from proa.declare.tables import BaseTable
from proa.errors import DeclarationError, ProaError, Unauthorized
from proa.ports import Clock, Outside, RegionStore, Telemetry
from proa.runtime.identity.events import CredentialsRefused, CredentialsVerified

if TYPE_CHECKING:
    from proa.runtime.identity.keys import KeySource

BEARER = "bearer "


class Authenticator:
    """Finds out who asks, in one region."""

    def __init__(
        self,
        realm: str,
        declared: Authentication,
        store: RegionStore,
        outside: Outside,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._realm = realm_of(realm)
        self._declared = declared
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._memory = Memory(declared.options.remembered)
        self._recheck_s = declared.options.recheck_s
        self._header = declared.header  # where there is none, the name of no header
        ends = (outside, clock, telemetry)
        self.sources = {issuer: _source(provider, ends) for issuer, provider in declared.providers.items()}
        self._expected = {issuer: provider.expected for issuer, provider in declared.providers.items()}
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to keep keys fresh."""
        loop = asyncio.get_running_loop()
        self._running = [loop.create_task(source.run()) for source in self.sources.values()]

    def stop(self) -> None:
        """End that."""
        for task in self._running:
            task.cancel()
        for source in self.sources.values():
            source.stop()

    def failing(self) -> str:
        """Whose keys are wanted and not to be had; empty where all is well."""
        return ", ".join(issuer for issuer, source in self.sources.items() if source.refusing)

    # A request's principal.

    async def authenticate(self, request: Request) -> Principal:
        """Who sent a request.

        Raises:
            Unauthorized: nobody that can be believed.
            KeysUnavailable: the keys to find that out are not to be had.
        """
        found = self.principal(request)
        return found if isinstance(found, Principal) else await found

    def principal(self, request: Request) -> Principal | Awaitable[Principal]:
        """The same; at once where it is remembered."""
        text = self._credential(request.headers)
        known = self._memory.get(text)
        if known is not None and self._clock.monotonic() < known.fresh_until:
            return known.principal
        return self._looked_at(text)

    def presents(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries any credentials."""
        return "authorization" in headers or self._header in headers

    def _credential(self, headers: Mapping[str, str]) -> str:
        """The one credential of a request, as it was sent."""
        bearer, key = headers.get("authorization"), headers.get(self._header)
        if bearer is not None and key is not None:
            raise self._refused(Refusal("several"))
        text = key if bearer is None else bearer
        if text is None:
            raise self._refused(Refusal("missing"))
        return text

    async def _looked_at(self, text: str) -> Principal:
        try:
            principal = await self._verified(text)
        except Refusal as refusal:
            self._memory.drop(text)
            raise self._refused(refusal) from None
        return principal

    async def _verified(self, text: str) -> Principal:
        """Verify a credential, or one that is remembered once more."""
        known = self._memory.get(text)
        if known is None or known.principal.credential == "key":
            known = await self._verify(text)
        elif known.until <= self._clock.now():
            raise Refusal("expired")
        await self._check_revocations(known.principal)
        known.fresh_until = self._clock.monotonic() + min(self._recheck_s, known.until - self._clock.now())
        self._memory.put(text, known)
        return known.principal

    async def _verify(self, text: str) -> Verified:
        bare = text[len(BEARER) :].strip() if text[: len(BEARER)].lower() == BEARER else text
        if "," in bare:
            raise Refusal("several")
        if bare.startswith(apikey.PREFIX):
            if not self._header:
                raise Refusal("api_key")
            return await self._key(bare)
        if bare is text or not bare.isascii():
            raise Refusal("malformed")
        return await self._token(bare)

    async def _token(self, text: str) -> Verified:
        token = parse(text)
        issuer = issuer_of(token)
        source = self.sources.get(issuer)
        if source is None:
            raise Refusal("issuer")
        expected = self._expected[issuer]
        if token.algorithm not in expected.algorithms:
            raise Refusal("algorithm")
        key = await source.key(token.key_id)
        if token.algorithm not in key.algorithms:
            raise Refusal("algorithm")
        if not key.signed(token):
            raise Refusal("signature")
        principal = judge(token, expected, self._clock.now())
        self._telemetry.emit(CredentialsVerified("token"))
        return Verified(principal, principal.expires_at + expected.leeway_s)

    async def _key(self, text: str) -> Verified:
        key_id, secret = apikey.parse(text)
        table = self._declared.keys.table
        (row,) = await self._rows(table, (key_id,))
        principal = apikey.judge(secret, table.decode(row.value) if row and row.value else None, self._clock.now())
        self._telemetry.emit(CredentialsVerified("key"))
        return Verified(principal, principal.expires_at)

    async def _check_revocations(self, principal: Principal) -> None:
        table = self._declared.revocations
        found = await self._rows(table, targets(principal))
        if revoked(principal, [table.decode(row.value) for row in found if row and row.value]):
            raise Refusal("revoked")

    async def _rows(self, table: BaseTable[Any], keys: tuple[str, ...]) -> list[Row | None]:
        """Rows of this region's own store that are still there."""
        now = self._clock.now()
        rows = await self._store.read([(table.name, key) for key in keys])
        return [row if row and row.alive(now) else None for row in rows]

    # Refusals.

    def _refused(self, refusal: Refusal) -> ProaError:
        self._telemetry.emit(CredentialsRefused(refusal.reason))
        return Unauthorized(refusal.sentence, headers={"www-authenticate": self._challenge(refusal)})

    def _challenge(self, refusal: Refusal) -> str:
        """What RFC 6750 says to whom it does not let in; nothing of an error to whom has shown nothing."""
        realm = f'Bearer realm="{self._realm}"'
        if refusal.reason == "missing":
            return realm
        return f'{realm}, error="invalid_token", error_description="{refusal.sentence}"'


def realm_of(app: str) -> str:
    """An app's name as it may stand in a header, between quotes."""
    return "".join(letter for letter in app if letter.isascii() and letter.isprintable() and letter not in '"\\')


def _source(provider: Oidc, ends: tuple[Outside, Clock, Telemetry]) -> KeySource:
    try:
        from proa.runtime.identity.keys import KeySource  # it brings the cryptography
    except ModuleNotFoundError as error:
        raise DeclarationError(f"an identity provider needs the extra `proa[auth]`: {error}") from error
    return KeySource(provider, *ends)
