"""The benchmarks of messages, with a few of them: they measure what they say, and leave out what cannot run here."""

import asyncio
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import consuming
import global_store
import letters
import postgres
import run
import sagas
from queues import in_region

RATES = {"consuming.py": 6000, "dbos_queue.py": 600, "procrastinate_queue.py": 2000}


def told(taken):
    """Answers in the place of programs, with what was asked of which."""

    def told_by(program, *arguments):
        taken.append((Path(program).name, *arguments))
        return RATES[Path(program).name]

    return told_by


@pytest.mark.parametrize("name", [*run.BENCHMARKS, *run.APART])
def test_each_benchmark_that_is_named_is_there(name):
    assert (Path(run.__file__).parent / f"{name}.py").exists()


def test_peers_are_measured_on_postgres_in_turns(monkeypatch):
    @contextmanager
    def server():
        yield "postgresql://there"

    taken = []
    monkeypatch.setattr(consuming, "postgres", server)
    monkeypatch.setattr(consuming, "told_by", told(taken))
    figures = [(figure.peer, figure.ratio, str(figure.bound), figure.ok) for figure in consuming.run()]
    assert figures == [
        ("", None, "≥ 5000", True),
        ("DBOS on PostgreSQL", 10, "≥ 5x", True),
        ("Procrastinate on PostgreSQL", 3, "≥ 2x", True),
    ]
    turn = [
        ("consuming.py",),
        ("dbos_queue.py", "postgresql://there", consuming.OF_DBOS),
        ("procrastinate_queue.py", "postgresql://there", consuming.OF_PROCRASTINATE),
    ]
    assert taken == turn * consuming.ROUNDS


def test_where_no_server_is_installed_the_peer_that_needs_one_is_left_out(monkeypatch):
    taken = []
    monkeypatch.setattr(postgres, "installed", lambda: None)
    monkeypatch.setattr(consuming, "told_by", told(taken))
    plain, dbos = consuming.run()
    assert (plain.note, dbos.peer) == (
        "no PostgreSQL is installed here: Procrastinate is left out, DBOS is on SQLite with 4 threads",
        "DBOS on SQLite",
    )
    assert {name for name, *_ in taken} == {"consuming.py", "dbos_queue.py"}


@pytest.mark.processes
@pytest.mark.skipif(postgres.installed() is None, reason="no PostgreSQL is installed here")
def test_the_server_syncs_every_commit_and_is_gone_afterwards():
    with postgres.postgres() as server:
        said = [
            subprocess.run(
                [postgres.installed() / "psql", server, "-tAc", f"SHOW {name}"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            for name in ("fsync", "synchronous_commit")
        ]
    assert said == ["on", "on"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(server).port), timeout=1)


def test_messages_are_consumed(monkeypatch):
    monkeypatch.setattr(consuming, "MESSAGES", 200)
    assert asyncio.run(in_region(consuming.consumed)) > 0


def test_letters_are_found_counted_and_sent_back(monkeypatch):
    for name, value in {"LETTERS": 2000, "RARE_EVERY": 500, "SENT_BACK": 100, "PER_COMMIT": 500}.items():
        monkeypatch.setattr(letters, name, value)
    found = asyncio.run(in_region(letters.measured))
    assert all(ms > 0 for ms in [*found["pages"].values(), found["answer"], found["wait"], found["redrive"]])


@pytest.mark.processes
def test_the_global_store_is_measured_in_the_witness_and_in_postgres(monkeypatch):
    for name, value in {"SECONDS": 0.2, "WAKINGS": 2, "CLIENTS": 4}.items():
        monkeypatch.setattr(global_store, name, value)
    asked = [global_store.WITNESS]
    with postgres.postgres() as server:
        asked += [server] if server else []
        for which in asked:
            assert all(value > 0 for value in asyncio.run(global_store.main(which)).values())


def test_sagas_wait_and_go_on(monkeypatch):
    for name, value in {"TOGETHER": 5, "TOLD": 5}.items():
        monkeypatch.setattr(sagas, name, value)
    assert asyncio.run(sagas.most_mib(10)) > 0
