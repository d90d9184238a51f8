"""Failures: which ends of a call speak against the other side, and what they ask for.

A typed 4xx is none: the other side has answered, and would answer the same again. Too many requests (429) is one.
"""

from __future__ import annotations

from collections.abc import Callable

from proa.errors import HttpError

Failures = tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""Which failures are meant: their classes, or a function that says."""


def is_answer(error: BaseException) -> bool:
    """Whether an error is the other side's answer, rather than the lack of one."""
    return isinstance(error, HttpError) and error.status < 500 and error.status != 429


def matches(failures: Failures, error: BaseException) -> bool:
    """Whether `error` is one of those failures."""
    if isinstance(failures, tuple):
        return isinstance(error, failures) and not is_answer(error)
    return failures(error)


def retry_after_s(error: BaseException) -> float | None:
    """How long the other side asked to be left alone, where a failure says so.

    It does so as an attribute `retry_after_s`, or with a header `Retry-After` in its `headers`, in seconds.
    """
    asked = getattr(error, "retry_after_s", None)
    if asked is None and (headers := getattr(error, "headers", None)):
        asked = headers.get("retry-after") or headers.get("Retry-After")
    try:
        return max(0.0, float(asked)) if asked is not None else None
    except (TypeError, ValueError):  # a date: whose clock would it be measured with?
        return None
