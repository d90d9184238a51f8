"""Serverless applications that survive the loss of a region, and prove it first."""

from proa.app import App
from proa.core.replicate import merge
from proa.declare.context import Context
from proa.declare.http import Header, Response
from proa.declare.objectives import Objectives
from proa.declare.queries import Page
from proa.declare.tables import SortedTable, Table
from proa.declare.updates import add, append, assign, remove
from proa.errors import (
    AlreadyExists,
    BadRequest,
    ConditionFailed,
    Forbidden,
    HttpError,
    NotFound,
    ProaError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

__all__ = [
    # An app and what it declares
    "App",
    "Context",
    "Header",
    "Objectives",
    "Page",
    "Response",
    "SortedTable",
    "Table",
    "merge",
    # Changes of a row's fields
    "add",
    "append",
    "assign",
    "remove",
    # Typed answers
    "AlreadyExists",
    "BadRequest",
    "ConditionFailed",
    "Forbidden",
    "HttpError",
    "NotFound",
    "ProaError",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unprocessable",
]
__version__ = "0.1.0"
