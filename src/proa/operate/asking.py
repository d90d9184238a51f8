"""Asking the regions of a running system, as an operator: one, each, or the first that answers.

What a region that does not answer would have said is missing. Commands tell people so, by `silent`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proa.errors import RegionSilent, Unavailable, UsageError
from proa.operate.reach import ask_region
from proa.runtime.config import ClusterConfig


class Asking(ABC):
    """The regions of a running system, and how they are asked."""

    @abstractmethod
    def regions(self, region: str) -> Sequence[str]:
        """The region named, or all of them."""

    @abstractmethod
    def ask(self, region: str, method: str, path: str, body: Any = None) -> Any:
        """Ask one region.

        Raises:
            RegionSilent: it does not answer; or any error with which it refused.
        """

    @abstractmethod
    def silent(self, error: RegionSilent, missing: str) -> None:
        """Learn that a region does not answer, and what is `missing` then."""

    def heard(self, region: str, method: str, path: str, body: Any = None, missing: str = "") -> Any:
        """The answer of one region; None where it does not answer, see `silent`."""
        try:
            return self.ask(region, method, path, body)
        except RegionSilent as error:
            self.silent(error, missing)
            return None

    def ask_first(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the first region that gives one.

        Raises:
            Unavailable: no region answers.
        """
        for name in self.regions(""):
            if (said := self.heard(name, method, path, body)) is not None:
                return said
        raise Unavailable("no region answers")

    def ask_each(
        self, method: str, path: str, body: Any = None, *, region: str = "", missing: str = ""
    ) -> dict[str, Any]:
        """The answers of the regions that answer, or of one, if any; see `heard` for the others."""
        answers = {name: self.heard(name, method, path, body, missing) for name in self.regions(region)}
        return {name: said for name, said in answers.items() if said is not None}

    def heard_all(self, answers: Mapping[str, Any]) -> bool:
        """Whether every region gave one of these answers."""
        return len(answers) == len(self.regions(""))

    def ask_all(self, path: str, region: str = "") -> dict[str, Any]:
        """The answers of the regions that answer, or of one; see `heard` for the others.

        Raises:
            Unavailable: no region answers.
        """
        answers = self.ask_each("GET", path, region=region, missing="; what it has is not shown")
        if not answers:
            raise Unavailable("no region answers")
        return answers


@dataclass(frozen=True)
class Regions(Asking):
    """The regions of a running system and the token to ask them with; what is asked is a part of their control API."""

    config: ClusterConfig
    token: str
    part: str = "tables"

    def ask(self, region: str, method: str, path: str, body: Any = None) -> Any:
        return ask_region(self.config, region, method, f"/{self.part}/{path}".rstrip("/"), body, self.token)

    def regions(self, region: str) -> Sequence[str]:
        known = self.config.regions()
        if region and region not in known:
            raise UsageError(f"there is no region {region!r}; there are {', '.join(known)}")
        return (region,) if region else known

    def silent(self, error: RegionSilent, missing: str) -> None:
        """A program sees it by the answers."""
