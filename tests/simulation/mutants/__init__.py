"""Planted bugs: what a team that builds such a system might really get wrong, one file each.

A mutant replaces a piece of the framework for as long as `planted` lasts; the framework knows nothing of it. Its file's
docstring is the idea, and its function `plant` does the replacing. A simulation that is worth running finds each of
them; one that is not found is a hole in the workloads, checkers or faults.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

NAMES = tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))


def idea(name: str) -> str:
    """What is wrong in a mutant: the first sentence of its docstring."""
    return (_module(name).__doc__ or "").partition("\n")[0]


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Put a mutant in place; the framework is whole again afterwards."""
    with ExitStack() as stack:

        def replace(owner: object, attribute: str, piece: object) -> None:
            stack.enter_context(patch.object(owner, attribute, piece))

        _module(name).plant(replace)
        yield


def _module(name: str):
    return import_module(f".{name}", __name__)
