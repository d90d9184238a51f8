"""A region's identity, given by the real global store."""

import asyncio
from pathlib import Path

import pytest

from proa.control.bootstrap import bootstrap
from proa.control.incarnation import register
from proa.control.ledger import strong
from proa.core.incarnation import Disk
from proa.core.roles import NODES, Node
from proa.core.situation import Rules
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.errors import DeclarationError
from proa.ports import Batch
from proa.runtime.clock import SystemClock
from support.control_town import EU, US, WITNESS, SeededEntropy

RULES = Rules((EU, US), WITNESS, ("edge",), "active-passive", EU)


def with_store(folder: Path, story):
    async def run_blocking(work):
        work()

    async def main():
        store = SqliteGlobalStore(folder / "global.db", SystemClock(), run_blocking)
        try:
            await story(store, SeededEntropy(1))
        finally:
            await store.close()

    asyncio.run(main())


def test_one_disk_keeps_its_number_over_boots_and_a_missing_or_copied_one_gets_the_next(tmp_path):
    async def story(store, entropy):
        first = await register(store, EU, None, entropy)
        second = await register(store, EU, Disk(*first, head=5), entropy)
        assert (first[0], second[0]) == (1, 1)
        assert first[1] != second[1]
        copied = await register(store, EU, Disk(*first, head=5), entropy)
        assert copied[0] == 2
        missing = await register(store, EU, None, entropy)
        assert missing[0] == 3

    with_store(tmp_path, story)


def test_a_disk_that_has_less_than_it_once_reported_was_restored(tmp_path):
    async def story(store, entropy):
        number, nonce = await register(store, EU, None, entropy)
        node = Node(EU, "region", "boot", 1, 2.0, origin=f"{EU}/1", head=50)
        await store.commit(Batch("beat", {}, [strong(NODES, EU, node)]))
        assert (await register(store, EU, Disk(number, nonce, head=49), entropy))[0] == 2

    with_store(tmp_path, story)


def test_a_region_that_rejoins_gets_a_new_number_whatever_its_disk_says(tmp_path):
    async def story(store, entropy):
        number, nonce = await register(store, EU, None, entropy)
        assert (await register(store, EU, Disk(number, nonce, 7), entropy, fresh=True))[0] == 2

    with_store(tmp_path, story)


def test_regions_that_boot_together_each_get_their_own_identity(tmp_path):
    async def story(store, entropy):
        given = await asyncio.gather(*(register(store, EU, None, entropy) for _ in range(5)))
        assert sorted(number for number, _ in given) == [1, 2, 3, 4, 5]

    with_store(tmp_path, story)


def test_the_first_boot_writes_the_declared_roles_and_later_ones_find_them(tmp_path):
    async def story(store, entropy):
        first, second = await asyncio.gather(*(bootstrap(store, RULES, entropy, by) for by in (EU, US)))
        assert first == second
        assert (first.epoch, first.roles, first.weights) == (1, {EU: "active", US: "standby"}, {EU: 100, US: 0})

    with_store(tmp_path, story)


def test_a_state_directory_of_another_declaration_is_refused(tmp_path):
    async def story(store, entropy):
        await bootstrap(store, RULES, entropy, EU)
        with pytest.raises(DeclarationError, match="another declaration"):
            await bootstrap(store, Rules((EU, "mars"), WITNESS, (), "active-passive", EU), entropy, EU)

    with_store(tmp_path, story)
