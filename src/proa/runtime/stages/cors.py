"""Which other sites' pages may see answers: told to their browsers, as the Fetch standard says (CORS)."""

from __future__ import annotations

from proa.declare.front import Cors
from proa.declare.http import Answer, Request

PREFLIGHT_METHOD = "access-control-request-method"


class CrossOrigin:
    """Answers preflights, and marks answers that a page of another site may see."""

    def __init__(self, cors: Cors) -> None:
        self._anybody = "*" in cors.origins
        self._origins = frozenset(cors.origins)
        self._common = [("access-control-allow-credentials", "true")] if cors.credentials else []
        self._exposed = ("access-control-expose-headers", ", ".join(cors.exposed))
        self._preflight = [
            ("access-control-allow-methods", ", ".join(cors.methods)),
            ("access-control-allow-headers", ", ".join(cors.headers)),
            ("access-control-max-age", str(cors.max_age_s)),
        ]

    def preflight(self, request: Request) -> Answer | None:
        """The answer to a browser that asks before it sends; None where this is no such question."""
        if request.method != "OPTIONS" or PREFLIGHT_METHOD not in request.headers:
            return None
        allowed = self._allowed(request)
        return Answer(204, [*allowed, *self._preflight] if allowed else [("vary", "origin")], b"")

    def marks(self, request: Request) -> list[tuple[str, str]]:
        """The headers that let the page that asks see the answer; for others only that the answer depends on it."""
        allowed = self._allowed(request)
        return [*allowed, self._exposed] if allowed else ([] if self._anybody else [("vary", "origin")])

    def _allowed(self, request: Request) -> list[tuple[str, str]]:
        origin = request.headers.get("origin", "")
        if self._anybody and origin:
            return [("access-control-allow-origin", "*")]
        if origin in self._origins:
            return [("access-control-allow-origin", origin), ("vary", "origin"), *self._common]
        return []
