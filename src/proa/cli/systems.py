"""Finding a running system from the command line, and talking to it.

A system is known by its state directory, which holds `cluster.json`. People's questions and wishes go over HTTP to the
control API of any region that answers; only who may read `cluster.json` reaches the global store itself.
"""

from __future__ import annotations

import http.client
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from proa.core.roles import NODES
from proa.errors import NotRunning, ProaError, Unavailable, UsageError, of_code
from proa.local.lock import held
from proa.ports import GlobalStore
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import Address, ClusterConfig, load
from proa.runtime.global_client import GlobalClient
from proa.runtime.link import TcpLink

BASE = Path(".proa")
"""Where state directories are unless `--state-dir` says otherwise: `.proa/<app name>`."""
CONFIG = "cluster.json"
TIMEOUT_S = 5.0
CONTROL = "/_proa/control"


class Problem(msgspec.Struct):
    """What matters here of an application/problem+json answer."""

    code: str = ""
    title: str = ""
    detail: str = ""


def running(state_dir: Path) -> Iterator[ClusterConfig]:
    """The systems that run in this state directory, or in the folders below it."""
    folders = (
        [state_dir] if (state_dir / CONFIG).exists() else sorted(path.parent for path in state_dir.glob(f"*/{CONFIG}"))
    )
    for folder in folders:
        if held(folder):
            yield load(folder / CONFIG)


def find(state_dir: Path | None) -> ClusterConfig:
    """The one system meant.

    Raises:
        NotRunning: there is none.
        UsageError: there are several.
    """
    where = state_dir or BASE
    systems = list(running(where))
    if not systems:
        raise NotRunning(f"nothing is running in {where}")
    if len(systems) > 1:
        raise UsageError(f"several are running; name one with --state-dir: {', '.join(s.state_dir for s in systems)}")
    return systems[0]


def get(address: Address, path: str, token: str | None = None) -> Any:
    """GET a JSON document from one node."""
    return _call(address, "GET", path, None, token)


def control(config: ClusterConfig, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    """Ask the control API of the first region that answers.

    Raises:
        Unavailable: no region answers; or any error with which one refused.
    """
    unreachable: list[str] = []
    for region in config.regions():
        try:
            return ask_region(config, region, method, path, body, token)
        except (OSError, http.client.HTTPException) as error:
            unreachable.append(f"{region}: {error or type(error).__name__}")
    raise Unavailable(f"no region answers ({'; '.join(unreachable)})")


def ask_region(
    config: ClusterConfig, region: str, method: str, path: str, body: Any = None, token: str | None = None
) -> Any:
    """Ask the control API of one region."""
    address = config.nodes[region].http
    assert address is not None
    return _call(address, method, CONTROL + path, body, token)


@asynccontextmanager
async def global_store(config: ClusterConfig) -> AsyncGenerator[GlobalStore]:
    """The global store, over a link of this command's own."""
    link = TcpLink("cli", config.secret, lambda node: config.nodes[node].link, SystemEntropy())
    try:
        yield GlobalClient(link, SystemClock(), config.node("witness"))
    finally:
        await link.close()


async def look(config: ClusterConfig) -> dict[str, Any]:
    """The control plane's status, read from the control tables themselves."""
    from proa.control.desk import Desk
    from proa.local.plane import declared, ends, rules_of
    from proa.nodes.site import shared_parts

    async with global_store(config) as store:
        await store.scan(NODES)  # raises where the store does not answer; the view would only go on waiting
        shared = shared_parts(store, rules_of(declared(config.app), config), ends())
        await shared.view.poll(0)
        return await Desk("cli", shared).status()


def _call(address: Address, method: str, path: str, body: Any, token: str | None) -> Any:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise _error(answer.status, content)
    return msgspec.json.decode(content)


def _error(status: int, content: bytes) -> ProaError:
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(detail=f"HTTP {status}: {content[:200].decode(errors='replace')}")
    return of_code(problem.code, problem.detail)
