"""Operators: tokens shown once, hashes stored, every change in the audit log."""

import asyncio

import pytest

from proa.control import operators
from proa.control.audit import broken_at, read_log
from proa.core.roles import OPERATORS
from proa.errors import AlreadyExists, NotFound, UsageError
from support.control_town import ManualClock, MemoryGlobalStore, SeededEntropy


def with_store(story):
    asyncio.run(story(MemoryGlobalStore(ManualClock()), SeededEntropy(1)))


def test_a_token_proves_its_operator_and_no_other_one_does():
    async def story(store, entropy):
        token = await operators.add(store, "ann", "approver", entropy, "setup")
        await operators.add(store, "ben", "viewer", entropy, "setup")
        assert (await operators.verify(store, token)).name == "ann"
        secret = token.partition(".")[2]
        for wrong in ("", ".", "ann", "ann.", f"ben.{secret}", f"ann.{secret[:-1]}", f"zoe.{secret}", secret, "ann.é"):
            assert await operators.verify(store, wrong) is None

    with_store(story)


def test_neither_the_token_nor_its_plain_hash_is_stored():
    async def story(store, entropy):
        secret = (await operators.add(store, "ann", "operator", entropy, "setup")).partition(".")[2]
        stored = b"".join(row.value for row in store.rows.values())
        assert secret.encode() not in stored
        assert (OPERATORS, "ann") in store.rows

    with_store(story)


def test_a_removed_operators_token_is_worth_nothing():
    async def story(store, entropy):
        token = await operators.add(store, "ann", "operator", entropy, "setup")
        await operators.remove(store, "ann", entropy, "ben")
        assert await operators.verify(store, token) is None
        assert await operators.every(store) == []
        with pytest.raises(NotFound):
            await operators.remove(store, "ann", entropy, "ben")
        entries, head = await read_log(store)
        assert [(dated.entry.action, dated.entry.by) for dated in entries] == [
            ("operator added", "setup"),
            ("operator removed", "ben"),
        ]
        assert broken_at([dated.entry for dated in entries], head) is None

    with_store(story)


def test_a_removed_name_can_be_given_again_with_another_token():
    async def story(store, entropy):
        old = await operators.add(store, "ann", "operator", entropy, "setup")
        await operators.remove(store, "ann", entropy, "setup")
        new = await operators.add(store, "ann", "viewer", entropy, "setup")
        assert await operators.verify(store, old) is None
        assert (await operators.verify(store, new)).role == "viewer"

    with_store(story)


def test_a_taken_or_senseless_name_or_role_is_refused():
    async def story(store, entropy):
        await operators.add(store, "ann", "operator", entropy, "setup")
        with pytest.raises(AlreadyExists):
            await operators.add(store, "ann", "viewer", entropy, "setup")
        for name, role in (("", "viewer"), ("Ann Smith", "viewer"), ("x" * 64, "viewer"), ("zoe", "king")):
            with pytest.raises(UsageError):
                await operators.add(store, name, role, entropy, "setup")

    with_store(story)


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", ["viewer"]), ("operator", ["viewer", "operator"]), ("approver", ["viewer", "operator", "approver"])],
)
def test_each_role_includes_the_ones_before_it(role, may):
    operator = operators.Operator("ann", role, "", "")
    assert [name for name in operators.ROLE_NAMES if operator.may(name)] == may
