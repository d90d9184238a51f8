"""One issuer's keys: asks `core.identity.keys` what to do, fetches the JWKS once for all who wait, tells of outages."""

from __future__ import annotations

import asyncio

import msgspec

from proa.core.identity.keys import Fetch, KeyBook, Unavailable, Use
from proa.core.identity.refusal import Refusal
from proa.declare.authentication import Oidc, may_be_asked
from proa.errors import KeysUnavailable
from proa.ports import Clock, Outside, Telemetry
from proa.runtime.identity.events import KeysFetched, KeysNotFetched
from proa.runtime.identity.jose import PublicKey, import_keys

FETCH_S = 2.0
"""How long the provider may take, for each of discovery and keys."""
DISCOVERY = "/.well-known/openid-configuration"


class _Discovered(msgspec.Struct):
    issuer: str
    jwks_uri: str


class KeySource:
    """The keys of one provider, in one region."""

    def __init__(self, provider: Oidc, outside: Outside, clock: Clock, telemetry: Telemetry) -> None:
        self.provider = provider
        self._book: KeyBook[PublicKey] = KeyBook(provider.freshness)
        self._outside = outside
        self._clock = clock
        self._telemetry = telemetry
        self._jwks_url = provider.jwks_url
        self._fetching: asyncio.Task[None] | None = None
        self._answers = True
        self.refusing = False
        """Whether the last token that came could not be verified for want of keys."""

    async def key(self, key_id: str) -> PublicKey:
        """The key by this id.

        Raises:
            Refusal: the provider has none such.
            KeysUnavailable: nobody can tell.
        """
        answer = self._book.ask(key_id, self._clock.monotonic())
        if isinstance(answer, Fetch) or (self._fetching and not isinstance(answer, Use)):
            await asyncio.shield(self._fetch(key_id))
            answer = self._book.ask(key_id, self._clock.monotonic())
        self.refusing = isinstance(answer, Unavailable)
        match answer:
            case Use(key, refresh):
                if refresh:
                    self._fetch("")
                return key
            case Unavailable(retry_s):
                raise KeysUnavailable(
                    f"{self.provider.issuer} does not answer", headers={"retry-after": str(int(retry_s) + 1)}
                )
            case _:
                raise Refusal("unknown_key")

    @property
    def age_s(self) -> float:
        """Seconds since the provider last answered."""
        return self._book.age_s(self._clock.monotonic())

    async def run(self) -> None:
        """Keep the keys fresh, so that requests seldom wait for them."""
        while True:
            await self._clock.sleep(self._book.due_s(self._clock.monotonic()))
            await asyncio.shield(self._fetch(""))

    def stop(self) -> None:
        """Wait for nobody any more."""
        if self._fetching:
            self._fetching.cancel()

    def _fetch(self, wanted: str) -> asyncio.Task[None]:
        """Fetch the keys; whoever wants them meanwhile waits for the same answer."""
        if self._fetching is None:
            self._book.asking(self._clock.monotonic())
            self._fetching = asyncio.get_running_loop().create_task(self._fetched(wanted))
        return self._fetching

    async def _fetched(self, wanted: str) -> None:
        try:
            keys = import_keys(await self._outside.get(await self._address(), timeout_s=FETCH_S))
        except Exception as error:  # noqa: BLE001 - whatever the provider sends, the keys at hand serve on
            self._jwks_url = self.provider.jwks_url  # it may have moved
            self._tell(answers=False, why=f"{type(error).__name__}: {error}")
        else:
            self._book.heard(keys, self._clock.monotonic(), wanted)
            self.refusing = False
            self._tell(answers=True, count=len(keys))
        finally:
            self._fetching = None

    async def _address(self) -> str:
        """Where the keys are; by discovery, where the app does not say."""
        if not self._jwks_url:
            url = self.provider.issuer.rstrip("/") + DISCOVERY
            found = msgspec.json.decode(await self._outside.get(url, timeout_s=FETCH_S), type=_Discovered)
            if found.issuer != self.provider.issuer or not may_be_asked(found.jwks_uri):
                raise ValueError("its discovery document names another issuer, or keys that do not come by https")
            self._jwks_url = found.jwks_uri
        return self._jwks_url

    def _tell(self, *, answers: bool, count: int = 0, why: str = "") -> None:
        """An outage is told when it begins and when it ends."""
        if answers:
            self._telemetry.emit(KeysFetched(self.provider.issuer, count, after_outage=not self._answers))
        elif self._answers:
            self._telemetry.emit(KeysNotFetched(self.provider.issuer, why))
        self._answers = answers
