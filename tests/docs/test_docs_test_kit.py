"""The guide to the test kit names what a world has, and all that can be done to one."""

import re

import pages

from proa import App
from proa.simulation import World, simulated
from proa.simulation.damage import Damage

GUIDE = (pages.ROOT / "docs" / "guides" / "testing.md").read_text()
OF_CHECKERS = {"give_up"}
"""What only the account of a drawn fault needs."""
PARTS = {"world": r"\bworld\.(\w+)", "network": r"\bworld\.network\.(\w+)", "disk": r"\bworld\.disk\(name\)\.(\w+)"}


def names(pattern):
    return sorted(set(re.findall(pattern, GUIDE)))


@simulated
async def test_a_world_has_everything_that_the_guide_names():
    async with World(App("empty", regions=["eu-west-1"])) as world:
        parts = {"world": world, "network": world.network, "disk": world.disk("eu-west-1")}
        absent = [(part, name) for part in parts for name in names(PARTS[part]) if not hasattr(parts[part], name)]
    assert absent == []


def test_the_guide_names_everything_that_can_be_done_to_a_world():
    done = {name for name in vars(Damage) if not name.startswith("_")} - OF_CHECKERS
    assert sorted(name for name in done if f"{name}(" not in GUIDE) == []
