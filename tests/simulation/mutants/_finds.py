"""What found each mutant: kept as JSON, so that tests can run it again and a page can tell of it."""

from itertools import product
from pathlib import Path

import msgspec

APPS = ("active_passive", "active_active", "confirmed_pair")
PROFILES = ("everything", "outage", "partition", "clock", "disk", "rot")
PLACES = (
    *((f"proa.simulation.workloads.standard:{app}", profile) for profile, app in product(PROFILES, APPS)),
    *(("proa.simulation.workloads.messaging:active_active", profile) for profile in PROFILES),
    *(("proa.simulation.workloads.messaging:active_passive", profile) for profile in PROFILES),
    *(("proa.simulation.workloads.scheduled:scheduled", profile) for profile in PROFILES),
    *(("proa.simulation.workloads.errands:errands", profile) for profile in PROFILES),
    *(("proa.simulation.workloads.standard:confirmed_trio", profile) for profile in PROFILES),
    *(("proa.simulation.workloads.standard:homes", profile) for profile in PROFILES),
)
"""The standard apps and profiles, in the order in which a search goes through them."""
FILE = Path(__file__).parent / "found.json"


class Find(msgspec.Struct, frozen=True):
    """The case that found a mutant, the invariant that it contradicted, and after how many runs and seconds."""

    app: str
    profile: str
    seed: int
    invariant: str
    runs: int
    seconds: float


def load() -> dict[str, Find]:
    """The finds by mutant."""
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Find]) if FILE.exists() else {}


def save(finds: dict[str, Find]) -> None:
    """Keep the finds, sorted."""
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(finds.items()))), indent=1) + b"\n")
