"""The ports: everything between a decision and the world. One screen, no code.

Whatever touches a clock, randomness, the network or a disk goes through one of these, so that the same runtime runs as
processes, in a simulation, and on another backend.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from proa.core import home
from proa.core.dedupe import Outcome, Pair
from proa.core.replicate.compaction import Retention
from proa.core.replicate.journal import Commit, Dot, Key, Row, Write
from proa.core.replicate.records import ConflictRecord, ConflictsWanted, Parked
from proa.core.replicate.repair import Fix, Held, Stretch, Sum
from proa.core.replicate.snapshot import Page, Place
from proa.core.replicate.stamp import Versions
from proa.core.replicate.tombstones import Passed
from proa.core.residency import Gap, Inventory
from proa.core.roles import Assignment, Cut


class Clock(Protocol):
    """Time. `monotonic` counts through suspend; wall time is never compared between machines."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class ThreadClock(Clock, Protocol):
    """Time for code that runs in a thread of its own, and may block it."""

    def block(self, seconds: float) -> None: ...
    def cut(self, seconds: float, work: Callable[[], Any]) -> Any:
        """What `work` returns. TimeoutError when that takes longer, though it may still be going on then."""
        ...


class Entropy(Protocol):
    """Randomness: `random` in [0, 1) for jitter, `token` for identifiers and secrets (hex, `size` bytes)."""

    def random(self) -> float: ...
    def token(self, size: int = 16) -> str: ...


class Batch(msgspec.Struct, gc=False):
    """What one unit asks a store to commit, all or nothing.

    `id` makes a repeated call of a global store safe. `reads` are versions to validate (0: absent); `dots` the commits
    that wrote them. `epoch` is the one under which the unit acts, `places` those whose home it claims to be. What is
    `routine` is no news to anybody who watches.
    """

    id: str
    reads: dict[Key, int]
    writes: list[Write]
    outcome: Outcome | None = None
    dots: list[Dot] = []
    epoch: int = 0
    trace: str = ""
    routine: bool = False
    places: tuple[home.Place, ...] = ()


class Committed(msgspec.Struct, frozen=True, tag=True):
    """Durable. `seq` is that of `origin`'s journal (without one: a global store's revision), `at` the store's clock."""

    seq: int
    at: float
    origin: str = ""


class Conflict(msgspec.Struct, frozen=True, tag=True):
    """A row changed since it was read; run the unit again. `key` is the first row that changed."""

    key: Key


class Found(msgspec.Struct, frozen=True, tag=True):
    """The key was finished by another attempt: replay its outcome (or refuse, if the payload differs)."""

    outcome: Outcome


class Fenced(msgspec.Struct, frozen=True, tag=True):
    """The right to write is gone; nothing was committed. `code` is that of the error to raise."""

    code: str
    detail: str = ""


Result = Committed | Conflict | Found | Fenced


Position = tuple[str, str]
"""Where a row stands in an order of its table: its entry in the index (empty in the order of keys), then its key."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a table from `start` (included) to `end` (excluded), in the order of `index`, or of keys ("").

    At most `limit` rows are wanted, the last ones first where `reverse`; deleted rows and those expired `now` are not.
    """

    table: str
    start: Position
    end: Position
    limit: int
    now: float = 0.0
    index: str = ""
    reverse: bool = False


class Schema(msgspec.Struct, frozen=True):
    """What a store must know of a declared table.

    `entries` tells from a row's key and bytes its entry in each of `indexes` that finds it, and raises ValueError where
    they are no row of this table; `shape` is another one whenever `entries` may tell something else.
    """

    shape: str
    indexes: tuple[str, ...]
    entries: Callable[[str, bytes], Mapping[str, str]]


class Permit(Protocol):
    """Asked inside the store's transaction, just before the rows are written: None, or why it is refused."""

    def __call__(self, batch: Batch) -> Fenced | None: ...


class Terms(msgspec.Struct):
    """On what terms other origins' commits are applied; read inside the store's transaction, so changes count at once.

    `cuts` park what came too late, `epoch` is the one that they were learned with; `limits` is the last sequence to
    apply of an origin that is held.
    """

    cuts: tuple[Cut, ...] = ()
    epoch: int = 0
    limits: Versions = {}


ENTRIES_BYTES = 128 * 1024
"""How much of a journal is read at once: whoever serves a peer that was long away must not stop for it."""


Fits = Callable[[str, bytes], bool]
"""Whether a row's bytes belong where they are kept: (part of a table, bytes)."""


class Identity(msgspec.Struct, frozen=True):
    """Which life of which disk this is: issued by the global store, kept with the data.

    `whole_since` is the life since which the disk lost nothing; 0: the present one.
    """

    incarnation: int
    nonce: str
    whole_since: int = 0

    def followed(self, after: Identity) -> Identity:
        """The identity `after` of the same disk, which lost nothing in between."""
        return msgspec.structs.replace(after, whole_since=self.whole_since or self.incarnation)


class RegionStore(Protocol):
    """A region's own database. Reads see durable commits alone; `commit` returns after the commit is durable."""

    @property
    def origin(self) -> str: ...
    @property
    def whole_since(self) -> int:
        """The life since which this disk lost nothing; 0: the present one."""
        ...

    @property
    def damaged(self) -> str:
        """What was found damaged and is not mended, in words; empty where nothing is."""
        ...

    async def read(self, keys: Sequence[Key]) -> list[Row | None]: ...  # all of one moment
    async def query(self, span: Span) -> list[Row]: ...  # the same; may take its time, where many rows are deleted
    async def walk(self, span: Span) -> tuple[list[Row], Span | None]:
        """Those of the next rows of a stretch of keys that are there, and what is left of it, if anything.

        Unlike `query` it looks at no more rows than the limit says, also where a million of them are deleted.
        """
        ...

    async def count(self, span: Span) -> int: ...  # all of its rows, whatever the limit
    async def outcome(self, scope: str, key: str) -> Outcome | None: ...
    def finished_lately(self, scope: str, key: str) -> bool:
        """Whether looking the key up before the handler runs is worth it; the commit decides in any case."""
        ...

    def commit(self, batch: Batch) -> Awaitable[Result]: ...
    async def journal(self, after: Versions, limit: int, size: int = ENTRIES_BYTES) -> list[bytes]:
        """Durable commits (encoded) after the given cursor of each origin named, in each origin's order.

        At most `limit`, and no more once they have `size` bytes together. None of an origin whose floor lies above
        that cursor.
        """
        ...

    async def duplicates(self) -> list[Pair]:
        """Keys that two units finished, each for itself, as they were found here; for thirty days.

        A row of table `dedupe.HANDLED` under a pair's later unit says that it is handled, and by which unit.
        """
        ...

    def duplicates_counted(self) -> tuple[int, int]:
        """How many pairs are listed, and how many of them are handled."""
        ...

    def floors(self) -> Versions:
        """Up to where each origin's durable entries are dropped: what they made is in the base."""
        ...

    def latest_stamp(self) -> int:
        """The latest stamp given or seen here."""
        ...

    async def compact(self, retention: Retention) -> int:
        """Fold a bounded number of the oldest entries that may go into the base and drop them; how many.

        An entry goes after all that it depends on. One that is parked stays, as the floor rises over it.
        """
        ...

    async def snapshot(self, after: Place, size: int) -> Page:
        """About `size` bytes of what a region needs that lacks dropped entries, from a place on."""
        ...

    async def stage(self, page: Page, *, first: bool) -> bool:
        """Keep a page of a peer's snapshot durably; False where it does not belong to the pages since the `first`."""
        ...

    @property
    def joining(self) -> bool:
        """Whether a whole snapshot is staged and not yet merged: units and other regions' commits are refused."""
        ...

    async def merge_staged(self) -> bool:
        """Merge a bounded part of it; False when all is merged and the cursors have reached its floors."""
        ...

    async def forget(self, peers: Collection[Passed], limit: int, ended: float = 0.0) -> int:
        """Drop what all peers have passed of the `limit` oldest tombstones, and of as many rows expired by `ended`.

        How many there were.
        """
        ...

    async def apply(self, entries: Sequence[bytes], terms: Terms) -> Versions:
        """Merge, park or skip each commit whose dependencies and terms are met; the durable cursors afterwards."""
        ...

    async def gaps(self, limit: int, after: Dot = ...) -> list[Gap]:
        """What is missing of commits that were applied although they lack here what this region may hold, by dot."""
        ...

    async def fill(self, entries: Sequence[bytes]) -> int:
        """Take what other copies of such commits have; how many had something."""
        ...

    async def holdings(self, fits: Fits) -> Inventory:
        """Everything here that only some regions may hold, counted by looking at it; `fits` judges each row's bytes."""
        ...

    def cursors(self) -> Versions:
        """The durable cursor of every origin, this region's own included."""
        ...

    async def conflicts(self, wanted: ConflictsWanted = ...) -> list[ConflictRecord]: ...  # the newest first
    def conflicts_dropped(self) -> int: ...  # how many old ones the store has let go
    async def parked(self) -> list[Parked]: ...  # the lost-write list
    async def commits(self, dots: Iterable[Dot]) -> dict[Dot, Commit]: ...  # as far as the journal has them still
    def parked_between(self, origin: str, after: int, upto: int) -> int:
        """How many commits of an origin are set aside, after one sequence and up to another."""
        ...

    async def note(self, records: Sequence[ConflictRecord]) -> None: ...  # in the conflict log

    @property
    def repairs(self) -> RepairStore: ...

    async def changed(self, after: Versions, timeout_s: float) -> bool:
        """Wait until a durable commit lies beyond `after`, or there is a new origin; False when the time ran out."""
        ...


class RepairStore(Protocol):
    """A region's store, as anti-entropy sees it. Long reading goes in slices, so that nobody waits for it.

    `sums` and `heads` tell of living rows alone; `held` also of tombstones, and how far the region was at that moment.
    """

    async def sums(self, stretches: Sequence[Stretch]) -> list[Sum]: ...
    async def heads(self, stretch: Stretch) -> dict[str, bytes]: ...  # by key
    def held(self, keys: Sequence[Key], asked: Sequence[Dot] = ()) -> Held: ...
    async def made(self, keys: Sequence[Key]) -> dict[Key, Row | None]:
        """What the durable journal without its parked commits makes of these rows; None: no commit wrote it."""
        ...

    async def entries(self, dots: Sequence[Dot]) -> dict[Dot, bytes]: ...  # as the journal has them, damaged or not
    async def torn(self, asked: Sequence[Dot] = ()) -> list[Dot]:
        """The entries of the journal that are known to be damaged, once those `asked` for were looked at."""
        ...

    async def fix(self, fixes: Sequence[Fix]) -> int:
        """Make rows what they should be, under a new version, where they are still as judged; how many were."""
        ...

    async def replace_entries(self, entries: Mapping[Dot, bytes]) -> None:
        """Put other regions' copies of commits in the place of those that the journal has."""
        ...


class HealthReport(msgspec.Struct, frozen=True):
    """A region's own cached verdict of itself: store, replication, declared checks. Never computed while asked."""

    status: Literal["pass", "warn", "fail"]
    failing: tuple[str, ...] = ()
    ready: bool = True


class RegionControl(Protocol):
    """What the control plane may ask of the region it lives in."""

    name: str

    @property
    def origin(self) -> str: ...
    @property
    def whole_since(self) -> int:
        """The life since which its disk lost nothing; 0: the present one."""
        ...

    def cursors(self) -> Versions: ...
    def health(self) -> HealthReport: ...
    def assume(self, assignment: Assignment, lease_until: float) -> None:
        """Act on these roles until `lease_until` (the region's monotonic clock)."""
        ...

    async def stop_before(self, epoch: int) -> None:
        """Return once all that was committed under epochs older than `epoch`, which is assumed, is durable."""
        ...

    async def drain(self, epoch: int) -> int:
        """Admit no more `active` writes, flush what was admitted; the final durable sequence of this origin."""
        ...

    def hold(self, origins: frozenset[str]) -> Versions:
        """Apply nothing more of these origins until a cut names them (empty: release all); the cursors then."""
        ...

    async def catch_up(self, targets: Versions, timeout_s: float) -> bool:
        """Pull from every survivor until the durable cursors cover `targets`."""
        ...

    async def rejoin(self, assignment: Assignment) -> None:
        """Set the suffix that the cuts name aside, take a new incarnation if it was this region's, catch up."""
        ...


class Changes(msgspec.Struct, frozen=True):
    """Rows of the watched tables that changed, and the revision up to which that is all.

    `kept_s` tells of each row how long the store surely had it, by the clock that runs through suspend.
    """

    revision: int
    rows: list[Row]
    at: float
    kept_s: list[float] = []


class View(msgspec.Struct, frozen=True):
    """Rows as they stood together at one revision of the global store; all up to it is in them, nothing later."""

    revision: int
    rows: list[Row | None]


class GlobalStore(Protocol):
    """The strongly consistent store. Each call may raise GlobalStoreUnreachable; `commit` also OutcomeUnknown.

    Calling `commit` again with the same batch id returns what the first call did.
    """

    async def read(self, keys: Sequence[Key]) -> list[Row | None]: ...  # all of one moment
    async def query(self, span: Span) -> list[Row]: ...
    async def view(self, keys: Sequence[Key], span: Span | None = None) -> View:
        """The rows under these keys, or else those of a span, with the revision that they are of."""
        ...

    async def scan(self, table: str) -> list[Row]: ...
    async def outcome(self, scope: str, key: str) -> Outcome | None: ...
    async def commit(self, batch: Batch) -> Result: ...
    async def watch(self, prefix: str, after: int, timeout_s: float, waking: Sequence[str] = ()) -> Changes:
        """Rows of tables whose name starts with `prefix`, changed after revision `after`.

        Waits for the first that is news, in one of the tables `waking` where any is named. All the others come with
        it, or when the time is up; in no time, all.
        """
        ...


Method = Callable[[str, Any], Awaitable[Any]]
"""A method served to other nodes: (caller's node name, payload) -> reply; both plain msgpack values."""


class Link(Protocol):
    """The only way from node to node. Raises LinkDown (not sent), LinkTimeout (unknown), LinkRefused."""

    async def call(self, node: str, method: str, payload: Any, *, timeout_s: float = 1.0) -> Any: ...


class Outside(Protocol):
    """Other systems' documents, by address. Nothing is asked for that the app does not declare.

    Raises OSError (TimeoutError included) if nothing came, or something other than a document.
    """

    async def get(self, url: str, *, timeout_s: float) -> bytes: ...


class Secrets(Protocol):
    """Secrets by name. `read` gives the versions that are good now, the newest first.

    Raises OSError if nobody can tell, LookupError (by then) if there is none of this name.
    """

    async def read(self, name: str) -> tuple[str, ...]: ...


class Edge(Protocol):
    """Where clients enter. `apply` puts an assignment's routing into effect if it is newer than the one in effect."""

    async def apply(self, assignment: Assignment) -> bool: ...


class Dependencies(Protocol):
    """What an app's dependencies are reached through, where something stands in for them, or breaks them."""

    def reached(self, dependency: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """What to call instead of a function that calls a dependency."""
        ...


class Telemetry(Protocol):
    """The one stream of events; logs, metrics, traces and the dashboard subscribe to it."""

    def emit(self, event: msgspec.Struct) -> None: ...


Severity = Literal["debug", "info", "warning", "error"]
Labels = Mapping[str, str]
