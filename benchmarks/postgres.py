"""A PostgreSQL server of the benchmarks' own, as durable as it comes: the usual store of peers.

It lives in a temporary folder, listens on a loopback port of its own, and is gone afterwards.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import free_port

FOLDERS = "/usr/lib/postgresql/*/bin"
ACCOUNTS = ("postgres", "nobody")
"""As whom it runs where the benchmarks run as root, whom it refuses."""
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
}
"""Every commit is synced; no checkpoint falls into what is measured."""


@contextmanager
def postgres() -> Iterator[str]:
    """A server that runs; yields how it is reached, and nothing ("") where none is installed."""
    programs = installed()
    if programs is None:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="proa-bench-postgres-") as folder:
        account, data, port = owner(Path(folder)), Path(folder) / "data", free_port()
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        options = shlex.join(["-h", "127.0.0.1", "-p", str(port), "-k", folder, *settings])
        control = [programs / "pg_ctl", "-D", data, "-w", "-s"]
        run_as(account, programs / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C")
        run_as(account, *control, "start", "-o", options, "-l", Path(folder) / "log")
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            run_as(account, *control, "stop", "-m", "fast")


def installed() -> Path | None:
    """The folder with the server's programs: that on the path, else the newest that the system's packages have."""
    found = shutil.which("initdb")
    folders = sorted(Path("/").glob(FOLDERS.lstrip("/")), key=lambda folder: float(folder.parent.name))
    return Path(found).resolve().parent if found else next(reversed(folders), None)


def owner(folder: Path) -> str | None:
    """The account that the server runs as, to which the folder then belongs; None for that of this process."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next(known[name] for name in ACCOUNTS if name in known)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return account.pw_name


def run_as(account: str | None, *command: object) -> None:
    """Run one of the server's programs, until it ends."""
    other = {} if account is None else {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
    subprocess.run(list(map(str, command)), cwd="/", check=True, stdout=subprocess.DEVNULL, **other)
