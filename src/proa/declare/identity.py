"""Who asks: what authentication found out of a request, for the stages after it and for handlers.

The stage `authenticate` of `runtime.admission` puts it on the request (`arrival.request.principal = ...`) or raises
Unauthorized or Forbidden; a route without a declared `auth` has no such stage.
"""

from __future__ import annotations

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Who a request comes from.

    `subject` is unique among all that the app knows; `tenant` is whom fairness counts it to (the subject itself
    unless it belongs to somebody).
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    tenant: str = ""
