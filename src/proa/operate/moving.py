"""Letters on their way out of the dead letters: each region does its share, by a job that a program watches."""

from __future__ import annotations

import time
from math import inf

import msgspec

from proa.errors import NotFound, ProaError
from proa.operate.asking import Asking
from proa.runtime.messages.dead import Job

LOOK_EVERY_S = 0.2


class Moving:
    """A redrive or a purge that was begun: it goes on by itself, whether it is watched or not.

    `jobs` is each region's share as last heard of. Besides running, done, cancelled and failed its state may be lost:
    the region has started anew since, and does nothing more of it; what it had moved by then is moved. `unheard` are
    the regions that would not begin, each with its error, and those that do not answer any more: what they act for may
    have stayed as it is. The same may be asked for again at any time: no letter is sent back twice.
    """

    def __init__(self, regions: Asking, path: str, jobs: dict[str, Job], unheard: dict[str, ProaError]) -> None:
        self.jobs = jobs
        self.unheard = unheard
        self._regions = regions
        self._path = path

    @property
    def moved(self) -> int:
        """How many letters left, as far as was heard."""
        return sum(job.moved for job in self.jobs.values())

    def wait(self, timeout_s: float = inf) -> bool:
        """Wait until no region that answers has anything left to do; False where some have after `timeout_s` seconds.

        A region that does not answer is not waited for, but asked again as long as others are, and by the next call.
        """
        end = time.monotonic() + timeout_s
        while self._look():
            if time.monotonic() >= end:
                return False
            time.sleep(min(LOOK_EVERY_S, timeout_s))
        return True

    def cancel(self) -> None:
        """Stop where it stands, in every region that answers. What has moved stays moved."""
        for region, job in self._running().items():
            self._hear(region, "POST", f"{self._path}/cancel/{job.id}")

    def _look(self) -> bool:
        """Ask those who are not done; whether some go on."""
        for region in self._running():
            self._hear(region, "GET", f"{self._path}/jobs")
        return not self._running().keys() <= self.unheard.keys()

    def _running(self) -> dict[str, Job]:
        return {region: job for region, job in self.jobs.items() if job.state == "running"}

    def _hear(self, region: str, method: str, path: str) -> None:
        """Take down what a region says of its job, alone or among others."""
        job = self.jobs[region]
        try:
            said = self._regions.ask(region, method, path)
            told = msgspec.convert(said.get("jobs", [said]), list[Job])
        except NotFound:
            told = []
        except ProaError as error:
            self.unheard[region] = error
            return
        lost = msgspec.structs.replace(job, state="lost", why="the region started anew")
        self.jobs[region] = next((one for one in told if one.id == job.id), lost)
        self.unheard.pop(region, None)
