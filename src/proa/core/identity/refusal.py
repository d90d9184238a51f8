"""Why credentials are refused: one closed list, which answers, metrics and tests share.

The sentence goes to the client. It names the rule that was broken and nothing of what was sent, so that no part of a
secret comes back, or reaches a log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Reason = Literal[
    "missing",
    "several",
    "malformed",
    "oversized",
    "algorithm",
    "header",
    "no_key_id",
    "unknown_key",
    "signature",
    "claims",
    "issuer",
    "audience",
    "expired",
    "not_yet",
    "lifetime",
    "revoked",
    "api_key",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
SENTENCES: Mapping[Reason, str] = {
    "missing": "the request carries no credentials",
    "several": "the request carries more than one credential",
    "malformed": "the credentials are not of a form that is taken here",
    "oversized": "the token is too long",
    "algorithm": "the token is signed with an algorithm that is not taken here",
    "header": "the token's header demands something that is not taken here",
    "no_key_id": "the token does not say by which key it is signed",
    "unknown_key": "the token is signed by no key of its issuer",
    "signature": "the token's signature does not fit",
    "claims": "the token lacks a claim, or one is of the wrong type",
    "issuer": "the token comes from no issuer that is trusted here",
    "audience": "the token is meant for somebody else",
    "expired": "the token has expired",
    "not_yet": "the token is not valid yet",
    "lifetime": "the token is valid for longer than is taken here",
    "revoked": "the credentials have been revoked",
    "api_key": "the API key is unknown, wrong or has expired",
}


class Refusal(Exception):
    """Credentials are not good enough; the runtime makes a 401 of it and counts it by its reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(SENTENCES[reason])
        self.reason: Reason = reason

    @property
    def sentence(self) -> str:
        """What the client is told."""
        return SENTENCES[self.reason]
