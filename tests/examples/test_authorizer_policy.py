"""The authorizer's decisions: deny by default."""

import json

import msgspec
import pytest
from policy import PolicyDocument, Statement, allows, decision, judged, policy_of


@pytest.mark.parametrize(
    ("scopes", "action", "resource", "allowed"),
    [
        ([], "GET", "orders/7", False),
        (["orders:read"], "GET", "orders/7", True),
        (["orders:read"], "POST", "orders/7", False),
        (["orders:write"], "POST", "orders/7", True),
        (["orders:read"], "GET", "reports/7", False),
        (["unheard:of"], "GET", "orders/7", False),
        (["reports:read", "orders:read"], "GET", "orders/7", True),
    ],
)
def test_what_no_scope_grants_is_denied(scopes, action, resource, allowed):
    assert allows(scopes, action, resource) is allowed


def test_a_decision_is_a_policy_document_that_a_gateway_understands():
    answer = msgspec.json.encode(decision("Deny", "ada", "GET", "orders/7", "revoked"))
    assert json.loads(answer) == {
        "principalId": "ada",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Action": "GET", "Resource": "orders/7"}],
        },
        "context": {"reason": "revoked"},
    }


@pytest.mark.parametrize(
    ("statements", "effect"),
    [
        ([], "Deny"),
        ([("Allow", "GET", "orders/*")], "Allow"),
        ([("Allow", "GET", "reports/*")], "Deny"),
        ([("Allow", "POST", "orders/*")], "Deny"),
        ([("Allow", "GET", "orders/*"), ("Deny", "*", "orders/7")], "Deny"),
        ([("Deny", "*", "*"), ("Allow", "GET", "orders/*")], "Deny"),
    ],
)
def test_in_a_document_a_denial_wins_and_silence_denies(statements, effect):
    document = PolicyDocument(tuple(Statement(*each) for each in statements))
    assert judged(document, "GET", "orders/7") == effect


@pytest.mark.parametrize("scopes", [[], ["orders:read"], ["orders:write", "reports:read"], ["unheard:of"]])
@pytest.mark.parametrize("action", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("resource", ["orders/7", "reports/1", "users/1"])
def test_a_policy_says_the_same_as_the_questions_it_spares(scopes, action, resource):
    allowed = judged(policy_of("ada", scopes, 10).policy_document, action, resource) == "Allow"
    assert allowed == allows(scopes, action, resource)
