"""Structured logs: one JSON line an event, on standard error.

Every line has `level`, `time` (UTC), `node` and `event`; a region's lines also carry `unit` and `trace` where there is
one. Values under a name that speaks of a secret are never written. `setup` is called once by a process; events of the
hub reach the log through `subscriber`, and the standard library's loggers (uvicorn, asyncio) through a handler.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, cast

import msgspec
import structlog

from proa.ports import Severity

_LEVELS: Mapping[Severity, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_SECRET_WORDS = ("secret", "token", "password", "authorization", "cookie", "credential", "private")
REDACTED = "[redacted]"
CONCEALED_MIN = 8
"""Shorter values are not looked for: they would be found everywhere."""
_threshold = logging.INFO
_concealed: dict[str, None] = {}


def setup(node: str, level: Severity = "info") -> None:
    """Write this process's log lines, and those of the libraries it uses, as JSON to standard error."""
    global _threshold  # noqa: PLW0603 - a process has one log
    _threshold = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(node=node)
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(_LEVELS[level], logging.INFO))


def subscriber(event: msgspec.Struct) -> None:
    """Log an event of the hub: its class's name in lower case words, its fields, its declared `severity`."""
    severity = _severity(event)
    if _LEVELS[severity] >= _threshold and structlog.is_configured():
        fields = {name: value for name in event.__struct_fields__ if (value := getattr(event, name)) not in ("", None)}
        with contextlib.suppress(OSError):  # a full disk may cost log lines, never the node
            getattr(structlog.get_logger(), severity)(name_of(type(event)), **fields)


def name_of(kind: type) -> str:
    """`BreakerOpened` -> `breaker opened`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
    return words.strip()


def redact(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put a placeholder for every value whose name speaks of a secret, and for what is concealed, at any depth."""
    for name, value in line.items():
        line[name] = _clean(name, value)
    return line


def conceal(values: Iterable[str]) -> None:
    """Put a placeholder for these values from now on, wherever they stand in a line, under whatever name."""
    _concealed.update({value: None for value in values if len(value) >= CONCEALED_MIN})


def _hidden(text: str) -> str:
    for value in _concealed:
        if value in text:
            text = text.replace(value, REDACTED)
    return text


def _clean(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET_WORDS):
        return REDACTED
    if isinstance(value, str) and _concealed:
        return _hidden(value)
    if isinstance(value, list):
        return [_clean(name, item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in cast(dict[Any, Any], value).items()}
    return value


def _severity(event: msgspec.Struct) -> Severity:
    return getattr(event, "severity", "info")


def _encode(line: Any, **_: Any) -> bytes:
    return msgspec.json.encode(line, enc_hook=repr)


class _Forward(logging.Handler):
    """Hands a standard library record to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger()
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        with contextlib.suppress(OSError):
            logger.log(record.levelno, record.getMessage(), logger_name=record.name, exc_info=exc_info)
