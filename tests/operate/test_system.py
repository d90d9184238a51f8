"""A running system is found by its folder or its app, and asked over HTTP as an operator."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from control_stand_in import LETTER

from proa import App
from proa.errors import NotFound, NotRunning, RegionSilent, Unavailable, UsageError
from proa.local.lock import StateLock
from proa.operate import System
from proa.operate.reach import ask_region, find
from proa.runtime.config import Address, ClusterConfig, NodeConfig, save


class Region(BaseHTTPRequestHandler):
    """Has one letter, for whoever has the token."""

    def do_GET(self):
        assert self.headers["authorization"] == "Bearer ada.secret"
        found = self.path == "/_proa/control/queues/orders/dead/m1"
        answer = LETTER if found else {"code": "PROA-H404", "title": "Not found", "detail": f"no {self.path}"}
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Region) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def started(tmp_path, monkeypatch, server):
    """Starts systems of some names, whose one region is the server."""
    monkeypatch.chdir(tmp_path)
    locks = []

    def start(name, port=server.server_port):
        folder = tmp_path / ".proa" / name
        lock = StateLock(folder)
        lock.acquire()
        locks.append(lock)
        here = Address("127.0.0.1", port)
        save(
            ClusterConfig(name, str(folder), "", {"eu": NodeConfig("eu", "region", here, here)}),
            folder / "cluster.json",
        )
        return folder

    yield start
    for lock in locks:
        lock.release()


def test_the_one_that_runs_is_found_with_the_token_of_the_environment(started, monkeypatch):
    started("shop")
    monkeypatch.setenv("PROA_TOKEN", "ada.secret")
    system = System()
    assert (system.regions, system.dead_letters("orders").get("m1").attempts) == (("eu",), 1)


def test_of_several_one_is_named_by_its_app_or_its_folder(started):
    folder = started("shop")
    started("desk")
    with pytest.raises(UsageError, match="several are running"):
        System(token="ada.secret")
    for where in (App("shop", regions=["eu"]), folder, str(folder)):
        assert System(where, "ada.secret").dead_letters("orders").get("m1").message == "m1"


def test_what_a_region_refuses_is_raised_as_the_error_that_it_is(started):
    dead = System(started("shop"), "ada.secret").dead_letters("orders")
    with pytest.raises(NotFound, match="no /_proa/control/queues/orders/dead/m2"):
        dead.get("m2")


def test_a_system_that_is_not_there_is_told(started, tmp_path, monkeypatch):
    with pytest.raises(NotRunning):
        System(tmp_path, "ada.secret")
    monkeypatch.delenv("PROA_TOKEN", raising=False)
    with pytest.raises(UsageError, match="an operator's token is needed"):
        System(started("shop"))


def test_a_region_that_does_not_answer_is_named(started):
    with HTTPServer(("127.0.0.1", 0), Region) as closed:
        port = closed.server_port
    started("shop", port)
    with pytest.raises(RegionSilent, match=r"eu does not answer \(.*refused\)"):
        ask_region(find(None), "eu", "GET", "/queues")
    with pytest.raises(Unavailable, match=r"eu does not answer \(.*refused\)"):
        System(token="ada.secret").dead_letters("orders").redrive()
