"""`proa init FOLDER`: a small app of one's own, with its drill and the tests of an outage."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from proa.cli.output import OK, note, print_json
from proa.errors import UsageError

Template = Literal["active-active", "active-passive", "events"]
TEMPLATES = Path(__file__).parent / "templates"
NAME = "my-app"
"""What the templates are called."""


def init(folder: Path, *, template: Template = "active-active", name: str = "", json: bool = False) -> int:
    """Make a small app of one's own, with its drill and the tests of an outage.

    Nothing that is there is changed: the folder must be new or empty.

    Args:
        folder: where to make it.
        template: what to begin with. `active-active`: a shop that sells in every region; `active-passive`: a help desk
            with a standby that takes over by itself; `events`: sign-ups, and what follows from them.
        name: what logs and metrics call the app; else the folder's name.
        json: print JSON.
    """
    name = _name_for(folder, name)
    _verify_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = [_made(file, folder, name) for file in _files(template)]
    if json:
        print_json({"app": name, "template": template, "folder": str(folder), "files": [file.name for file in made]})
    else:
        sys.stdout.write(f"{name} is in {folder}: {', '.join(file.name for file in made)}\n")
        note(f"next: its README.md has the commands, of which the first is `proa check {folder}`")
    return OK


def _name_for(folder: Path, name: str) -> str:
    chosen = name or folder.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", chosen):
        raise UsageError(f"{chosen!r} is no name of an app: letters, digits, `.`, `_` and `-`; say another by --name")
    return chosen


def _verify_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and is not an empty folder; choose another")


def _files(template: Template) -> list[Path]:
    """What a template has in common with all others, and what is its own."""
    return sorted(file for part in (TEMPLATES, TEMPLATES / template) for file in part.iterdir() if file.is_file())


def _made(file: Path, folder: Path, name: str) -> Path:
    """A file of the template as one of the new app."""
    target = folder / file.name
    target.write_text(file.read_text().replace(NAME, name))
    return target
