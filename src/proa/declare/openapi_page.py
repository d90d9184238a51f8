"""The OpenAPI document as a page for people: plain HTML, made here, so that it needs no script and no other server."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec

Json = dict[str, Any]
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
summary { cursor: pointer; padding: .4rem 0; }
summary b { display: inline-block; min-width: 4.5rem; font-family: ui-monospace, monospace; }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem; }
pre { overflow: auto; padding: .6rem; border: 1px solid #8886; border-radius: .3rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
details { border-bottom: 1px solid #8884; }
"""


def page(document: Json, json_path: str) -> str:
    """The page of a document that is served at `json_path`."""
    title = escape(document["info"]["title"])
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_code(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style><body>"
        f"<h1>{title}</h1><p>OpenAPI 3.1: <a href='{escape(json_path)}'>{escape(json_path)}</a></p>"
        f"<h2>Routes</h2>{operations}<h2>Schemas</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: Json) -> str:
    parts = "".join(_parts(operation))
    summary = escape(operation["summary"])
    head = f"<b>{method.upper()}</b> <code>{escape(path)}</code> {summary}"
    return f"<details><summary>{head}</summary>{parts}</details>"


def _parts(operation: Json) -> Iterator[str]:
    if (text := operation["description"]) != operation["summary"]:
        yield f"<p>{escape(text)}</p>"
    if operation["parameters"]:
        rows = (
            (one["name"], f"{one['in']}{', required' if one['required'] else ''}", _short(one["schema"]))
            for one in operation["parameters"]
        )
        yield _table(("parameter", "in", "schema"), rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Body: {escape(kind)}</h4>{_code(content['schema'])}"
    answers = (
        (status, answer["description"], _short(next(iter(answer.get("content", {"": {}}).values())).get("schema", {})))
        for status, answer in operation["responses"].items()
    )
    yield _table(("status", "when", "schema"), answers)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _short(schema: Json) -> str:
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else msgspec.json.encode(schema).decode()


def _code(schema: Json) -> str:
    return f"<pre>{escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}</pre>"
