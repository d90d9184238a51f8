"""CloudEvents 1.0: events as other systems send and take them, as JSON or over HTTP.

`to_json` and `from_json` are the structured mode (one document), `to_http` and `from_http` the binary one (attributes
in headers, data in the body); `from_http` takes either. Nothing here sends: what came in is emitted by the author, and
what goes out is made of a message.

Source: CloudEvents 1.0.2, its JSON event format and HTTP protocol binding (cloudevents.io).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from proa.declare.codec import to_json as _json_of
from proa.declare.queues import Message
from proa.errors import BadRequest

JSON = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_SPEC = "1.0"
_REQUIRED = ("id", "source", "type")
_OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")
_NAME = re.compile(r"[a-z0-9]+")
_PLAIN = re.compile(r"""[^!#$&-~]""")
"""What a header's value does not hold as it is: a space, a quotation mark, a percent sign, and all beyond ASCII."""
Extension = str | int | bool


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event. `data` is a JSON value, or bytes; `time` as RFC 3339 has it; `extensions` are further attributes."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None
    extensions: dict[str, Extension] = {}


def of(message: Message[Any]) -> CloudEvent:
    """The event that a subscription's message tells of."""
    about = dict(message.about)
    extensions: dict[str, Extension] = {"dataversion": about.get("dataversion", "1")}
    if message.trace:
        extensions["traceparent"] = message.trace
    return CloudEvent(
        id=about["id"],
        source=about["source"],
        type=about["type"],
        subject=about.get("subject"),
        time=about["time"],
        datacontenttype="application/json",
        dataschema=about.get("dataschema"),
        data=msgspec.json.decode(_json_of(message.body)),
        extensions=extensions,
    )


def timestamp(at: float) -> str:
    """A time in seconds since 1970 as RFC 3339 has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# One JSON document.


def to_json(event: CloudEvent) -> bytes:
    """An event as one JSON document, of content type `application/cloudevents+json`."""
    return msgspec.json.encode(_document(event))


def from_json(document: bytes) -> CloudEvent:
    """The event that a JSON document holds.

    Raises:
        BadRequest: it is none.
    """
    return _event(_decoded(document))


def to_batch(events: Sequence[CloudEvent]) -> bytes:
    """Several events as one JSON document, of content type `application/cloudevents-batch+json`."""
    return msgspec.json.encode([_document(event) for event in events])


def from_batch(document: bytes) -> list[CloudEvent]:
    """The events that a JSON document of a batch holds.

    Raises:
        BadRequest: it is none.
    """
    decoded = _decoded(document)
    if not isinstance(decoded, list):
        raise BadRequest("a batch of CloudEvents is a JSON array")
    return [_event(one) for one in decoded]  # pyright: ignore[reportUnknownVariableType]


def _document(event: CloudEvent) -> dict[str, Any]:
    document: dict[str, Any] = {"specversion": _SPEC, **_attributes(event)}
    if isinstance(event.data, bytes):
        document["data_base64"] = base64.b64encode(event.data).decode()
    elif event.data is not None:
        document["data"] = event.data
    return document


def _attributes(event: CloudEvent) -> dict[str, Extension]:
    """The attributes that an event has, by name."""
    for name in event.extensions:
        if not _NAME.fullmatch(name) or name in ("data", "specversion", *_REQUIRED, *_OPTIONAL):
            raise BadRequest(f"{name!r} is no name of an extension: lower-case letters and digits, and not taken")
    named = {name: getattr(event, name) for name in (*_REQUIRED, *_OPTIONAL)}
    return {name: value for name, value in (named | event.extensions).items() if value is not None}


def _decoded(document: bytes) -> Any:
    try:
        return msgspec.json.decode(document)
    except ValueError as error:
        raise BadRequest(f"a CloudEvent is a JSON document: {error}") from error


def _event(document: Any) -> CloudEvent:
    if not isinstance(document, dict):
        raise BadRequest("a CloudEvent is a JSON object")
    attributes: dict[str, Any] = {name: value for name, value in document.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]
    data = attributes.pop("data", None)
    if (encoded := attributes.pop("data_base64", None)) is not None:
        data = _bytes(encoded)
    return _made(attributes, data)


def _bytes(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadRequest(f"data_base64 is no Base64: {error}") from error


def _made(attributes: dict[str, Any], data: Any) -> CloudEvent:
    """An event of checked attributes."""
    if (spec := attributes.pop("specversion", None)) != _SPEC:
        raise BadRequest(f"specversion must be {_SPEC}, got {spec!r}")
    for name in _REQUIRED:
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise BadRequest(f"a CloudEvent has {name!r}, a text that is not empty")
    for name, value in attributes.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str | int | bool):
            raise BadRequest(
                f"{name!r} is no attribute: its name has lower-case letters and digits, its value is plain"
            )
    if not isinstance(attributes.get("subject", ""), str):
        raise BadRequest("subject is a text")
    if "time" in attributes:
        _check_time(attributes["time"])
    known = {name: attributes.pop(name) for name in (*_REQUIRED, *_OPTIONAL) if name in attributes}
    return CloudEvent(**known, data=data, extensions=attributes)


def _check_time(time: Any) -> None:
    try:
        zone = datetime.fromisoformat(time).tzinfo
    except (TypeError, ValueError):
        zone = None
    if zone is None:
        raise BadRequest(f"time {time!r} is not as RFC 3339 has it")


# Over HTTP.


def to_http(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """An event as headers and a body."""
    attributes = _attributes(event)
    content_type = attributes.pop("datacontenttype", None)
    headers = {"ce-specversion": _SPEC}
    headers |= {f"ce-{name}": _escaped(_shown(value)) for name, value in attributes.items()}
    if isinstance(event.data, bytes):
        return headers | {"content-type": str(content_type or "application/octet-stream")}, event.data
    if event.data is None:
        return headers | ({"content-type": str(content_type)} if content_type else {}), b""
    if content_type and not _is_json(str(content_type)) and isinstance(event.data, str):
        return headers | {"content-type": str(content_type)}, event.data.encode()
    return headers | {"content-type": str(content_type or "application/json")}, msgspec.json.encode(event.data)


def from_http(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event of a request, in either mode. `headers` are those of the request, with names in lower case.

    Raises:
        BadRequest: it holds none; a batch is read by `from_batch`.
    """
    content_type = headers.get("content-type", "")
    if content_type.startswith(BATCH):
        raise BadRequest("the request holds a batch of CloudEvents")
    if content_type.startswith(JSON):
        return from_json(body)
    attributes = {name[3:]: _unescaped(value) for name, value in headers.items() if name.startswith("ce-")}
    if content_type:
        attributes["datacontenttype"] = content_type
    return _made(dict(attributes), _data(content_type, body))


def _data(content_type: str, body: bytes) -> Any:
    if not body:
        return None
    return _decoded(body) if _is_json(content_type) else body


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def _shown(value: Extension) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(value: str) -> str:
    return _PLAIN.sub(lambda sign: "".join(f"%{byte:02X}" for byte in sign[0].encode()), value)


def _unescaped(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError as error:
        raise BadRequest(f"header value {value!r} is no UTF-8: {error}") from error
