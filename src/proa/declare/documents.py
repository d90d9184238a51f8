"""The handlers of `app.document`: they make the document when it is first asked for, when all is declared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from proa.declare.http import Response

if TYPE_CHECKING:
    from proa.declare.openapi import Declarations

Handler = Callable[[], Awaitable[Response]]


def for_programs(app: Declarations) -> Handler:
    """Answers with the document."""

    @cache
    def made() -> bytes:
        from proa.declare.openapi import document

        return msgspec.json.encode(document(app))

    async def openapi() -> Response:
        return Response(made(), headers={"content-type": "application/json"})

    return openapi


def for_people(app: Declarations, json_path: str) -> Handler:
    """Answers with the page."""

    @cache
    def made() -> tuple[str, str]:
        from proa.declare.openapi import document
        from proa.declare.openapi_page import POLICY, page

        return page(document(app), json_path), POLICY

    async def docs() -> Response:
        text, policy = made()
        return Response(text, headers={"content-type": "text/html; charset=utf-8", "content-security-policy": policy})

    return docs
