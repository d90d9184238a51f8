"""The stores' own files, read beside the system: what a drill counts is on disk, not what somebody says of it.

Of a global store in a database counts what a client of the drill's own reads there. A file is opened read-only; its
owner (running, paused or dead) notices nothing.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from proa.chaos.account import NOT_LISTED, CommitRef, Doubled
from proa.chaos.messages import MessageAccount, Name, accounted, name_of
from proa.chaos.system import Stored
from proa.chaos.workload import Workload, contradictions
from proa.core.dedupe import Pair
from proa.core.queue import FETCHED, MESSAGES, OUTBOX, SEPARATOR, Envelope
from proa.core.replicate.crdt import plain_fields
from proa.core.replicate.journal import Commit, Dot
from proa.core.replicate.stamp import Versions
from proa.engines.sqlite.duplicates import listed
from proa.engines.sqlite.files import BUSY_TIMEOUT_S, SQL

STORE_SUFFIXES = {".db", ".sqlite"}
Values = list[dict[str, Any]]
_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_commit = msgspec.msgpack.Decoder(Commit).decode


@contextmanager
def _reading(data_dir: str) -> Generator[sqlite3.Connection]:
    (file,) = (path for path in Path(data_dir).resolve().iterdir() if path.suffix in STORE_SUFFIXES)
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    with closing(connection):
        yield connection


def rows(data_dir: str, tables: Iterable[str]) -> dict[str, Values]:
    """The rows of each table that one store holds, without tombstones."""
    with _reading(data_dir) as store:
        return {
            table: [plain_fields(found[1]) for found in store.execute(SQL["scan"], (table,)) if found[1] is not None]
            for table in tables
        }


def cursors(data_dir: str) -> Versions:
    """How far a region's disk has each origin's journal."""
    with _reading(data_dir) as store:
        return dict(store.execute(SQL["cursors"]))


def commits(data_dir: str) -> dict[str, CommitRef]:
    """Where each Idempotency-Key was committed, as far as this region's journal tells."""
    with _reading(data_dir) as store:
        found = (_decode_commit(entry) for _, _, entry in store.execute(SQL["all_entries"]))
        return {commit.outcome.key: CommitRef(commit.origin, commit.seq) for commit in found if commit.outcome}


def stored(witness_dir: str, tables: Iterable[str]) -> Stored:
    """The rows of tables of the global store that the witness's disk has."""
    with _reading(witness_dir) as store:
        return {table: [row for row in store.execute(SQL["values"], (table,)) if row[1]] for table in tables}


def left(store: Stored) -> dict[Name, float]:
    """The messages in the global store that are not safe in regions yet, and when each was sent."""
    return {name_of(key.partition(SEPARATOR)[2]): envelope.sent_at for key, envelope in _outbox(store).items()}


def _outbox(store: Stored) -> dict[str, Envelope]:
    # What is fetched for good is kept for a while without its value.
    return {key: _decode_envelope(value) for key, value in store.get(OUTBOX, ()) if value}


def messages(
    store: Stored, region_dirs: Sequence[str], left: Mapping[Name, float], lost: str, fault_at: float
) -> MessageAccount:
    """What became of the messages of a lost region, by the journals of all; `left` lay in the global store then."""
    found: dict[Dot, Commit] = {}
    aside: set[Dot] = set()
    waiting: set[str] = set()
    unfetched = _outbox(store).keys()
    for region_dir in region_dirs:
        with _reading(region_dir) as region:
            found |= {(origin, seq): _decode_commit(entry) for origin, seq, entry in region.execute(SQL["all_entries"])}
            aside |= {(origin, seq) for origin, seq, *_ in region.execute(SQL["parked"])}
            waiting |= {key for key, value in region.execute(SQL["values"], (MESSAGES,)) if value is not None}
            unfetched -= {key for key, *_ in region.execute(SQL["scan"], (FETCHED,))}
    waiting |= {key.partition(SEPARATOR)[2] for key in unfetched}
    return accounted(found, aside, {name_of(key).id for key in waiting}, left, lost, fault_at)


def doubled(region_dirs: Sequence[str], handlers: Collection[str]) -> dict[str, Doubled]:
    """What the regions' lists of duplicates say of each key. `handlers` are the routes with an `on_duplicate`."""
    pairs: dict[str, Pair] = {}
    for region_dir in region_dirs:
        with _reading(region_dir) as store:
            for pair in listed(store):
                if pair.handled or pair.other.unit not in pairs:
                    pairs[pair.other.unit] = pair
    found: dict[str, Doubled] = {}
    for pair in pairs.values():
        known = found.get(pair.kept.key, NOT_LISTED)
        expected = pair.kept.scope in handlers and pair.other.status < 400
        found[pair.kept.key] = Doubled(known.listed + 1, known.handled + bool(pair.handled), known.expected + expected)
    return found


def row_counts(stores: Sequence[Mapping[str, Values]], counted: Mapping[str, str]) -> dict[str, int]:
    """How many rows each key made, in the store that has most of them."""
    most: Counter[str] = Counter()
    for store in stores:
        here = Counter(str(row[field]) for table, field in counted.items() for row in store[table])
        most |= here
    return dict(most)


def audit(
    store: Stored, region_dirs: Sequence[str], workload: Workload, strong: Collection[str]
) -> tuple[dict[str, int], list[str]]:
    """Row counts over all stores, and what the workload's own check says of each region's sight of the tables.

    Rows of `strong` tables are in the global store alone, those of other tables in every region's.
    """
    tables = {*workload.counted, *workload.kept}
    everywhere = {table: [plain_fields(value) for _, value in store[table]] for table in tables & set(strong)}
    sights = [everywhere | rows(region_dir, tables - set(strong)) for region_dir in region_dirs]
    broken = [sentence for sight in sights for sentence in contradictions(workload, sight)]
    return row_counts(sights, workload.counted), list(dict.fromkeys(broken))
