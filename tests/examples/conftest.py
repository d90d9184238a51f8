"""The authorizer's modules are imported by name, as its app imports them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "authorizer"))
