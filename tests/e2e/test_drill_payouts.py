"""Payouts lose a region while their sagas rest between two steps: others carry them on, and the bank pays once."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from proa.chaos.progress import FaultInjected
from proa.core.replicate.journal import Commit
from proa.core.replicate.stamp import region_of
from proa.core.saga import SAGAS
from proa.engines.sqlite.files import SQL
from proa.runtime.composition.foundation import STORE_FILE
from proa.runtime.sagas.course import decode_record

pytestmark = pytest.mark.processes

EU = "eu-west-1"
OTHERS = {"us-east-1", "ap-southeast-1"}
_commit = msgspec.msgpack.Decoder(Commit).decode


def on_disk(cluster, region, query, *values):
    """What a region's file answers while its process goes on."""
    file = Path(cluster.data_dir(region)) / STORE_FILE
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
        return store.execute(SQL[query], values).fetchall()


def sagas(cluster, region):
    """The sagas by id, as a region's disk has them."""
    records = [decode_record(value) for _, value in on_disk(cluster, region, "values", SAGAS)]
    return {record.id: record for record in records}


async def resting(cluster):
    """The sagas of the lost region that were between two steps, as far as those who are left know."""
    known = [sagas(cluster, region) for region in OTHERS]
    return {saga for each in known for saga, found in each.items() if found.home == EU and found.waits == "sleep"}


async def figures(cluster):
    """How each saga ended, where, and what the bank did."""
    transfers = sys.modules["proa_drill_payouts"].transfers_of(sys.modules["clearing"].url())
    return sagas(cluster, "us-east-1"), ended_in(cluster), transfers


def ended_in(cluster):
    """The regions in which each saga came to its end, by the commits that were not set aside."""
    aside = {(origin, seq) for region in cluster.regions for origin, seq, *_ in on_disk(cluster, region, "parked")}
    entries = {entry for region in cluster.regions for *_, entry in on_disk(cluster, region, "all_entries")}
    ended = {}
    for commit in map(_commit, entries):
        for write in commit.writes:
            if write.table == SAGAS and write.value and (commit.origin, commit.seq) not in aside:
                record = decode_record(write.value)
                if record.ended:
                    ended.setdefault(record.id, []).append(region_of(commit.origin))
    return ended


def test_payouts_between_two_steps_end_in_other_regions_and_the_bank_moves_each_once(rehearsal):
    rehearsal.meanwhile[FaultInjected] = resting
    rehearsal.afterwards = figures
    report = rehearsal.drill("payouts", rate=20, duration_s=9, fault_after_s=3, lease_s=1, hold_down_s=0.5)
    assert (report.violations, report.verdict) == ([], "held")
    assert (report.failed, report.lost_writes, report.duplicates) == (0, [], 0)
    rested, (found, ended, transfers) = rehearsal.results

    # A third of those of two seconds were in the region that is lost. All that were acknowledged came to one end.
    assert len(rested) >= 3
    assert len(found) == report.acknowledged == 180
    assert {record.status for record in found.values()} == {"done", "failed"}
    assert {saga: len(regions) for saga, regions in ended.items()} == dict.fromkeys(found, 1)
    assert {ended[saga][0] for saga in rested} <= OTHERS

    # The bank was asked under one key for each, and moved the money of those that are done.
    done = {record.id for record in found.values() if record.status == "done"}
    assert len(done) == 162
    assert len({one.key for one in transfers}) == len({one.payout for one in transfers}) == len(transfers) == 180
    assert {one.payout for one in transfers if one.moved} == done

    # What would have woken the sagas that rested was adopted with them.
    messages = report.messages
    assert messages.in_flight >= messages.adopted >= len(rested)
    assert (messages.duplicated, messages.lost, messages.waiting) == (0, 0, 0)
