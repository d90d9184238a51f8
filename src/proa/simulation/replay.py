"""A replay file: a case with its faults, what came of it, and where. Anybody who has it and the app has the failure.

It is JSON for people to read and to keep beside the code. The trace hash says whether a later run took the very same
course; where it did not, the versions and the commit say what has changed meanwhile.
"""

from __future__ import annotations

import platform
import sqlite3
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from proa.errors import UsageError
from proa.simulation.case import Case, Run
from proa.simulation.shrink import violates


class Replay(Case, frozen=True, kw_only=True):
    """A replay file's content: the case, the `invariant` that was violated and how, and what it was run with.

    `commit` is that of the working tree, ending with `-dirty` where it had changes; empty where there was no git.
    """

    invariant: str
    detail: str
    trace_hash: str
    versions: dict[str, str]
    commit: str = ""

    @property
    def case(self) -> Case:
        """The case alone, which is what is run."""
        return Case(**{name: getattr(self, name) for name in Case.__struct_fields__})


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay said: whether the run is the same, and whether the invariant is still violated.

    `changed`: what differs from the file's versions, as (then, now). `violations` are all that there are now.
    """

    invariant: str
    violated: bool
    same_trace: bool
    changed: dict[str, tuple[str, str]]
    violations: tuple[str, ...]


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    return {
        "proa": version("proa"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "msgspec": version("msgspec"),
    }


@cache
def commit() -> str:
    """The commit of the working tree in the current folder, or nothing; asked once."""
    command = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - all constants
    except OSError:
        return ""
    return told.stdout.strip() if told.returncode == 0 else ""


def replay_of(run: Run, invariant: str) -> Replay:
    """What a file about this failing run holds."""
    detail = next(violation.detail for violation in run.violations if violation.invariant == invariant)
    return Replay(
        **msgspec.structs.asdict(run.case),
        invariant=invariant,
        detail=detail,
        trace_hash=run.trace_hash,
        versions=versions(),
        commit=commit(),
    )


def save(replay: Replay, file: Path) -> None:
    """Write it, in folders that are made where they are missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(replay)) + b"\n")


def load(file: Path) -> Replay:
    """Read it.

    Raises:
        UsageError: there is no such file, or it is no replay file.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file; `proa sim run` writes one for each failing seed")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Replay)
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is no replay file: {error}") from error


def judge(replay: Replay, run: Run) -> Verdict:
    """Compare a run of the file's case with what the file says."""
    return Verdict(
        invariant=replay.invariant,
        violated=violates(run, replay.invariant),
        same_trace=run.trace_hash == replay.trace_hash,
        changed=_changed(replay),
        violations=tuple(f"{violation.invariant}: {violation.detail}" for violation in run.violations),
    )


def _changed(replay: Replay) -> dict[str, tuple[str, str]]:
    then, now = {**replay.versions, "commit": replay.commit}, {**versions(), "commit": commit()}
    return {name: (then.get(name, ""), value) for name, value in now.items() if then.get(name, "") != value}
