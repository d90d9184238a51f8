"""What a drill sends: a workload is written by the app's own team, in `drill.py` beside `app.py`.

A drill can only judge an app by requests that mean something to it. So the app's folder holds a file `drill.py` with a
class `Workload` that derives from the one here; `request` alone is required. The load process makes one instance, calls
`setup` once, then `request(number, rng)` for each due time, and `read_back` for each acknowledged write. At the end
every survivor is asked for all that was acknowledged, and rows are counted in the stores themselves.

Two rules make the count honest:
- All randomness comes from `rng`, so that a seed repeats the drill.
- A row named in `counted` keeps the Idempotency-Key of the request that made it in a field of its own, and its primary
  key is made by the handler (from `ctx.unit`, for example). Were the primary key the client's, a second effect would
  overwrite the first, and nobody could count it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NoReturn, Protocol, cast

import msgspec

from proa.app import App
from proa.declare.codec import field_names
from proa.errors import AppNotFound, DeclarationError

FILE = "drill.py"


class Request(msgspec.Struct, frozen=True):
    """One request. `key` is sent as `Idempotency-Key`; only requests with a key are repeated on purpose.

    `headers` are besides Host, Content-Length, Content-Type (application/json where there is a body) and the key.
    """

    method: str
    path: str
    body: bytes = b""
    key: str = ""
    headers: tuple[tuple[str, str], ...] = ()


Send = Callable[[Request], Awaitable[bytes]]
"""Sends a request through the edge, waits until it is answered with 2xx, and returns the body."""
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table name -> the rows that one store holds at the end, as plain values."""


class Workload(Protocol):
    """Derive from this class; override what the app needs."""

    counted: ClassVar[Mapping[str, str]] = {}
    """Table -> the field that holds the Idempotency-Key of the request that made the row. Two rows with one key are a
    duplicate."""
    small: bool = False
    """Set where a run is short (a simulation of a hundred requests): prepare accordingly little."""
    kept: ClassVar[Sequence[str]] = ()
    """Further tables that `check` wants to see."""

    def surroundings(self) -> AbstractContextManager[Mapping[str, str]]:
        """What the app needs beside the system, for example an identity provider.

        Entered in the drill's process before the system starts, left after it stopped. The variables that it yields
        are in the environment of every region and of the load process.
        """
        return nullcontext({})

    def simulated(self) -> AbstractContextManager[None]:
        """What stands in for `surroundings` in a simulation, which has neither processes nor a network.

        Raises:
            DeclarationError: the app needs surroundings, and nothing stands in for them.
        """
        if type(self).surroundings is not Workload.surroundings and not self.documents():
            raise DeclarationError(
                f"{type(self).__module__}: the app has surroundings, which a simulation cannot start; "
                "override `simulated` with something that stands in for them"
            )
        return nullcontext()

    def documents(self) -> Mapping[str, bytes]:
        """What other systems answer in a simulation, by address: an identity provider's keys, for example."""
        return {}

    async def setup(self, send: Send) -> None:
        """Prepare through the edge what the requests rely on (accounts, sessions); may keep answers in `self`."""

    def request(self, number: int, rng: Random) -> Request:
        """The request due at `number / rate` seconds. Every one of them is expected to be answered with 2xx."""
        ...

    def read_back(self, request: Request, answer: bytes) -> Request | None:  # noqa: ARG002 - an override reads them
        """The GET that must find, in every survivor, what this acknowledged request wrote; None for a read."""
        return None

    def examine(self, request: Request, answer: bytes) -> str | None:  # noqa: ARG002 - an override reads them
        """What is wrong with the answer to an acknowledged request, in words; "" where nothing is, None: not examined.

        Each answer is examined as it comes, so this tells what clients were told at every moment of a drill.
        """
        return None

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers with which a drill reads back, credentials for example."""
        return ()

    def check(self, rows: Rows) -> Sequence[str]:  # noqa: ARG002 - an override reads them
        """What contradicts the app's own invariants, one sentence each, in one store's rows of `counted` and `kept`."""
        return ()


class _Sight(dict[str, Sequence[Mapping[str, Any]]]):
    """The rows of one store that a workload asked to see; another table's are not empty, they were never read."""

    def __missing__(self, table: str) -> NoReturn:
        raise DeclarationError(f"`check` of the workload wants the rows of {table}: name that table in its `kept`")


def contradictions(workload: Workload, rows: Rows) -> Sequence[str]:
    """What the workload's own `check` says of one store's rows.

    Raises:
        DeclarationError: it wants to see a table that is neither in `counted` nor in `kept`.
    """
    return list(workload.check(_Sight(rows)))


def drill_file(app: str) -> Path:
    """The `drill.py` that belongs to APP: a folder, a file, or `module:attribute`."""
    path = Path(app)
    if not path.exists() and ":" in app:
        spec = importlib.util.find_spec(app.partition(":")[0])
        path = Path(spec.origin) if spec and spec.origin else path
    found = (path if path.is_dir() else path.parent) / FILE
    if not found.is_file():
        raise AppNotFound(f"{app}: there is no {found}; a drill needs a workload (see proa.chaos.workload)")
    return found.resolve()


def workload_of(target: str, app: App) -> Workload:
    """The workload of the app at `target`, a folder, a file, or `module:attribute`.

    Raises:
        AppNotFound: there is no `drill.py`.
        DeclarationError: it declares no workload, or one that names tables or fields which the app does not have.
    """
    workload = load_workload(drill_file(target))
    for table in (*workload.counted, *workload.kept):
        if table not in app.tables:
            known = ", ".join(app.tables) or "none"
            raise DeclarationError(f"the workload of {app.name} names the table {table!r}; the app has {known}")
    for table, field in workload.counted.items():
        if field not in (field_names(app.tables[table].kind) or (field,)):
            raise DeclarationError(f"the workload of {app.name} counts {table} by {field!r}, which is no field of it")
    return workload


def load_workload(file: Path) -> Workload:
    """The instance of `Workload` that `drill.py` declares; its folder is importable meanwhile and afterwards."""
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(f"proa_drill_{file.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    declared = getattr(module, "Workload", None)
    if not isinstance(declared, type) or not hasattr(declared, "request"):
        raise DeclarationError(f"{file} declares no class Workload with a method `request`")
    return cast("Workload", declared())
