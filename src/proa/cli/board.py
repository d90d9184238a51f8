"""The live table of `proa dev`: each node with its port, role and verdict, below the stream of events."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import msgspec
from rich.live import Live
from rich.table import Table

from proa.cli.events import line
from proa.cli.output import console
from proa.core.situation import Situation
from proa.local.cluster import Cluster

_COLOURS = {"healthy": "green", "failing": "yellow", "down": "red", "active": "green", "fenced": "red"}


class Board:
    """Events scroll by; the table stays."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._live: Live | None = None
        self._cluster: Cluster | None = None

    def tell(self, event: msgspec.Struct) -> None:
        """Print an event above the table."""
        self._console.print(line(event), markup=False)

    @contextmanager
    def live(self, cluster: Cluster) -> Generator[None]:
        """Keep the table on the screen while the block runs."""
        self._cluster = cluster
        with Live(Table(), console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, situation: Situation, now: float) -> None:
        """Draw the table anew."""
        if self._live and self._cluster:
            self._live.update(table(self._cluster, situation, now), refresh=True)


def table(cluster: Cluster, situation: Situation, now: float) -> Table:
    """The system at this moment."""
    roles = situation.assignment.roles if situation.assignment else {}
    verdicts = situation.verdicts(now)
    drawn = Table("node", "address", "role", "verdict", "process", title=_title(cluster, situation))
    for name, node in cluster.config.nodes.items():
        role = roles.get(name, node.kind)
        verdict = verdicts.get(name, "")
        process = str(cluster.pid(name)) if cluster.running(name) else "ended"
        drawn.add_row(name, str(node.http or node.link), _coloured(role), _coloured(verdict), process)
    return drawn


def _title(cluster: Cluster, situation: Situation) -> str:
    epoch = f"epoch {situation.assignment.epoch}" if situation.assignment else "no roles yet"
    plan = situation.plan
    open_plan = f" - plan {plan.id}: {plan.kind}, {plan.step}" if plan and plan.open else ""
    return f"{cluster.edge_url} - {epoch}{open_plan}"


def _coloured(word: str) -> str:
    colour = _COLOURS.get(word)
    return f"[{colour}]{word}[/{colour}]" if colour else word
