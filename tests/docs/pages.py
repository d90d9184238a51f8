"""Reads the fenced blocks of a page, and runs what they show as a reader would: in order, in one shell, in one folder.

A block's info string says how. `console` commands are run, and the output shown must appear (`...` is anything);
`console background=TEXT` starts one command and waits until it has said TEXT; `console slow` needs real processes;
`console elsewhere` is run by other means (a test names them). `LANGUAGE file=PATH` writes the block to a
file, `file=+PATH` appends it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from support.ports import free_port

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
FENCE = re.compile(r"^```(\w+)(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_PORTS = ("8700", "8790")
"""Ports that the documents name; a run takes free ones in their place."""
DATABASE = "postgresql://proa:PASSWORD@db.internal:5432/payments"
"""The database that the documents name; a run takes a server of the tests in its place."""
COMMAND_WITHIN_S = 90
READY_WITHIN_S = 30


class Command(NamedTuple):
    text: str
    output: list[str]


class Block(NamedTuple):
    language: str
    info: str
    text: str

    def option(self, name):
        """The value of `name=VALUE` in the info string."""
        found = re.search(rf"\b{name}=(\S+)", self.info)
        return found and found[1]

    def has(self, word):
        return word in self.info.split()

    def commands(self):
        """Each `$ command` with the output shown under it."""
        found: list[Command] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            else:
                found[-1].output.append(line)
        return found


def blocks(page):
    """All fenced blocks of a page that name a language."""
    return [Block(language, info.strip(), text) for language, info, text in FENCE.findall(page.read_text())]


def runnable(page):
    """The blocks that a run of the page executes or writes."""
    return [b for b in blocks(page) if (b.language == "console" and not b.has("elsewhere")) or b.option("file")]


def slow(page):
    """Whether the page starts real processes."""
    return any(block.has("slow") or block.option("background") for block in runnable(page))


def shown(expected, actual):
    """Whether the output shown is what came, `...` standing for anything."""
    wanted = re.escape("\n".join(line.rstrip() for line in expected).strip()).replace(r"\.\.\.", ".*?")
    got = "\n".join(line.rstrip() for line in actual.splitlines()).strip()
    return not expected or re.fullmatch(wanted, got, re.DOTALL) is not None


class Shell:
    """One bash that stays for the whole page, so that `export` and `cd` last."""

    def __init__(self, folder, database=""):
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PROA_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }
        self.folder = folder
        self.shown = {shown_port: str(free_port()) for shown_port in SHOWN_PORTS} | {DATABASE: database}
        self.background: list[subprocess.Popen] = []
        self.process = self.start(["bash", "--norc"], stdin=subprocess.PIPE)

    def start(self, argv, **options):
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )

    def here(self, text):
        """The text with the ports shown replaced by free ones, and the database by one that is there."""
        for shown, real in self.shown.items():
            text = text.replace(shown, real)
        return text

    def run(self, command):
        """Its exit code and what it printed."""
        self.process.stdin.write(f"{self.here(command)}\nprintf '\\n==%d==\\n' $?\n")
        self.process.stdin.flush()
        killer = threading.Timer(COMMAND_WITHIN_S, self.process.kill)
        killer.start()
        lines: list[str] = []
        for line in self.process.stdout:
            if found := re.fullmatch(r"==(\d+)==\n", line):
                killer.cancel()
                return int(found[1]), "".join(lines)
            lines.append(line)
        raise AssertionError(f"{command} did not end in time:\n{''.join(lines)}")

    def run_background(self, command, said):
        """Start it, and wait until it has said so."""
        process = self.start(["bash", "-c", f"exec {self.here(command)}"])
        self.background.append(process)
        heard: list[str] = []
        ready = threading.Event()

        def listen():
            for line in process.stdout:
                heard.append(line)
                if said in line:
                    ready.set()

        threading.Thread(target=listen, daemon=True).start()
        end = time.monotonic() + READY_WITHIN_S
        while not ready.wait(0.05):
            assert process.poll() is None, f"{command} ended:\n{''.join(heard)}"
            assert time.monotonic() < end, f"{command} did not say {said!r}:\n{''.join(heard)}"

    def close(self):
        """End what was started, as Ctrl-C would."""
        for process in self.background:
            process.send_signal(signal.SIGINT)
        codes = [process.wait(30) for process in self.background]
        for process in self.background:
            process.stdout.close()
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()
        assert all(code in (0, 130) for code in codes)
