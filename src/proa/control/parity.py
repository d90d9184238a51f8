"""Whether the other regions declare the same tables and routes: told once for each change, acted on by nobody.

During a deployment they do not. Commits replicate all the same: a store keeps rows as bytes, and reads them as its own
code declares them. What may go wrong then is the author's to know, so it is said which region runs what.
"""

from __future__ import annotations

from collections.abc import Mapping

from proa.control.events import SchemaDiffers, SchemaShared
from proa.core.roles import Node
from proa.ports import Telemetry


class Parity:
    """One region's look at the others' beats."""

    def __init__(self, me: str, schema: str, telemetry: Telemetry) -> None:
        self._me = me
        self._schema = schema
        self._telemetry = telemetry
        self._differing: dict[str, str] = {}

    def heard(self, nodes: Mapping[str, Node]) -> None:
        """What the nodes report now."""
        for name, node in nodes.items():
            if node.kind == "region" and name != self._me and node.schema:
                self._judge(node)

    def _judge(self, node: Node) -> None:
        before = self._differing.get(node.name)
        if node.schema == self._schema:
            if self._differing.pop(node.name, None):
                self._telemetry.emit(SchemaShared(node.name))
        elif node.schema != before:
            self._differing[node.name] = node.schema
            self._telemetry.emit(SchemaDiffers(node.name, node.version, node.schema, self._schema))
