"""`proa event`: what it shows, and a replay of many pages over a connection that fails."""

import json
from pathlib import Path

import pytest

from proa.cli import event
from proa.cli.event import listed, replay
from proa.cli.output import FAILED, OK
from proa.cli.table import Asking
from proa.errors import RegionSilent, UsageError

APP = """
from dataclasses import dataclass
from proa import App
app = App("shop", regions=["eu", "us"])
@dataclass
class Order:
    id: str
    total: int = 0
placed = app.event("order.placed", Order, version=2)
silent = app.event("silent", Order, retention_s=0)
@placed.on(filter={"total": {"above": 100}})
async def fraud(order: Order) -> None: ...
@placed.on(deliver="everywhere")
async def caches(order: Order) -> None: ...
"""


class Regions(Asking):
    """A region that replays pages, in place of a running system; of some calls the answer is lost."""

    def __init__(self, pages, *, as_json=False, lost=()):
        self.json = as_json
        self._pages = pages
        self._lost = list(lost)
        self.asked = []
        self.page = 0

    def system(self, _, part):
        assert part == "replays"
        return self

    def regions(self, region):
        return (region,) if region else ("eu", "us")

    def ask(self, region, method, path, body):
        assert (method, path) == ("POST", "")
        self.asked.append((region, body))
        if self._lost and self._lost.pop(0):
            raise RegionSilent(region, "reset")
        self.page += 1
        seen, sent = (sum(one[part] for one in self._pages[: self.page]) for part in (0, 1))
        if body["dry_run"]:
            seen, sent = self._pages[self.page - 1]
        return {"seen": seen, "sent": sent, "next": "" if self.page == len(self._pages) else f"page {self.page}"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(event, "PAUSE_S", 0)


def test_events_are_shown_with_their_subscriptions(tmp_path, capsys):
    path = Path(tmp_path / "app.py")
    path.write_text(APP)
    assert listed(str(path)) == OK
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["order.placed", "2", "24", "h", "fraud", "once", '{"total":{"above":100}}'],
        ["order.placed", "2", "24", "h", "caches", "everywhere", "-"],
        ["silent", "1", "-", "-", "-", "-"],
    ]
    assert listed(str(path), json=True) == OK
    assert [len(one["subscriptions"]) for one in json.loads(capsys.readouterr().out)["events"]] == [2, 0]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_replay_goes_through_all_pages_and_asks_again_where_an_answer_was_lost(capsys, dry_run):
    regions = Regions([(500, 20), (500, 0), (7, 7)], as_json=True, lost=[False, True, False])
    assert replay("app", "placed", to="mail", since="1h", dry_run=dry_run, common=regions) == OK
    said = json.loads(capsys.readouterr().out)
    assert (said["seen"], said["sent"], said["finished"], said["region"]) == (1007, 27, True, "eu")
    assert [body.get("after") for _, body in regions.asked] == [None, "page 1", "page 1", "page 2"]
    assert len({body["replay"] for _, body in regions.asked}) == 1


def test_a_region_that_stops_to_answer_is_said(capsys):
    regions = Regions([(500, 500), (1, 1)], lost=[False] + [True] * 9)
    assert replay("app", "placed", to="mail", since="1h", region="us", common=regions) == FAILED
    told = capsys.readouterr()
    assert told.out.splitlines()[1].split() == ["placed", "mail", "500", "500", "sent"]
    assert told.err.count("us does not answer (reset)") == event.TRIES


def test_a_time_has_a_beginning_and_an_end():
    with pytest.raises(UsageError, match="not before"):
        replay("app", "placed", to="mail", since="1m", until="2m", common=Regions([]))
