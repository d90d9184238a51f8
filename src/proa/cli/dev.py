"""`proa dev APP`: the app as a whole multi-region system on this machine, until Ctrl-C.

On a terminal it keeps a table of the nodes below a stream of what happens; elsewhere, or with `--json`, the stream
alone. A change of the app's files restarts the regions one after another, so that the system goes on serving.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from proa.cli import events
from proa.cli.board import Board
from proa.cli.output import OK, print_line
from proa.cli.reload import reloads
from proa.cli.watch import watched
from proa.local.cluster import Cluster
from proa.local.plane import declared
from proa.nodes.plane import background
from proa.operate.reach import state_dir_of

PORT = 8080


@dataclass(frozen=True, kw_only=True)
class DevOptions:
    """What the system is like."""

    rtt_ms: float = 0.0
    """The round trip between regions."""
    lease_s: float | None = None
    """Overrules the app's lease."""
    failover: Literal["approval", "automatic"] | None = None
    """Overrules who decides on a fail-over."""
    global_store: str = ""
    """The PostgreSQL database (postgresql://...) with the global store; the witness keeps it unless given."""


_DEFAULTS = DevOptions()


class Serving(msgspec.Struct, frozen=True):
    """The system is ready: where clients enter, and where its state is."""

    url: str
    regions: dict[str, str]
    state_dir: str


def dev(
    app: str,
    *,
    port: int = PORT,
    state_dir: Path | None = None,
    options: Annotated[DevOptions, Parameter(name="*")] = _DEFAULTS,
    reload: bool = True,
    json: bool = False,
) -> int:
    """Run an app as a whole multi-region system on this machine.

    Args:
        app: a folder with `app.py`, a file, or `module:attribute`.
        port: where clients enter; 0 takes any free one.
        state_dir: where the system's data is kept; `.proa/<app name>` unless given.
        options: what the system is like.
        reload: restart the regions, one after another, when the app's files change.
        json: print what happens as JSON lines.
    """
    folder = state_dir or state_dir_of(declared(app))
    board = Board() if sys.stderr.isatty() and not json else None
    tell: Callable[[msgspec.Struct], None] = _told_as_json if json else board.tell if board else events.told
    cluster = Cluster(app, folder, port=port or None, log=tell, **asdict(options))
    asyncio.run(_serve(cluster, tell, board, reload=reload))
    return OK


async def _serve(
    cluster: Cluster, tell: Callable[[msgspec.Struct], None], board: Board | None, *, reload: bool
) -> None:
    """Run until interrupted or told to end (SIGTERM); Ctrl-C leaves through `asyncio.run` as KeyboardInterrupt."""
    serving = asyncio.current_task()
    assert serving is not None
    ended = asyncio.Event()

    def end() -> None:
        ended.set()
        serving.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    try:
        async with cluster:
            urls = {name: cluster.region_url(name) for name in cluster.regions}
            tell(Serving(cluster.edge_url, urls, str(cluster.state_dir)))
            screen: AbstractContextManager[object] = board.live(cluster) if board else nullcontext()
            work = [watched(cluster, tell, board), *([reloads(cluster, tell)] if reload else [])]
            with screen:
                async with background(work):
                    await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not ended.is_set():
            raise


def _told_as_json(event: msgspec.Struct) -> None:
    print_line(events.as_data(event))
