"""Where principals come from: identity providers and API keys, declared once with `app.authenticate(...)`.

From then on every route demands a known principal unless it says otherwise: what nobody thought of is closed. What is
revoked, and the keys that were issued, are rows of two tables in mode `any`, which every region writes and reads on its
own: neither needs another region, the global store or the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from proa.core.identity import apikey
from proa.core.identity.apikey import KeyRow
from proa.core.identity.keys import Freshness
from proa.core.identity.principal import Principal
from proa.core.identity.revocation import Revocation, target
from proa.core.identity.token import TIME_MAX_S, Expected
from proa.core.replicate import merge
from proa.declare.context import Context
from proa.errors import DeclarationError, Unprocessable

if TYPE_CHECKING:
    from proa.declare.tables import Table

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""What a token may be signed with: asymmetric only, so that a published key can never pass for a shared secret."""
LEEWAY_MAX_S = 300.0
REVOCATIONS = "proa_revocations"
KEYS = "proa_api_keys"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Oidc(msgspec.Struct, frozen=True):
    """An OpenID Connect provider, or any other issuer of signed JWTs.

    Attributes:
        issuer: what `iss` must be.
        audience: one of these must be in `aud`: tokens for others are not for us.
        jwks_url: where its keys are; found by OpenID discovery unless given.
        algorithms: what it signs with. Asymmetric ones only.
        leeway_s: how far its clock may differ from ours, at most five minutes.
        lifetime_max_s: tokens that are valid for longer are refused, so that revocations need not be kept for ever.
        fresh_s: for how long keys serve before they are fetched again.
        stale_s: for how long they serve while the provider does not answer.
        cooldown_s: how long it is left alone after each question, whatever key ids turn up.
        scope_claims: where scopes are looked for, the first that is there counts.
        roles_claim: where roles are; a dot leads into an object (`realm_access.roles`).
        tenant_claim: where the tenant is, if tokens name one; then every token must.
    """

    issuer: str
    audience: str | tuple[str, ...]
    jwks_url: str = ""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway_s: float = 30.0
    lifetime_max_s: float = 24 * 3600.0
    fresh_s: float = 300.0
    stale_s: float = 24 * 3600.0
    cooldown_s: float = 5.0
    scope_claims: tuple[str, ...] = ("scope", "scp")
    roles_claim: str = "roles"
    tenant_claim: str = ""

    def __post_init__(self) -> None:
        where = f"identity provider {self.issuer!r}"
        if not self.issuer or not self.expected.audiences or not all(self.expected.audiences):
            raise DeclarationError(f"{where}: an issuer and an audience are needed")
        for url in (self.jwks_url,) if self.jwks_url else (self.issuer,):
            if not may_be_asked(url):
                raise DeclarationError(f"{where}: keys come by https only (http on this machine), not from {url!r}")
        if not self.algorithms or not set(self.algorithms) <= set(ALGORITHMS):
            raise DeclarationError(f"{where}: algorithms are of {', '.join(ALGORITHMS)}, got {self.algorithms!r}")
        if not 0 <= self.leeway_s <= LEEWAY_MAX_S or self.lifetime_max_s <= 0:
            raise DeclarationError(
                f"{where}: leeway_s is 0 to {LEEWAY_MAX_S:g} and lifetime_max_s positive, got {self.leeway_s:g} and "
                f"{self.lifetime_max_s:g}"
            )
        try:
            _ = self.freshness  # it checks itself
        except ValueError as error:
            raise DeclarationError(f"{where}: {error}") from None

    @property
    def expected(self) -> Expected:
        """What its tokens must be like."""
        return Expected(
            self.issuer,
            frozenset((self.audience,) if isinstance(self.audience, str) else self.audience),
            self.algorithms,
            self.leeway_s,
            self.lifetime_max_s,
            self.scope_claims,
            tuple(self.roles_claim.split(".")),
            self.tenant_claim,
        )

    @property
    def freshness(self) -> Freshness:
        """How long its keys serve."""
        return Freshness(self.fresh_s, self.stale_s, self.cooldown_s)


def may_be_asked(url: str) -> bool:
    """Whether keys may be fetched from there: nobody on the way can change them, or there is no way."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))


class ApiKeys(msgspec.Struct, frozen=True):
    """API keys that this app issues itself (`Authentication.keys`), sent as a bearer token or in `header`."""

    header: str = "x-api-key"


class Options(msgspec.Struct, frozen=True):
    """How credentials are remembered: so many, and each looked at again for a revocation every `recheck_s`."""

    recheck_s: float = 1.0
    remembered: int = 10_000

    def __post_init__(self) -> None:
        if self.recheck_s < 0 or self.remembered < 1:
            raise DeclarationError(
                f"authenticate: recheck_s must not be negative and remembered positive, got {self.recheck_s:g} and "
                f"{self.remembered}"
            )


DeclareTable = Callable[..., Any]


class Authentication:
    """What `app.authenticate` returns: revokes credentials, and issues API keys (`keys`), inside handlers."""

    def __init__(self, sources: Collection[Oidc | ApiKeys], options: Options, table: DeclareTable) -> None:
        self.options = options
        self.providers = {source.issuer: source for source in sources if isinstance(source, Oidc)}
        headers = [source.header.lower() for source in sources if isinstance(source, ApiKeys)]
        if not sources or len(self.providers) + len(headers) != len(sources) or len(headers) > 1:
            raise DeclarationError("authenticate takes identity providers, each issuer once, and ApiKeys at most once")
        self.header = headers[0] if headers else ""
        self.revocations: Table[Revocation] = table(
            REVOCATIONS,
            Revocation,
            key="target",
            mode="any",
            merge=merge.fields(before=max),
            expires="expires_at",
        )
        self._keys = Keys(table) if headers else None

    @property
    def keys(self) -> Keys:
        """The API keys.

        Raises:
            DeclarationError: none were declared.
        """
        if self._keys is None:
            raise DeclarationError("declare app.authenticate(..., ApiKeys()) to issue API keys")
        return self._keys

    async def revoke(self, principal: Principal, ctx: Context, *, reason: str = "") -> None:
        """Revoke the one credential that this principal showed.

        Raises:
            Unprocessable: it is a token without an id (`jti`); revoke its subject.
        """
        if principal.credential == "key":
            await self.keys.end(principal.id, ctx)
            return
        if not principal.id:
            raise Unprocessable("this token has no id of its own (`jti`) by which it could be revoked")
        name = target("credential", principal.issuer, principal.id)
        await self._revoke(name, TIME_MAX_S, principal.expires_at + LEEWAY_MAX_S, ctx, reason)

    async def revoke_subject(self, issuer: str, subject: str, ctx: Context, *, reason: str = "") -> None:
        """Revoke all that the subject was issued up to now, and for the issuer's leeway from now on.

        The issuer's clock may be ahead of this one, so a token of the next moments may be one of before.
        """
        await self._revoke_before(target("subject", issuer, subject), issuer, ctx, reason)

    async def revoke_issuer(self, issuer: str, ctx: Context, *, reason: str = "") -> None:
        """Revoke all that the issuer has issued up to now: its signing key was stolen, and has been replaced."""
        await self._revoke_before(target("issuer", issuer), issuer, ctx, reason)

    async def _revoke_before(self, name: str, issuer: str, ctx: Context, reason: str) -> None:
        provider = self.providers.get(issuer)
        if provider is None and issuer != apikey.ISSUER:
            raise Unprocessable("no identity provider of this app has this issuer")
        before = ctx.now() + (provider.leeway_s if provider else 0.0)
        ends_at = before + provider.lifetime_max_s + LEEWAY_MAX_S if provider else None
        await self._revoke(name, before, ends_at, ctx, reason)

    async def _revoke(self, name: str, before: float, ends_at: float | None, ctx: Context, reason: str) -> None:
        """Write the row, which never takes anything back, whatever the clock of this region shows."""
        known = await self.revocations.get(name, None)
        by = ctx.principal.subject if ctx.principal else ""
        until = max(before, known.before) if known else before
        await self.revocations.put(Revocation(name, until, ctx.now(), by, reason, ends_at))


class Keys:
    """API keys. Each is shown once, when it is issued; only a digest is kept."""

    def __init__(self, table: DeclareTable) -> None:
        self.table: Table[KeyRow] = table(
            KEYS, KeyRow, key="id", mode="any", merge=merge.fields(expires_at=_earlier), expires="expires_at"
        )

    async def issue(
        self,
        subject: str,
        ctx: Context,
        *,
        scopes: Collection[str] = (),
        roles: Collection[str] = (),
        tenant: str = "",
        lifetime_s: float | None = None,
    ) -> str:
        """A new key for `subject`, as the text to hand over. Good for `lifetime_s`, or until it is ended."""
        now = ctx.now()
        expires_at = None if lifetime_s is None else now + lifetime_s
        return await self._issue(KeyRow("", b"", subject, sorted(scopes), sorted(roles), tenant, now, expires_at), ctx)

    async def rotate(self, key_id: str, ctx: Context, *, overlap_s: float = 24 * 3600.0) -> str:
        """A successor of a key, for the same subject, scopes and lifetime; the old one is good for `overlap_s` more.

        Raises:
            NotFound: there is no such key any more.
        """
        old, now = await self.table.get(key_id), ctx.now()
        await self.table.put(msgspec.structs.replace(old, expires_at=_earlier(old.expires_at, now + overlap_s)))
        lifetime_s = None if old.expires_at is None else old.expires_at - old.created_at
        expires_at = None if lifetime_s is None else now + lifetime_s
        renewed = msgspec.structs.replace(old, created_at=now, expires_at=expires_at, replaces=key_id)
        return await self._issue(renewed, ctx)

    async def end(self, key_id: str, ctx: Context) -> None:
        """Let a key be good no longer; one that is gone already stays so."""
        if (row := await self.table.get(key_id, None)) is not None:
            await self.table.put(msgspec.structs.replace(row, expires_at=_earlier(row.expires_at, ctx.now())))

    async def _issue(self, row: KeyRow, ctx: Context) -> str:
        secret = ctx.token() + ctx.token()
        key_id = ctx.token()[: 2 * apikey.ID_BYTES]
        await self.table.insert(msgspec.structs.replace(row, id=key_id, digest=apikey.digest_of(secret)))
        return apikey.shown(key_id, secret)


def _earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two ends; None is never."""
    return min((each for each in (one, other) if each is not None), default=None)
