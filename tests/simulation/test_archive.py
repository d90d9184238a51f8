"""What compaction drops is kept for the checkers, and the standard apps compact and join within their runs."""

import asyncio

from engines.conformance import batch, put
from engines.conformance_base import ALL
from engines.test_engines_sqlite import SqliteBackend
from proa.simulation.archive import kept_in, prepare
from proa.simulation.workloads import standard
from proa.simulation.workloads.catalogue import retained


def test_dropped_entries_are_in_the_archive_and_entries_of_the_journal_are_not(tmp_path):
    async def scenario():
        backend = SqliteBackend(tmp_path)
        prepare(backend.where("region"))
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a")))
            await store.compact(ALL)
            await store.commit(batch("u2", put("b")))
        assert [(dot, commit.unit) for dot, commit in kept_in(backend.where("region")).items()] == [(("eu/1", 1), "u1")]

    asyncio.run(scenario())


def test_a_store_that_was_not_prepared_has_no_archive(tmp_path):
    async def scenario():
        backend = SqliteBackend(tmp_path)
        async with backend.open("region") as store:
            await store.commit(batch("u1", put("a")))
        assert kept_in(backend.where("region")) == {}

    asyncio.run(scenario())


def test_some_seeds_keep_their_journals_for_seconds_and_the_app_itself_stays_as_it_is():
    apps = [retained(standard.active_active, seed) for seed in range(50)]
    short = [app for app in apps if app is not standard.active_active]
    assert 10 <= len(short) <= 30
    assert all(app.journal_retention_s < 3 for app in short)
    assert standard.active_active.journal_retention_s == 24 * 3600.0
