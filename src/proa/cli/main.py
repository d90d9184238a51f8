"""The `proa` command: its commands, each imported when it is called, and where their options come from.

An option is taken from its flag, else from `PROA_<COMMAND>_<OPTION>`, else `PROA_<OPTION>`, both also out of `.env`,
else from `[tool.proa.<command>]`, else from `[tool.proa]` in `pyproject.toml`. Data goes to standard output, everything
else to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 an invariant or objective violated, 4 approval missing,
5 unsafe, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from cyclopts import App as Cli
from cyclopts import CycloptsError
from cyclopts.config import Env, Toml

from proa.cli.output import INTERRUPTED, USAGE, fail
from proa.errors import ProaError

COMMANDS: Mapping[str, str] = {
    "init": "Begin an app of your own: a small one, with its drill and the tests of an outage.",
    "dev": "Run an app as a whole multi-region system on this machine.",
    "status": "Show a running system's regions, roles, lag and plan.",
    "failover": "Ask for, approve, abort and watch fail-overs and fail-backs.",
    "insync": "Show who confirms each region's commits, and release a region from members that are gone.",
    "table": "Show what regions hold and where they differ, and settle what a fail-over lost.",
    "queue": "Show what waits in queues; pause and resume them.",
    "dlq": "Show, send back, edit and purge the messages that were given up.",
    "event": "Show events and their subscriptions, and replay events.",
    "schedule": "Show, run, pause and resume schedules.",
    "effect": "Show the calls to the outside whose outcome is unknown, and say what became of them.",
    "saga": "Show sagas that go on, are stuck or failed; retry, signal or cancel one.",
    "operator": "Add, list and remove the people who may operate a system.",
    "drill": "Take a region away under load, and measure what it costs.",
    "sim": "Run an app through thousands of simulated outages; replay and shrink a failing one.",
    "demo": "Lose a region in both examples, fail over and back, and print what it cost.",
    "check": "Check an app's declarations: routes, what they promise, and its merges.",
    "openapi": "Print the OpenAPI 3.1 document of an app's routes.",
    "doctor": "Check what this machine needs: Python, Envoy, ports, disk, clock.",
    "explain": "Explain an error code, or what an app's tables and routes promise.",
}


def build() -> Cli:
    """The command-line application."""
    cli = Cli(
        name="proa",
        help="Serverless applications that survive the loss of a region, and prove it first.",
        version=lambda: version("proa"),
        config=[
            Env("PROA_"),
            Env("PROA_", command=False),
            Toml("pyproject.toml", root_keys=("tool", "proa"), search_parents=True, allow_unknown=True),
            Toml(
                "pyproject.toml",
                root_keys=("tool", "proa"),
                search_parents=True,
                allow_unknown=True,
                use_commands_as_keys=False,
            ),
        ],
        result_action="return_value",
        help_format="plaintext",
    )
    cli.register_install_completion_command()  # pyright: ignore[reportUnknownMemberType]  # its keywords are untyped
    for name, summary in COMMANDS.items():
        cli.command(f"proa.cli.{name}:{name}", name=name, help=summary)
    return cli


def load_dotenv(path: Path) -> None:
    """Take `PROA_*` settings out of `.env`; what the environment says already stands."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and name.startswith("PROA_"):
            os.environ.setdefault(name.strip(), value.strip().strip("'\""))


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    load_dotenv(Path(".env"))
    as_json = "--json" in arguments
    try:
        code = build()(list(arguments), exit_on_error=False, print_error=not as_json)
    except CycloptsError as error:
        if as_json:
            sys.stderr.write(f"{error}\n")
        return USAGE
    except ProaError as error:
        return fail(error, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is silent
        return 1
    except OSError as error:
        return fail(ProaError(f"{error.filename or ''} {error.strerror or error}".strip()), as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
