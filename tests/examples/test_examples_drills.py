"""The examples' drills: seeded requests, and checks that would notice a book that does not balance."""

from pathlib import Path
from random import Random

import msgspec
import pytest

from proa.chaos.workload import Request, load_workload

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def payments():
    return load_workload(EXAMPLES / "payments" / "drill.py")


@pytest.fixture
def authorizer(monkeypatch):
    monkeypatch.setenv("AUTHORIZER_DRILL_TOKEN", "a-token")
    workload = load_workload(EXAMPLES / "authorizer" / "drill.py")
    workload.sessions += ["session-1", "session-2"]
    workload.revoked.add("session-2")
    return workload


def test_a_seed_repeats_a_drill(payments):
    first = [payments.request(n, Random(n)) for n in range(50)]
    assert first == [payments.request(n, Random(n)) for n in range(50)]
    assert len({request.key for request in first}) == 50


def test_each_charge_carries_its_key_as_its_reference(payments):
    request = payments.request(7, Random(7))
    assert msgspec.json.decode(request.body)["reference"] == request.key


def test_an_acknowledged_charge_is_read_back_by_its_id(payments):
    assert payments.read_back(payments.request(7, Random(7)), b'{"id":"c-1"}') == Request("GET", "/charges/c-1")


ACCOUNT = {"id": "a", "limit": 100, "left": 70, "charges": 2}
CHARGES = [{"account": "a", "amount": 10}, {"account": "a", "amount": 20}]


def test_books_that_balance_raise_no_complaint(payments):
    assert payments.check({"accounts": [ACCOUNT], "charges": CHARGES}) == []


@pytest.mark.parametrize(
    ("account", "charges"),
    [
        (ACCOUNT | {"left": 60}, CHARGES),
        (ACCOUNT | {"charges": 3}, CHARGES),
        (ACCOUNT, CHARGES[:1]),
        (ACCOUNT, [*CHARGES, CHARGES[0]]),
    ],
    ids=["money gone", "count wrong", "charge lost", "charge doubled"],
)
def test_books_that_do_not_balance_are_named(payments, account, charges):
    [complaint] = payments.check({"accounts": [account], "charges": charges})
    assert complaint.startswith("account a is missing")


def test_half_of_the_authorizers_requests_open_sessions_that_carry_their_key(authorizer):
    requests = [authorizer.request(n, Random(n)) for n in range(400)]
    opened = [request for request in requests if request.path == "/sessions"]
    assert 140 < len(opened) < 260
    assert all(msgspec.json.decode(request.body)["device"] == request.key for request in opened)
    assert {request.key for request in requests if request.path != "/sessions"} == {""}


def test_the_authorizers_surroundings_are_a_provider_that_issues_tokens(authorizer):
    with authorizer.surroundings() as environment:
        assert environment["AUTHORIZER_JWKS_URL"].endswith("/.well-known/jwks.json")
        assert environment["AUTHORIZER_DRILL_TOKEN"].count(".") == 2


def answered(effect):
    return msgspec.json.encode({"policyDocument": {"Statement": [{"Effect": effect}]}, "context": {"reason": "x"}})


@pytest.mark.parametrize(
    ("session", "effect", "wrong"),
    [
        ("session-1", "Allow", False),
        ("session-1", "Deny", True),
        ("session-2", "Deny", False),
        ("session-2", "Allow", True),
    ],
)
def test_the_authorizers_drill_looks_at_every_answer(session, effect, wrong, authorizer):
    asked = Request("POST", "/authorize", msgspec.json.encode({"session": session}))
    assert bool(authorizer.examine(asked, answered(effect))) is wrong
    assert authorizer.examine(Request("POST", "/sessions"), b"{}") is None


def test_a_revoked_session_is_asked_about_but_not_read(authorizer):
    requests = [authorizer.request(n, Random(n)) for n in range(400)]
    assert {request.path for request in requests} == {"/sessions", "/authorize", "/sessions/session-1"}
    assert all(dict(request.headers)["Authorization"] == "Bearer a-token" for request in requests)
