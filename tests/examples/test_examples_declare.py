"""Both example apps load without touching the network, and their routes promise what their READMEs say."""

import subprocess
import sys
from pathlib import Path

import pytest

from proa.app import load_app

EXAMPLES = Path(__file__).parents[2] / "examples"

OFFLINE = """
import socket, sys
def refuse(*_, **__): raise AssertionError("the import opened a socket")
socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = refuse
from proa.app import load_app
print(load_app(sys.argv[1]).name)
"""


@pytest.mark.parametrize("name", ["authorizer", "payments", "payouts"])
def test_importing_an_app_opens_no_connection(name):
    ran = subprocess.run([sys.executable, "-c", OFFLINE, EXAMPLES / name], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{name}\n"


def test_payments_keeps_money_in_the_global_store_and_preferences_in_the_regions():
    app = load_app(str(EXAMPLES / "payments"))
    assert {f"{route.method} {route.path}": (route.unit, route.idempotent) for route in app.routes} == {
        "PUT /accounts/{id}": ("global", "optional"),
        "GET /accounts/{id}": ("read", False),
        "POST /charges": ("global", True),
        "GET /charges/{id}": ("read", False),
        "PUT /customers/{id}/preferences": ("regional", "optional"),
        "GET /customers/{id}/preferences": ("read", False),
        "GET /rates/{currency}": ("read", False),
        "PUT /rates/{currency}": ("regional", "optional"),
    }


def test_the_authorizer_lets_only_the_active_region_write():
    app = load_app(str(EXAMPLES / "authorizer"))
    assert {table.name: table.mode for table in app.tables.values()} == {
        "sessions": "active",
        "revocations": "active",
        "proa_revocations": "any",
        "proa_api_keys": "any",
    }
    assert (app.topology, app.active, app.failover) == ("active-passive", "eu-west-1", "approval")
    assert {f"{route.method} {route.path}": (route.unit, route.idempotent) for route in app.routes} == {
        "POST /sessions": ("regional", True),
        "GET /sessions/{id}": ("read", False),
        "POST /authorize": ("regional", False),
        "POST /policies": ("regional", False),
        "POST /gateways": ("regional", False),
        "POST /revocations": ("regional", True),
    }
