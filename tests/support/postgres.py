"""A PostgreSQL server of a test's (or a benchmark's) own, as durable as it comes.

It lives in a temporary folder, listens on a loopback port of its own, can be killed and started again, and is gone
afterwards.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.ports import free_port

FOLDERS = "usr/lib/postgresql/*/bin"
MISSING = "no PostgreSQL server is installed: `apt-get install postgresql`, or put its `initdb` on the PATH"
ACCOUNTS = ("postgres", "nobody")
"""As whom it runs for root, whom it refuses."""
SETTINGS = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
START_WITHIN_S = 30.0


class Server:
    """One server. `url` is how its only database is reached."""

    def __init__(self, programs: Path, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.url = self.url_at(self.port)
        self._account = _owner(folder)
        self._data = folder / "data"
        told = [f"--{name}={value}" for name, value in (SETTINGS | settings).items()]
        options = shlex.join(["-h", "127.0.0.1", "-p", str(self.port), "-k", str(folder), *told])
        self._control = [programs / "pg_ctl", "-D", self._data, "-w", "-s"]
        self._start = [*self._control, "start", "-o", options, "-l", folder / "log"]
        self._run(programs / "initdb", "-N", "-D", self._data, "-U", "proa", "-A", "trust", "-E", "UTF8", "--locale=C")

    def url_at(self, port: int | None) -> str:
        """How it is reached through another port, on which somebody passes on what is said."""
        return f"postgresql://proa@127.0.0.1:{port or self.port}/postgres"

    def start(self) -> None:
        """Start it; after a kill, as soon as nothing of the killed one is left."""
        end = time.monotonic() + START_WITHIN_S
        while True:
            try:
                return self._run(*self._start)
            except subprocess.CalledProcessError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it for good: nothing of it is kept, so nothing is written."""
        self._run(*self._control, "stop", "-m", "immediate")

    def kill(self) -> None:
        """SIGKILL, for the server and every process that it started."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        for process in [main, *_children(main)]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _run(self, *command: object) -> None:
        """Run one of the server's programs, until it ends."""
        other = {}
        if self._account:
            other = {"user": self._account, "group": pwd.getpwnam(self._account).pw_gid, "extra_groups": []}
        subprocess.run(list(map(str, command)), cwd="/", check=True, stdout=subprocess.DEVNULL, **other)


@contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A server that runs."""
    programs = installed()
    assert programs, MISSING
    with tempfile.TemporaryDirectory(prefix="proa-postgres-", ignore_cleanup_errors=True) as folder:
        own = Server(programs, Path(folder), settings)
        own.start()
        try:
            yield own
        finally:
            own.stop()


def installed() -> Path | None:
    """The folder with the server's programs: that on the path, else the newest that the system's packages have."""
    found = shutil.which("initdb")
    folders = sorted(Path("/").glob(FOLDERS), key=lambda folder: float(folder.parent.name))
    return Path(found).resolve().parent if found else next(reversed(folders), None)


def _owner(folder: Path) -> str | None:
    """The account that the server runs as, to which the folder then belongs; None for that of this process."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next(known[name] for name in ACCOUNTS if name in known)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return account.pw_name


def _children(parent: int) -> list[int]:
    """The processes that a process started."""
    listed = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]
