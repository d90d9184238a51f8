"""What every part of the control plane is made with: the ports it may touch, and the node's view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proa.control.view import View
from proa.core.situation import Rules
from proa.ports import Clock, Entropy, GlobalStore, Telemetry


@dataclass(frozen=True, slots=True)
class Parts:
    """Ports and view, passed in at construction. Make it with `parts`."""

    store: GlobalStore
    clock: Clock
    entropy: Entropy
    telemetry: Telemetry
    view: View

    @property
    def rules(self) -> Rules:
        """What was declared."""
        return self.view.situation.rules


def parts(
    store: GlobalStore,
    rules: Rules,
    clock: Clock,
    entropy: Entropy,
    telemetry: Telemetry,
    waking: Sequence[str] = (),
) -> Parts:
    """One node's parts, with a view that nobody has started yet; only news of the tables `waking` concerns it."""
    return Parts(store, clock, entropy, telemetry, View(store, rules, clock, entropy, telemetry, waking))
