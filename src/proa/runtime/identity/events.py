"""What happens where credentials are looked at, as events for logs and metrics. None of them holds a part of one."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proa.observe.hub import Subscriber
from proa.observe.metrics import Registry
from proa.ports import Severity


class CredentialsVerified(msgspec.Struct, frozen=True):
    """A token or key was verified that was not remembered."""

    severity: ClassVar[Severity] = "debug"
    credential: str


class CredentialsRefused(msgspec.Struct, frozen=True):
    """A request's credentials were not good enough. Nothing of them is told."""

    severity: ClassVar[Severity] = "debug"
    reason: str


class PrincipalForbidden(msgspec.Struct, frozen=True):
    """Somebody known asked for what their scopes and roles do not allow."""

    severity: ClassVar[Severity] = "debug"
    route: str


class KeysFetched(msgspec.Struct, frozen=True):
    """An identity provider told its keys."""

    issuer: str
    count: int
    after_outage: bool

    @property
    def severity(self) -> Severity:
        """The end of an outage is news; another answer is not."""
        return "info" if self.after_outage else "debug"


class KeysNotFetched(msgspec.Struct, frozen=True):
    """An identity provider does not tell its keys any more; those at hand serve on for a while."""

    severity: ClassVar[Severity] = "warning"
    issuer: str
    detail: str


def measured(metrics: Registry) -> Subscriber:
    """A subscriber of the hub that counts them."""

    def on_event(event: msgspec.Struct) -> None:
        if isinstance(event, CredentialsRefused):
            metrics.count("proa_credentials_refused_total", ("reason", event.reason))
        elif isinstance(event, CredentialsVerified):
            metrics.count("proa_credentials_verified_total", ("credential", event.credential))
        elif isinstance(event, PrincipalForbidden):
            metrics.count("proa_forbidden_total", ("route", event.route))
        elif isinstance(event, KeysFetched | KeysNotFetched):
            result = "answered" if isinstance(event, KeysFetched) else "failed"
            metrics.count("proa_identity_fetches_total", ("issuer", event.issuer), ("result", result))

    return on_event
