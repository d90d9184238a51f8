"""What a gateway keeps of the authorizer's answers: how long, how much, and what it does without it."""

import asyncio

from decisions import Decisions
from policy import policy_of


class Authorizer:
    """Answers for one subject; can be told to grant other scopes, or to be out."""

    def __init__(self):
        self.scopes = ["orders:read"]
        self.out = False
        self.asked = []
        self.now = 0.0
        self.decisions = Decisions(self.ask, lambda: self.now, limit=3)

    async def ask(self, session):
        self.asked.append(session)
        if self.out:
            raise OSError("out")
        return policy_of("ada", self.scopes, keep_s=10)

    def may(self, action="GET", resource="orders/7", session="s"):
        return asyncio.run(self.decisions.may(session, action, resource))


def test_one_question_serves_all_requests_of_a_session():
    authorizer = Authorizer()
    asked = [("GET", "orders/7"), ("GET", "orders/8"), ("POST", "orders/7"), ("GET", "reports/1")]
    assert [authorizer.may(*each) for each in asked] == ["Allow", "Allow", "Deny", "Deny"]
    assert authorizer.asked == ["s"]


def test_a_revocation_takes_effect_when_what_is_kept_has_run_out():
    authorizer = Authorizer()
    authorizer.may()
    authorizer.scopes = []
    authorizer.now = 9.9
    assert authorizer.may() == "Allow"
    authorizer.now = 10
    assert authorizer.may() == "Deny"


def test_an_outage_goes_unnoticed_while_policies_are_kept_and_then_everything_is_denied():
    authorizer = Authorizer()
    authorizer.may()
    authorizer.out = True
    assert (authorizer.may(), authorizer.may(session="new")) == ("Allow", "Deny")
    authorizer.now = 10
    assert authorizer.may() == "Deny"
    authorizer.out = False
    assert authorizer.may() == "Allow"


def test_what_is_kept_is_bounded():
    authorizer = Authorizer()
    for number in range(10):
        authorizer.may(session=str(number))
    assert len(authorizer.decisions._kept) == 3
