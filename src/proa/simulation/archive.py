"""The archive: journal entries that regions have dropped, kept so that checkers can judge what was made of them.

A trigger in a region's file copies an entry when it is dropped; the framework knows nothing of it. Disks that are given
up are read before. So a checker has every commit that a region had ever applied, and trusts neither base nor snapshot.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from proa.core.replicate.journal import Commit, Dot
from proa.engines.sqlite.files import open_file

SCRIPT = (Path(__file__).parent / "archive.sql").read_text()
Archive = dict[Dot, Commit]
_commit = msgspec.msgpack.Decoder(Commit).decode


def prepare(path: Path) -> None:
    """Let the store at `path` keep what it will drop."""
    if not path.exists():
        for connection in open_file(path):
            connection.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)


def kept_in(path: Path) -> Archive:
    """The entries that the store at `path` has dropped, as far as it was prepared to keep them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection, suppress(sqlite3.OperationalError):
        return {(origin, seq): _commit(entry) for origin, seq, entry in connection.execute("SELECT * FROM archive")}
    return {}
