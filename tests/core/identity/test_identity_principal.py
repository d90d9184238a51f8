"""Demands of routes, revocations, API keys and what is remembered: the rest of the pure decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa import roles, scopes
from proa.core.identity import apikey
from proa.core.identity.apikey import KeyRow
from proa.core.identity.memory import Memory, Verified
from proa.core.identity.principal import ANYBODY_KNOWN, Principal
from proa.core.identity.refusal import Refusal
from proa.core.identity.revocation import Revocation, revoked, target, targets
from proa.errors import DeclarationError

ADA = Principal("ada", frozenset({"a", "b"}), issuer="https://idp.example", roles=frozenset({"admin"}), id="t-1")
NAMES = st.frozensets(st.sampled_from("abcde"))


@pytest.mark.parametrize(
    ("demand", "lacking"),
    [
        (ANYBODY_KNOWN, ""),
        (scopes("a"), ""),
        (scopes("a", "b"), ""),
        (scopes("a", "d", "c"), "scope c d"),
        (roles("admin"), ""),
        (roles("support", "admin"), ""),
        (roles("support", "boss"), "role boss or support"),
        (scopes("a") & roles("admin"), ""),
        (scopes("a") & roles("boss"), "role boss"),
        (roles("admin") & roles("boss"), "role boss"),
    ],
)
def test_a_demand_names_what_somebody_lacks(demand, lacking):
    assert demand.lacks(ADA) == lacking


@given(NAMES, NAMES, NAMES)
def test_who_meets_two_demands_meets_both_together_and_nobody_else(one, other, had):
    principal = Principal("ada", had)
    first, second = (scopes(*sorted(names)) if names else ANYBODY_KNOWN for names in (one, other))
    both = not first.lacks(principal) and not second.lacks(principal)
    assert (not (first & second).lacks(principal)) == both


@pytest.mark.parametrize("names", [(), ("",), ("a b",), ('a"',), ("a\n",), ("ä",)])
def test_names_that_no_header_can_carry_are_refused(names):
    with pytest.raises(DeclarationError):
        scopes(*names)


def test_a_demand_reads_the_same_in_every_process():
    assert str(scopes("b", "a") & roles("y", "x")) == "scope a b & role x|y"


def test_an_owner_is_the_same_for_all_credentials_of_one_subject_and_no_other():
    assert ADA.owner == Principal("ada", issuer=ADA.issuer, id="t-2").owner
    others = {Principal("ada").owner, Principal("bob", issuer=ADA.issuer).owner}
    assert ADA.owner not in others


# Revocations.


def revocation(before):
    return Revocation("", before, before, "root", "", None)


@given(st.floats(0, 100), st.floats(0, 100))
def test_what_was_issued_up_to_a_revocation_is_revoked(issued_at, before):
    principal = Principal("ada", issued_at=issued_at)
    assert revoked(principal, [revocation(before)]) == (issued_at <= before)
    assert not revoked(principal, [])


def test_a_credential_is_meant_by_its_id_its_subject_and_its_issuer():
    issuer = ADA.issuer
    meant = {target("credential", issuer, "t-1"), target("subject", issuer, "ada"), target("issuer", issuer)}
    assert set(targets(ADA)) == meant
    assert len(targets(Principal("ada", issuer=issuer))) == 2


def test_names_that_run_into_each_other_are_different_targets():
    assert target("subject", "a", "bc") != target("subject", "ab", "c")
    assert target("subject", "a", "b") != target("credential", "a", "b")


# API keys.

ID, SECRET = "0" * 16, "f" * 64


def row(**changes):
    fields = {"expires_at": None} | changes
    return KeyRow(ID, apikey.digest_of(SECRET), "robot", ["a"], ["job"], "acme", 10.0, **fields)


def test_a_key_is_its_id_and_its_secret():
    assert apikey.parse(apikey.shown(ID, SECRET)) == (ID, SECRET)


@pytest.mark.parametrize(
    "text", ["", "proa_", "proa_0_1", f"proa_{ID}_{SECRET}0", f"Proa_{ID}_{SECRET}", f"proa_{ID}_{'F' * 64}"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(Refusal):
        apikey.parse(text)


@given(st.text())
def test_any_text_is_a_key_or_refused(text):
    try:
        assert apikey.shown(*apikey.parse(text)) == text
    except Refusal as refusal:
        assert refusal.reason == "api_key"  # noqa: PT017 - either may come


def test_a_key_makes_a_principal():
    principal = apikey.judge(SECRET, row(), 20.0)
    assert (principal.subject, principal.scopes, principal.roles, principal.tenant) == ("robot", {"a"}, {"job"}, "acme")
    assert (principal.issuer, principal.credential, principal.id) == ("proa", "key", ID)


@pytest.mark.parametrize(
    ("secret", "found"),
    [("e" * 64, row()), (SECRET, None), (SECRET, row(expires_at=20.0)), ("e" * 64, row(expires_at=5.0))],
)
def test_a_key_that_is_wrong_unknown_or_over_is_refused_for_one_reason(secret, found):
    with pytest.raises(Refusal) as caught:
        apikey.judge(secret, found, 20.0)
    assert caught.value.reason == "api_key"


# Memory.


def test_what_is_remembered_is_bounded_and_what_is_used_stays():
    memory = Memory(10)
    for number in range(1000):
        memory.put(f"t{number}", Verified(ADA, 1))
        assert memory.get("t0") is not None
    assert len(memory) <= 20


def test_what_is_dropped_is_gone():
    memory = Memory(1)
    for text in ("a", "b"):
        memory.put(text, Verified(ADA, 1))
    memory.drop("a")
    memory.drop("b")
    assert [memory.get("a"), memory.get("b"), len(memory)] == [None, None, 0]
