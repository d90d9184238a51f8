"""`proa openapi APP`: the OpenAPI 3.1 document of an app's routes."""

from __future__ import annotations

from proa.cli.output import OK, print_json
from proa.local.plane import declared


def openapi(app: str) -> int:
    """Print the OpenAPI 3.1 document of an app's routes.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
    """
    from proa.declare.openapi import document

    print_json(document(declared(app)))
    return OK
