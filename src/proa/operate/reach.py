"""Finding a running system, and talking to its nodes.

A system is known by its state directory, which holds `cluster.json`. People's questions and wishes go over HTTP to the
control API of its regions, with an operator's token.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from proa.app import App
from proa.errors import NotRunning, ProaError, RegionSilent, Unavailable, UsageError, of_code
from proa.local.lock import held
from proa.runtime.config import Address, ClusterConfig, load

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


def state_dir_of(app: App) -> Path:
    """Where the state of an app's system is unless another folder was given: `.proa/<app name>`."""
    return BASE / app.name


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


def token_of(given: str | None) -> str:
    """The operator's token that is given, else that of the environment.

    Raises:
        UsageError: there is none.
    """
    if token := given or os.environ.get("PROA_TOKEN"):
        return token
    raise UsageError("an operator's token is needed: set PROA_TOKEN (`proa operator add` makes one)")


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
        except RegionSilent as error:
            unreachable.append(f"{region}: {error.why}")
    raise Unavailable(f"no region answers ({'; '.join(unreachable)})")


def ask_region(
    config: ClusterConfig, region: str, method: str, path: str, body: Any = None, token: str | None = None
) -> Any:
    """Ask the control API of one region.

    Raises:
        RegionSilent: it does not answer; or any error with which it refused.
    """
    address = config.nodes[region].http
    assert address is not None
    try:
        return _call(address, method, CONTROL + path, body, token)
    except (OSError, http.client.HTTPException) as error:
        raise RegionSilent(region, str(error) or type(error).__name__) from error


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
    except ValueError:
        problem = Problem(detail=f"HTTP {status}: {content[:200].decode(errors='replace')}")
    return of_code(problem.code, problem.detail)
