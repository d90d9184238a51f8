# noqa: INP001 - a program of the documents, not a package
"""Writes the pages that the code itself can tell: `python docs/reference/generate.py`.

errors.md comes from the docstrings of the error classes, cli.md from the commands' own help, dangers.md from the rules
of `proa check`, admission.md from the stages of admission, consistency-*.md from what the examples declare; the figures
of choosing-a-mode.md from a run of the benchmark, the diagram of dependencies.md from the order in which policies are
composed.
"""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclopts import App as Cli
from rich.console import Console

from proa.cli import admission
from proa.cli.consistency import markdown, page
from proa.cli.dangers import RULES, Rule
from proa.cli.main import COMMANDS, build
from proa.core.policy.compose import ORDER, Layer
from proa.errors import BY_CODE, ProaError
from proa.local.plane import declared

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
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
MODES = HERE.parents[1] / "benchmarks" / "modes.json"
FIGURES, END = "<!-- figures -->", "<!-- end of figures -->"
THE_ORDER, END_OF_ORDER = "<!-- order -->", "<!-- end of order -->"
LOSSES = ("refused or slow for", "failed", "missing")
COMMAND_LINE = """# The command line

Generated from the commands' help by `python docs/reference/generate.py`.

Data goes to standard output, progress and errors to standard error. `--json` prints JSON. Nothing asks a question
where there is no terminal. Where options come from besides flags: [configuration](configuration.md).
`proa --install-completion` lets bash, zsh, fish or PowerShell complete commands and options.

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
    return {
        "errors.md": errors(),
        "cli.md": command_line(),
        "dangers.md": dangers(),
        "admission.md": admission.markdown(),
        "../guides/choosing-a-mode.md": choosing(),
        "../guides/dependencies.md": depending(),
        **promises(),
    }


def promises() -> dict[str, str]:
    """What each example promises."""
    examples = sorted(path.parent for path in EXAMPLES.glob("*/app.py"))
    return {f"consistency-{folder.name}.md": markdown(page(declared(str(folder)))) for folder in examples}


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


def choosing() -> str:
    """The guide to modes, with the figures of `benchmarks/modes.json` between its two marks."""
    before, _, rest = (HERE / "../guides/choosing-a-mode.md").read_text().partition(FIGURES)
    _, _, after = rest.partition(END)
    return f"{before}{FIGURES}\n{mode_figures()}\n{END}{after}"


def mode_figures() -> str:
    """A line for each mode: what a write costs near and far, and what the loss of a region cost."""
    record = json.loads(MODES.read_text())
    found = {figure["name"]: figure for figure in record["figures"]}
    costs = [name.removesuffix(", 0 ms: write p50") for name in found if name.endswith(", 0 ms: write p50")]
    losses = [name.removesuffix(", region lost: failed") for name in found if name.endswith(", region lost: failed")]
    machine = record["machine"]
    return "\n".join(
        [
            "| mode | p50, p99 at 0 ms | p50, p99 at 40 ms | writes/s at 0 ms | writes/s at 40 ms |",
            "|---|---|---|---|---|",
            *(f"| `{_coded(mode)} | {' | '.join(_cost(found, mode))} |" for mode in costs),
            "",
            "| mode | refused or slow for | requests failed | acknowledged writes missing until the disk returns |",
            "|---|---|---|---|",
            *(f"| `{_coded(mode)} | {' | '.join(_loss(found, mode))} |" for mode in losses),
            "",
            f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}.",
        ]
    )


def depending() -> str:
    """The guide to dependencies, with the order of policies between its two marks."""
    before, _, rest = (HERE / "../guides/dependencies.md").read_text().partition(THE_ORDER)
    _, _, after = rest.partition(END_OF_ORDER)
    return f"{before}{THE_ORDER}\n{order_of_policies()}\n{END_OF_ORDER}{after}"


def order_of_policies() -> str:
    """Boxes in boxes, the outermost policy first."""
    return "\n".join(["```text", *_boxes(list(ORDER)), "```"])


def _boxes(layers: list[Layer]) -> list[str]:
    if not layers:
        return ["the function"]
    layer, *inner = layers
    inside = [f"{layer.name}: {layer.does} (for each {layer.acts_for})", *_boxes(inner)]
    width = max(map(len, inside))
    edge = "─" * (width + 2)
    return [f"┌{edge}┐", *(f"│ {line.ljust(width)} │" for line in inside), f"└{edge}┘"]


def _coded(mode: str) -> str:
    """The mode's own word as code, the rest as it is."""
    word, comma, rest = mode.partition(",")
    return f"{word}`{comma}{rest}"


def _cost(found: Mapping[str, Any], mode: str) -> Iterator[str]:
    for rtt_ms in (0, 40):
        p50, p99 = (found[f"{mode}, {rtt_ms} ms: write {which}"]["value"] for which in ("p50", "p99"))
        yield f"{p50:.1f} ms, {p99:.1f} ms"
    for rtt_ms in (0, 40):
        yield f"{found[f'{mode}, {rtt_ms} ms: throughput']['value']:,.0f}"


def _loss(found: Mapping[str, Any], mode: str) -> Iterator[str]:
    slow, failed, missing = (found[f"{mode}, region lost: {what}"] for what in LOSSES)
    yield f"{slow['value']:.1f} s"
    yield f"{failed['value']:,} {slow['note'].partition(' requests')[0]}"
    yield f"{missing['value']:,}"


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
