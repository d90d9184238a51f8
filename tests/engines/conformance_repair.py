"""What every region's store must do for anti-entropy: sum up rows, make them anew of its history, take fixes."""

import asyncio

import msgspec
import pytest

from engines.conformance import INDEXED, batch, by, foreign, keys, put
from engines.conformance_base import compacted
from proa.core.replicate.journal import Commit
from proa.core.replicate.repair import Fix, Stretch
from proa.core.roles import Cut
from proa.ports import Terms


def stretch(start="", end=None, at=10.0, limit=100):
    return Stretch("t", start, end, at, limit)


class RepairConformance:
    """Inherit beside `Conformance`."""

    def play(self, backend, scenario, **options):
        async def main():
            async with backend.open("region", **options) as store:
                await scenario(store)

        asyncio.run(main())

    def test_a_sum_covers_the_living_rows_between_its_keys_in_order_up_to_its_limit(self, backend):
        async def scenario(store):
            sums = store.repairs.sums
            await store.commit(batch("u1", put("a"), put("b"), put("c"), put("d", expires_at=20.0)))
            everything, middle, two, late = await sums(
                [stretch(), stretch("b", "c"), stretch(limit=2), stretch(at=20.0)]
            )
            assert [(one.count, one.last) for one in (everything, middle, two, late)] == [
                (4, "d"),
                (1, "b"),
                (2, "b"),
                (3, "c"),
            ]
            assert sorted(await store.repairs.heads(stretch("b", "d"))) == ["b", "c"]
            await store.commit(batch("u2", put("b", None)))
            assert [one.digest for one in await sums([stretch("b", "c"), stretch("x")])] == [
                one.digest for one in await sums([stretch("x"), stretch("y")])
            ]

        self.play(backend, scenario)

    def test_equal_rows_have_equal_sums_whatever_their_local_version_and_any_other_difference_shows(self, backend):
        async def scenario(store):
            await store.apply([foreign(1), foreign(2)], Terms())
            (before,) = await store.repairs.sums([stretch()])
            (row,) = await store.read([("t", "a")])
            assert await store.repairs.fix([Fix(("t", "a"), row.version, row)]) == 1
            assert await store.repairs.sums([stretch()]) == [before]
            different = {"value": b"x", "stamp": 1, "seq": 1, "versions": {"us/1": 2, "ap/1": 1}, "expires_at": 99.0}
            for name, value in different.items():
                (row,) = await store.read([("t", "a")])
                changed = msgspec.structs.replace(row, **{name: value})
                await store.repairs.fix([Fix(("t", "a"), row.version, changed)])
                assert (await store.repairs.sums([stretch()]))[0].digest != before.digest, name
                (now,) = await store.read([("t", "a")])
                await store.repairs.fix([Fix(("t", "a"), now.version, row)])

        self.play(backend, scenario)

    @pytest.mark.parametrize("how", ["journal", "compacted"])
    def test_a_row_is_made_anew_of_the_history_without_what_is_set_aside(self, backend, how):
        async def scenario(store):
            await store.commit(batch("u1", put("b", b"own")))
            await store.apply([foreign(1, mode="active"), foreign(2, mode="active")], Terms((Cut(9, "us/1", 1),)))
            if how == "compacted":
                assert await compacted(store)
            made = await store.repairs.made([("t", "a"), ("t", "b"), ("t", "none")])
            rows = await store.read([("t", "a"), ("t", "b")])
            assert [made["t", "a"].value, made["t", "b"].value, made["t", "none"]] == [b"1", b"own", None]
            assert [(one.dot, one.stamp, one.versions) for one in (made["t", "a"], made["t", "b"])] == [
                (one.dot, one.stamp, one.versions) for one in rows
            ]

        self.play(backend, scenario)

    def test_what_is_held_names_how_far_the_region_is_and_which_of_the_commits_asked_about_it_set_aside(self, backend):
        async def scenario(store):
            await store.commit(batch("u1", put("b", None)))
            await store.apply([foreign(1, mode="active"), foreign(2, mode="active")], Terms((Cut(9, "us/1", 1),)))
            held = store.repairs.held([("t", "a"), ("t", "b"), ("t", "c")], [("us/1", 1), ("us/1", 2)])
            assert [row and row.value for row in held.rows] == [b"1", None, None]
            assert held.rows[1] is not None
            assert (held.durable, held.parked) == ({"eu/1": 1, "us/1": 2}, [("us/1", 2)])
            assert held.applied == held.durable

        self.play(backend, scenario)

    def test_a_fix_is_made_only_of_a_row_that_is_still_as_judged_and_gives_it_a_version_of_its_own(self, backend):
        async def scenario(store):
            await store.commit(batch("u1", put("a", b"1")))
            (judged,) = await store.read([("t", "a")])
            await store.commit(batch("u2", put("a", b"2")))
            (before,) = await store.read([("t", "a")])
            assert await store.repairs.fix([Fix(("t", "a"), judged.version, judged)]) == 0
            assert await store.read([("t", "a")]) == [before]
            better = msgspec.structs.replace(before, value=b"3")
            fixes = [Fix(("t", "a"), before.version, better), Fix(("t", "b"), 0, None)]
            assert await store.repairs.fix(fixes) == 2
            (after,) = await store.read([("t", "a")])
            assert (after.value, after.version > before.version) == (b"3", True)
            assert await store.repairs.fix([Fix(("t", "a"), after.version, None)]) == 1
            assert await store.read([("t", "a")]) == [None]
            assert len(await store.journal({"eu/1": 0}, 10)) == 2

        self.play(backend, scenario)

    def test_a_fixed_row_is_found_by_its_own_index_entry_alone(self, backend):
        async def scenario(store):
            await store.commit(batch("u1", put("a", b"x")))
            (row,) = await store.read([("t", "a")])
            await store.repairs.fix([Fix(("t", "a"), row.version, msgspec.structs.replace(row, value=b"y"))])
            assert keys(await store.query(by("x", "z"))) == ["a"]
            assert keys(await store.query(by("x", "y"))) == []
            (row,) = await store.read([("t", "a")])
            await store.repairs.fix([Fix(("t", "a"), row.version, None)])
            assert keys(await store.query(by("x", "z"))) == []

        self.play(backend, scenario, schemas=INDEXED)

    def test_a_commit_is_replaced_only_where_the_journal_has_one(self, backend):
        async def scenario(store):
            await store.apply([foreign(1)], Terms())
            assert list(await store.repairs.entries([("us/1", 1), ("us/1", 2)])) == [("us/1", 1)]
            await store.repairs.replace_entries({("us/1", 1): foreign(1, value=b"x"), ("us/1", 2): foreign(2)})
            (entry,) = (await store.repairs.entries([("us/1", 1), ("us/1", 2)])).values()
            assert msgspec.msgpack.decode(entry, type=Commit).writes[0].value == b"x"
            assert (await store.repairs.made([("t", "a")]))["t", "a"].value == b"x"
            assert store.cursors()["us/1"] == 1

        self.play(backend, scenario)

    def test_units_commit_while_history_is_read(self, backend):
        async def scenario(store):
            for number in range(40):
                await store.commit(batch(f"u{number}", *(put(f"{key:03}") for key in range(50))))
            making = asyncio.ensure_future(store.repairs.made([("t", "001")]))
            await store.commit(batch("beside", put("b")))
            assert (await making)["t", "001"].seq == 40

        self.play(backend, scenario)
