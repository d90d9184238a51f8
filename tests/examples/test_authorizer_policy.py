"""The authorizer's decisions: deny by default."""

import json

import msgspec
import pytest
from policy import allows, decision


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
