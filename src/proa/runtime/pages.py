"""Pages: what a region tells of itself under `/_proa/`, and the gauges that a scrape asks it for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proa.declare.http import Answer
from proa.observe.metrics import Registry
from proa.ports import Labels
from proa.runtime.gateway import Page, json_page
from proa.runtime.health import Findings
from proa.runtime.status import doubled, status

if TYPE_CHECKING:
    from proa.runtime.region import Region


def pages(region: Region) -> Mapping[str, Page]:
    """The pages by name. Each is made when it is asked for."""
    return {
        "live": lambda: json_page({"status": "pass"}),
        "health": HealthPage(region),
        "metrics": lambda: _metrics(region.metrics),
        "status": lambda: json_page(status(region)),
    }


class HealthPage:
    """A region's verdict on itself, with a status that load balancers understand.

    Everybody asks for it all the time, and it hardly ever says anything else than before: then it is not made anew.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._said: tuple[bool, Findings] | None = None
        self._answer = Answer(503, [], b"")

    def __call__(self) -> Answer:
        said = self._region.readiness.ready(), self._region.monitor.findings()
        if said != self._said:
            self._said, self._answer = said, self._made(*said)
        return self._answer

    def _made(self, ready: bool, findings: Findings) -> Answer:  # noqa: FBT001 - as it was found
        page = findings.page(self._region.name, ready=ready)
        healthy = page["status"] != "fail" and ready
        return json_page(page, 200 if healthy else 503, "application/health+json")


def _metrics(metrics: Registry) -> Answer:
    answer = json_page(None, kind="text/plain; version=0.0.4")
    answer.body = metrics.text().encode()
    return answer


def register_gauges(region: Region) -> None:
    """Let a scrape read what no event counts."""
    metrics, store, authority, confirmations = region.metrics, region.store, region.authority, region.confirmations
    metrics.gauge("proa_epoch", lambda: [({}, authority.epoch)])
    metrics.gauge("proa_active", lambda: [({}, float(authority.may_write_active()))])
    metrics.gauge("proa_duplicates", lambda: _by("state", doubled(region)))
    metrics.gauge("proa_journal_head", lambda: [({"origin": store.origin}, store.head)])
    metrics.gauge("proa_journal_floor", lambda: _by("origin", store.floors()))
    metrics.gauge("proa_cursor", lambda: _by("origin", store.cursors()))
    metrics.gauge("proa_conflicts_dropped", lambda: [({}, store.conflicts_dropped())])
    metrics.gauge("proa_replication_backlog_commits", lambda: _by("peer", region.replicator.backlog()))
    if confirmations:
        metrics.gauge("proa_insync_members", lambda: [({}, len(confirmations.group.counted))])


def _by(label: str, figures: Mapping[str, int]) -> list[tuple[Labels, float]]:
    return [({label: name}, figure) for name, figure in figures.items()]
