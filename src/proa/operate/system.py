"""A running system, as an operator's program reaches it."""

from __future__ import annotations

from pathlib import Path

from proa.app import App
from proa.operate.asking import Regions
from proa.operate.dead_letters import DeadLetters
from proa.operate.reach import find, state_dir_of, token_of


class System:
    """A running system and the operator who asks it.

    `where` is its state directory or its app; the one that runs below `.proa` unless given. `token` is the operator's,
    `NAME.SECRET`; that of the environment (`PROA_TOKEN`) unless given. `proa operator add` makes one.

    Raises:
        NotRunning: there is no such system.
        UsageError: several run there, or there is no token.
    """

    def __init__(self, where: App | Path | str | None = None, token: str | None = None) -> None:
        self._token = token_of(token)
        self._config = find(state_dir_of(where) if isinstance(where, App) else Path(where) if where else None)

    @property
    def regions(self) -> tuple[str, ...]:
        """The names of its regions, in declared order."""
        return self._config.regions()

    def dead_letters(self, queue: str) -> DeadLetters:
        """The messages of a queue that were given up. Whether there is such a queue is seen when they are asked for."""
        return DeadLetters(Regions(self._config, self._token, "queues"), queue)
