"""Letters on their way out of the dead letters: each region does its share, by a job that a program watches."""

from __future__ import annotations

import time
from math import inf

import msgspec

from proa.errors import NotFound, ProaError, RegionSilent
from proa.operate.asking import Asking
from proa.runtime.messages.dead import Job

LOOK_EVERY_S = 0.2


class Moving:
    """A redrive or a purge that was begun: it goes on by itself, whether it is watched or not.

    `jobs` is each region's share as last heard of. Besides running, done, cancelled and failed its state may be lost:
    the region has started anew since, and does nothing more of it; what it had moved by then is moved. `unheard` are
    the regions that would not begin, each with its error, and those that do not answer any more: what they act for may
    have stayed as it is. One that did not answer when it was told to begin may have begun all the same: it is asked and
    cancelled like those that did. The same may be asked for again at any time: no letter is sent back twice.
    """

    def __init__(
        self, regions: Asking, path: str, job: str, jobs: dict[str, Job], unheard: dict[str, ProaError]
    ) -> None:
        self.jobs = jobs
        self.unheard = unheard
        self._regions = regions
        self._path = path
        self._job = job
        self._told = [*jobs, *(region for region, error in unheard.items() if isinstance(error, RegionSilent))]

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
        for region in self._running():
            self._hear(region, "POST", f"{self._path}/cancel/{self._job}")

    def _look(self) -> bool:
        """Ask those who are not done; whether some go on."""
        for region in self._running():
            self._hear(region, "GET", f"{self._path}/jobs")
        return any(region not in self.unheard for region in self._running())

    def _running(self) -> list[str]:
        """The regions that go on, as far as was heard, or may have begun."""
        return [region for region in self._told if region not in self.jobs or self.jobs[region].state == "running"]

    def _hear(self, region: str, method: str, path: str) -> None:
        """Take down what a region says of its job, alone or among others."""
        try:
            said = self._regions.ask(region, method, path)
            told = msgspec.convert(said.get("jobs", [said]), list[Job])
        except NotFound:
            told = []
        except ProaError as error:
            self.unheard[region] = error
            return
        share = next((one for one in told if one.id == self._job), self._lost(region))
        if share:  # else it has not begun, and is as unheard as before
            self.jobs[region] = share
            self.unheard.pop(region, None)

    def _lost(self, region: str) -> Job | None:
        """The share of a region that knows of it no more; None where it never was heard to have one."""
        job = self.jobs.get(region)
        return job and msgspec.structs.replace(
            job, state="lost", why="the region started anew, or many others ended since"
        )
