"""Reloading: when the app's files change and still make an app, its regions are restarted one after another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from proa.errors import ProaError, ReloadRefused
from proa.local.cluster import Cluster

LOOK_EVERY_S = 0.5
_SKIPPED = {"__pycache__", ".proa", ".git", ".venv", "node_modules"}


class Reloading(msgspec.Struct, frozen=True):
    """These files changed; the regions are restarted."""

    files: tuple[str, ...]


class Reloaded(msgspec.Struct, frozen=True):
    """Every region runs the new code."""

    regions: tuple[str, ...]


class NotReloaded(msgspec.Struct, frozen=True):
    """The changed files do not make an app that these regions could run; the old code goes on."""

    why: str


class Shape(msgspec.Struct, frozen=True):
    """What `proa check --json` says of an app. Routes concern the edge too; the rest is the system's own."""

    topology: str
    regions: tuple[str, ...]
    routes: list[dict[str, object]]


Stamps = dict[Path, int]


async def reloads(cluster: Cluster, tell: Callable[[msgspec.Struct], None]) -> None:
    """Watch the files beside the app for ever."""
    folder = folder_of(cluster.app_path)
    stamps, shape = stamps_of(folder), await _checked(cluster.app_path)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        found = stamps_of(folder)
        if changed := sorted(str(path.relative_to(folder)) for path, _ in found.items() ^ stamps.items()):
            stamps = found
            tell(Reloading(tuple(dict.fromkeys(changed))))
            try:
                shape = await _reload(cluster, shape)
                tell(Reloaded(cluster.regions))
            except ProaError as error:
                tell(NotReloaded(error.detail))


async def _reload(cluster: Cluster, before: Shape) -> Shape:
    """Restart on the new code: region by region, and the edge where the routes it knows have changed."""
    after = await _checked(cluster.app_path)
    if (after.topology, after.regions) != (before.topology, before.regions):
        raise ReloadRefused("regions or topology changed: stop `proa dev` and start it again with another --state-dir")
    for region in cluster.regions:
        await cluster.restart(region)
    if after.routes != before.routes:
        await cluster.restart(cluster.config.node("edge"))
    return after


async def _checked(target: str) -> Shape:
    """The app as a fresh interpreter sees it: this process keeps the modules that it has imported."""
    argv = (sys.executable, "-m", "proa.cli", "check", target, "--json")
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    output, said = await child.communicate()
    try:
        return msgspec.json.decode(output, type=Shape)
    except ValueError:
        raise ReloadRefused(_why(said)) from None


def _why(said: bytes) -> str:
    """The detail of the error that the check ended with; all it said where that is no error of ours."""
    try:
        return msgspec.json.decode(said, type=dict[str, str])["detail"]
    except (ValueError, KeyError):
        return said.decode(errors="replace").strip()


def folder_of(target: str) -> Path:
    """The folder whose files make the app: its own, or the current one for a module."""
    path = Path(target)
    if path.is_dir():
        return path
    return path.parent if path.is_file() else Path.cwd()


def stamps_of(folder: Path) -> Stamps:
    """When each Python file of the app was last changed."""
    return {path: path.stat().st_mtime_ns for path in _sources(folder) if path.exists()}


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name not in _SKIPPED:
            yield from _sources(path)
        elif path.suffix == ".py":
            yield path
