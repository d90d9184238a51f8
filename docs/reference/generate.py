# noqa: INP001 - a program of the documents, not a package
"""Writes the pages that the code itself can tell: `python docs/reference/generate.py`.

errors.md comes from the docstrings of the error classes, cli.md from the commands' own help, dangers.md from the rules
of `proa check`.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App as Cli
from rich.console import Console

from proa.cli.dangers import RULES, Rule
from proa.cli.main import COMMANDS, build
from proa.errors import BY_CODE, ProaError

HERE = Path(__file__).parent
WIDTH = 100
ERRORS = """# Errors

Generated from [`errors.py`](../../src/proa/errors.py) by `python docs/reference/generate.py`. `proa explain CODE`
prints one of them. An app's own errors are subclasses of these with codes of their own.

*Not started* means: the answer proves that nothing was committed, so any region may try again.
"""
DANGERS = """# Dangers

Generated from [`dangers.py`](../../src/proa/cli/dangers.py) by `python docs/reference/generate.py`. `proa check APP`
looks for these in an app and says where they are; `proa explain CODE` prints one of them.

*Refused*: it must be changed, and `proa check` exits with 3. *Warned*: it may be meant. What is read off the code of
handlers (K005, K006, K009) is a guess, and says what it saw.
"""
COMMAND_LINE = """# The command line

Generated from the commands' help by `python docs/reference/generate.py`.

Data goes to standard output, progress and errors to standard error. `--json` prints JSON. Nothing asks a question
where there is no terminal. Where options come from besides flags: [configuration](configuration.md).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | the command was called wrongly |
| 3 | an invariant or an objective was violated |
| 4 | an approval is missing or does not count |
| 5 | unsafe: more would be lost than allowed |
| 130 | interrupted |
"""


def pages() -> dict[str, str]:
    """File name -> content."""
    return {"errors.md": errors(), "cli.md": command_line(), "dangers.md": dangers()}


def errors() -> str:
    """Every error of Proa itself, by code."""
    own = [kind for kind in BY_CODE.values() if kind.__module__ == "proa.errors"]
    return "\n".join([ERRORS, *(entry(kind) for kind in sorted(own, key=lambda kind: kind.code))])


def entry(kind: type[ProaError]) -> str:
    """One error: heading, facts, explanation."""
    started = ", not started" if kind.not_started else ""
    first, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    explanation = rest.strip().replace("\nFix:", "\n\n**Fix:**").replace("Cause:", "**Cause:**", 1)
    return (
        f"## {kind.code} {kind.title}\n\n`{kind.__name__}`, status {kind.status}{started}\n\n{first}\n\n{explanation}\n"
    )


def dangers() -> str:
    """Every rule of `proa check`, by code."""
    return "\n".join([DANGERS, *(rule(found) for found in RULES)])


def rule(found: Rule) -> str:
    """One rule: heading, verdict, explanation."""
    told = f"{found.verdict.capitalize()}.\n\n**Cause:** {found.cause}.\n\n**Fix:** {found.fix}."
    return f"## {found.code} {found.title}\n\n{told}\n"


def command_line() -> str:
    """The help of every command and sub-command."""
    cli = build()
    return "\n".join([COMMAND_LINE, *(section for name in COMMANDS for section in sections(cli, (name,)))])


def sections(cli: Cli, words: tuple[str, ...]) -> Iterator[str]:
    """A command's help, then its sub-commands'."""
    out = io.StringIO()
    cli.help_print(list(words), console=Console(file=out, width=WIDTH, no_color=True, force_terminal=False))
    text = "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())
    yield f"## proa {' '.join(words)}\n\n```text\n{text}\n```\n"
    command = cli
    for word in words:
        command = command[word]
    for name in command:
        if not name.startswith("-"):
            yield from sections(cli, (*words, name))


if __name__ == "__main__":
    for name, content in pages().items():
        (HERE / name).write_text(content)
