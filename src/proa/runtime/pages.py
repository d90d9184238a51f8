"""Pages: what a region tells of itself under `/_proa/`, and the gauges that a scrape asks it for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proa.declare.http import Answer
from proa.observe.metrics import Registry
from proa.ports import Labels
from proa.runtime.gateway import Page, json_page
from proa.runtime.status import doubled, status

if TYPE_CHECKING:
    from proa.runtime.region import Region


def pages(region: Region) -> Mapping[str, Page]:
    """The pages by name. Each is made when it is asked for."""
    return {
        "live": lambda: json_page({"status": "pass"}),
        "health": lambda: _health(region),
        "metrics": lambda: _metrics(region.metrics),
        "status": lambda: json_page(status(region)),
    }


def _health(region: Region) -> Answer:
    """With a status that load balancers understand."""
    ready = region.readiness.ready()
    page = region.monitor.page(region.name, ready=ready)
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
