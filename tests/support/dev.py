"""A running `proa dev`, and the command line beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from proa.cli.main import main


class Dev:
    """A `proa dev --json` of the app in `folder`, and what it said so far."""

    def __init__(self, folder):
        self.folder = folder
        command = [sys.executable, "-m", "proa.cli", "dev", "app", "--port", "0", "--json"]
        self.out = (folder / "out").open("wb")
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.out, stderr=self.out)

    def said(self, event):
        lines = (self.folder / "out").read_bytes().splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == event]

    @property
    def url(self):
        """Where clients enter."""
        return self.said("serving")[0]["url"]

    def until(self, event, count=1, timeout_s=15.0):
        deadline = time.monotonic() + timeout_s
        while len(found := self.said(event)) < count:
            assert self.process.poll() is None, (self.folder / "out").read_text()
            assert time.monotonic() < deadline, f"no {event!r} in {(self.folder / 'out').read_text()}"
            time.sleep(0.05)
        return found[count - 1]


def run(capsys, *arguments, code=0, token=None):
    """A command's JSON; it must end with `code`."""
    given = [*arguments, "--json", *(["--token", token] if token else [])]
    assert main(given) == code, capsys.readouterr()
    said = capsys.readouterr()
    return json.loads(said.out or said.err)
