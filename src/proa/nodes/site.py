"""The site: where a node stands. Its ends of the world are handed in, so it runs as a process or simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from proa.app import App
from proa.control.observer import Probe
from proa.control.parts import Parts, parts
from proa.core.situation import Rules
from proa.engines.sqlite.log import RunBlocking
from proa.observe.hub import Hub
from proa.ports import Clock, Dependencies, Entropy, GlobalStore, Link, Method, Outside, Secrets
from proa.runtime.gateway import Asgi
from proa.runtime.region import Region


class Ends(Protocol):
    """What every part of a node is made with: a clock, entropy, and the one stream of events."""

    @property
    def clock(self) -> Clock: ...
    @property
    def entropy(self) -> Entropy: ...
    @property
    def hub(self) -> Hub: ...


class Site(Ends, Protocol):
    """One node's ends of the world, and its place among the others."""

    @property
    def name(self) -> str: ...
    @property
    def app(self) -> App: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def link(self) -> Link: ...
    @property
    def outside(self) -> Outside: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def dependencies(self) -> Dependencies | None: ...

    @property
    def keeps_global_store(self) -> bool:
        """Whether the witness owns the global store; otherwise it is a service that every node reaches by itself."""
        ...

    def global_store(self) -> AbstractAsyncContextManager[GlobalStore]:
        """The global store as this node reaches it, for as long as the block runs."""
        ...

    def blocking(self) -> AbstractAsyncContextManager[RunBlocking]:
        """What runs a store's blocking calls off the loop."""
        ...

    def serve_link(self, methods: Mapping[str, Method]) -> AbstractAsyncContextManager[Any]:
        """Answer other nodes for as long as the block runs."""
        ...

    def serve_http(self, app: Asgi) -> AbstractAsyncContextManager[Any]:
        """Answer clients and probes for as long as the block runs."""
        ...

    def probing(self) -> AbstractAsyncContextManager[Probe]:
        """A probe of every region on its own address, as this node reaches it."""
        ...


class Running(msgspec.Struct, frozen=True):
    """A node that serves: the id of this boot, its part in the control plane and, for a region, the region.

    `abandon` closes its store as the end of the process would.
    """

    boot: str
    shared: Parts
    region: Region | None = None
    abandon: Callable[[], None] = lambda: None


def shared_parts(store: GlobalStore, rules: Rules, own: Ends, waking: Sequence[str] = ()) -> Parts:
    """The control plane's parts on these ends; only news of the tables `waking` (none: of all) concerns the node."""
    return parts(store, rules, own.clock, own.entropy, own.hub, waking)
