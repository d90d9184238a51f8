"""What every process of a system starts from: real ends of the world, the app, and the rules that follow from it."""

from __future__ import annotations

import sys

import msgspec

from proa.app import App, load_app
from proa.core.situation import Rules
from proa.errors import DeclarationError, ProaError
from proa.nodes.plane import rules_for
from proa.observe import logs
from proa.observe.hub import Hub
from proa.runtime.clock import SystemClock, SystemEntropy
from proa.runtime.config import ClusterConfig


class Ends(msgspec.Struct, frozen=True):
    """The real ends of one process: clock, entropy, and the one stream of events, which goes to the log."""

    clock: SystemClock
    entropy: SystemEntropy
    hub: Hub


def ends() -> Ends:
    """This process's own."""
    hub = Hub()
    hub.subscribe(logs.subscriber)
    return Ends(SystemClock(), SystemEntropy(), hub)


def declared(target: str) -> App:
    """The app at `target`; a mistake in the author's code becomes an error that names it."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # `module:attribute` is looked for in the current folder, as with `python -m`
    try:
        return load_app(target)
    except ProaError:
        raise
    except Exception as error:
        raise DeclarationError(f"{target} cannot be imported: {type(error).__name__}: {error}") from error


def rules_of(app: App, config: ClusterConfig) -> Rules:
    """What the control plane must know of the declaration, with the configuration's overrides."""
    return rules_for(
        app,
        config.node("witness"),
        config.node("edge"),
        lease_s=config.lease_s,
        failover=config.failover,
        hold_down_s=config.hold_down_s,
    )
