"""Opening a store's file: pragmas, schema, format check; and the queries by name.

Each store has two connections. The writer's transactions are group-committed; the reader sees durable commits alone,
because SQLite's write-ahead log publishes a commit to other connections only after its fsync (synchronous=FULL).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from proa.engines.queries import load_queries
from proa.errors import StoreCorrupt, StoreFull, StoreNewer

HERE = Path(__file__).parent
SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 5.0
CACHE_KB = 16_000
LOG_PAGES_MAX = 16_000
"""Where the log is longer than this, which `log` does not let it become, SQLite copies it within each commit."""
LOG_BYTES_KEPT = 16_000_000
"""To this length the log's file is cut where it had been longer."""
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


# The module asks every parameter of another type whether it adapts itself, which costs half of what a statement does.
# Bytes and None are what they are: a dictionary without None has None for it, and asks so without a frame of Python's.
_NONE_OF_NONE: dict[None, None] = {}
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), _NONE_OF_NONE.get)


SQL = load_queries(HERE / "queries.sql")
SCHEMA = f"""
BEGIN IMMEDIATE;
{(HERE / "schema.sql").read_text()}
PRAGMA user_version={SCHEMA_VERSION};
COMMIT;
"""


def translated(error: BaseException) -> BaseException:
    """What SQLite says of a full disk or a damaged file, as the error that says what to do; any other one as it is."""
    code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else None
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(str(error))
    return StoreCorrupt(str(error)) if code in _CORRUPT else error


def in_memory(name: str) -> str:
    """Where `open_file` finds the store called `name` in this process's memory, for as long as a connection is open.

    Its readers see committed rows alone, as those of a file do, and nothing survives the process.
    """
    return f"file:/{name}?vfs=memdb"


def connect(path: Path | str) -> sqlite3.Connection:
    """One connection in autocommit mode, usable from the thread that runs its COMMIT."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=isinstance(path, str)
    )
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES_MAX}")
    connection.execute(f"PRAGMA journal_size_limit={LOG_BYTES_KEPT}")
    return connection


def open_file(path: Path | str) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """The writer's and the reader's connection to a store's file, created where it is missing.

    Raises:
        StoreCorrupt: the file is damaged or no store.
        StoreNewer: a newer version of Proa wrote it.
    """
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        writer = connect(path)
        _prepare(writer, path)
        reader = connect(path)
        reader.execute("PRAGMA query_only=ON")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in _CORRUPT:
            raise StoreCorrupt(f"{path}: {error}") from error
        raise
    return writer, reader


def _prepare(writer: sqlite3.Connection, path: Path | str) -> None:
    found = writer.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise StoreNewer(f"{path} has format {found}; this version of Proa reads up to {SCHEMA_VERSION}")
    if isinstance(path, Path):
        writer.execute("PRAGMA journal_mode=WAL")
    verdict = writer.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreCorrupt(f"{path}: {verdict}")
    if found < SCHEMA_VERSION:
        writer.executescript(SCHEMA)


def get_meta(connection: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """One named value of the store."""
    row = connection.execute(SQL["meta"], (name,)).fetchone()
    return default if row is None else row[0]
