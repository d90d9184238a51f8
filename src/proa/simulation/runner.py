"""Many cases over the cores of a machine: each worker is a process that loads the app once and runs case after case.

A case depends on nothing but itself, so cases are handed to whoever is free and come back in any order. Workers are
spawned, never forked: each has a hash seed of its own, so a run that depends on one has another trace hash there.

A worker that dies or hangs ends the batch with an error that names its seed, since that seed alone brings it back.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Protocol

import msgspec

from proa.app import App, load_app
from proa.errors import ProaError, SimulationFailed, of_code
from proa.simulation.case import Case, Run

STUCK_S = 60.0
"""A case takes milliseconds. Where no worker has said anything for this long, one of them hangs."""
GRACE_S = 1.0
"""How long a worker has for the rest of its case, so that its world removes its files."""
_SPAWN = multiprocessing.get_context("spawn")


class RunCase(Protocol):
    """Runs one case in a world of its own, as `scenario.run_case` does."""

    def __call__(self, app: App, case: Case, *, timeline: bool = False) -> Run: ...


class Trouble(msgspec.Struct, frozen=True):
    """Why a worker could not run a case at all: an error's code, if it has one, and what it says."""

    code: str
    detail: str


class Worker:
    """A process that runs cases of one app. Only what it was asked is ever under way."""

    def __init__(self, app: str, run_case: RunCase) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._asked: Case | None = None
        self._process = _SPAWN.Process(target=_serve, args=(theirs, app, run_case), daemon=True)
        self._process.start()
        theirs.close()

    def ready(self) -> None:
        """Wait until the app is loaded.

        Raises:
            ProaError: it cannot be.
        """
        self._answer()

    def run(self, case: Case, *, timeline: bool = False) -> Run:
        """Run one case and wait for it.

        Raises:
            ProaError: the case could not be run.
        """
        self.ask(case, timeline=timeline)
        if not wait([self.pipe], STUCK_S):
            raise self.stuck()
        return self.result()

    def ask(self, case: Case, *, timeline: bool = False) -> None:
        """Begin a case. A worker that has died is noticed by `result`."""
        self._asked = case
        with suppress(BrokenPipeError):
            self.pipe.send((case, timeline))

    def result(self) -> Run:
        """What came of the case that was begun.

        Raises:
            ProaError: the case could not be run.
        """
        run = self._answer()
        assert run is not None
        return run

    def stuck(self) -> SimulationFailed:
        """The error to raise where the worker has said nothing for too long."""
        return SimulationFailed(f"{self._where()} has not ended within {STUCK_S:g} s")

    def close(self) -> None:
        """End the process: it leaves when its case is over, and is made to where that does not come to an end."""
        self.pipe.close()
        self._process.join(GRACE_S)
        self._process.terminate()
        self._process.join()

    def _answer(self) -> Run | None:
        try:
            answer: Run | Trouble | None = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise SimulationFailed(f"{self._where()}: its process ended with {self._process.exitcode}") from None
        if isinstance(answer, Trouble):
            raise of_code(answer.code, f"{self._where()}: {answer.detail}", SimulationFailed)
        return answer

    def _where(self) -> str:
        return f"seed {self._asked.seed}" if self._asked else "a worker"


@contextmanager
def crew(app: str, jobs: int, run_case: RunCase) -> Generator[list[Worker]]:
    """As many workers as `jobs`, ready to run; ended on leaving, whatever is under way."""
    workers: list[Worker] = []
    try:
        workers += (Worker(app, run_case) for _ in range(jobs))
        for worker in workers:
            worker.ready()
        yield workers
    finally:
        for worker in workers:
            worker.close()


def spread(workers: Sequence[Worker], cases: Iterable[Case]) -> Iterator[Run]:
    """Run each case on whichever worker is free; the runs come as they end.

    Raises:
        ProaError: a case could not be run; the error names its seed.
    """
    pending = iter(cases)
    busy: dict[Connection, Worker] = {}
    for worker, case in zip(workers, pending, strict=False):
        worker.ask(case)
        busy[worker.pipe] = worker
    while busy:
        for worker in _heard(busy):
            run = worker.result()
            if (case := next(pending, None)) is None:
                del busy[worker.pipe]
            else:
                worker.ask(case)
            yield run


def _heard(busy: dict[Connection, Worker]) -> list[Worker]:
    heard = wait(list(busy), STUCK_S)
    if not heard:
        raise next(iter(busy.values())).stuck()
    return [worker for pipe, worker in busy.items() if pipe in heard]


def run_here(app: App, case: Case, run_case: RunCase, *, timeline: bool = False) -> Run:
    """Run one case in this process, where a debugger reaches it.

    The garbage collector stands still meanwhile: it costs time, and would end things at moments of its own.
    """
    gc.collect()
    gc.disable()
    try:
        return run_case(app, case, timeline=timeline)
    finally:
        gc.enable()


# In the worker's process.


def _serve(pipe: Connection, target: str, run_case: RunCase) -> None:
    """Answer until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who asked decides what it means
    os.dup2(2, 1)  # what a handler prints is not the command's data
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            app = load_app(target)
        except Exception as error:  # noqa: BLE001 - the author's code; whatever it raises is told
            pipe.send(_trouble(error))
            return
        gc.collect()
        gc.freeze()  # what was loaded stays; no collection looks at it again
        pipe.send(None)
        while True:
            case, timeline = pipe.recv()
            pipe.send(_attempt(app, case, run_case, timeline=timeline))


def _attempt(app: App, case: Case, run_case: RunCase, *, timeline: bool) -> Run | Trouble:
    try:
        return run_here(app, case, run_case, timeline=timeline)
    except Exception as error:  # noqa: BLE001 - told with its seed by whoever asked
        return _trouble(error)


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, ProaError):
        return Trouble(error.code, str(error))
    traceback.print_exception(error)
    return Trouble("", f"{type(error).__name__}: {error}")
