"""Jobs in several processes of this machine."""

import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from evaluation.common.errors import KitError
from evaluation.common.terminal import console, progress
from evaluation.many.jobs import (
    AnyJob,
    Job,
    Result,
    Scheduler,
    Shared,
    Work,
    attempt,
    ended,
    running_and_refused,
)
from evaluation.many.shares import take_share
from evaluation.representation.sandbox.kernel import PR_SET_PDEATHSIG, set_process_option

_TRIES = 2
"""How often a job may end its process before it is refused."""


def in_processes(workers: int) -> Scheduler:
    """Does jobs in `workers` processes, which share the CPUs and the GPUs of this machine.

    A process that ends does not end the others: its job is done again in a new one, and refused if
    that ends too. The processes end with this one, however it ends.
    """
    return partial(_run, workers)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    job: Any = None

    def take(self, job: Job) -> None:
        self.job = job
        with suppress(BrokenPipeError):  # it has ended, which `wait` will tell
            self.connection.send(job)

    def result(self) -> Any:
        """What came of its job; None if it ended instead, and is no worker any more."""
        self.job = None
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.end()
            return None

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.connection.close()


def _run(
    workers: int, jobs: Sequence[AnyJob], work: Work[AnyJob, Shared, Result]
) -> Iterator[tuple[str, Result | KitError]]:
    waiting = deque(jobs)
    tries = dict.fromkeys((job.name for job in jobs), 0)
    places = [_start(number, workers, work) for number in range(min(workers, len(jobs)))]
    refused = 0
    try:
        for worker in places:
            worker.take(waiting.popleft())
        with progress(work.title, len(jobs)) as advance:
            while busy := [worker for worker in places if worker.job is not None]:
                advance(0, running_and_refused(len(busy), refused))
                wait([worker.connection for worker in busy])
                for number, worker in enumerate(places):
                    if worker.job is None or not worker.connection.poll():
                        continue
                    job, result = worker.job, worker.result()
                    if result is None:
                        places[number] = _start(number, workers, work)
                        tries[job.name] += 1
                        if tries[job.name] < _TRIES:
                            waiting.append(job)
                        else:
                            result = ended(job, work.title, _TRIES, _how(worker.process.exitcode))
                    if result is not None:
                        refused += isinstance(result, KitError)
                        advance(1, running_and_refused(len(busy), refused))
                        yield job.name, result
                    if waiting:
                        places[number].take(waiting.popleft())
    finally:
        for worker in places:
            worker.end()


def _how(status: int | None) -> str:
    return f"by signal {-status}" if status is not None and status < 0 else f"with status {status}"


def _start(number: int, workers: int, work: Work[Any, Any, Any]) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(theirs, os.getpid(), number, workers, work), daemon=False
    )
    process.start()
    theirs.close()
    return _Worker(process, ours)


def ends_with(parent: int) -> bool:
    """Lets this process end with the one that started it, and tells whether that one still lives.

    Args:
        parent: The number of that process.
    """
    # As in `run_command`: temporary files are removed, and what it started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent  # it may have died before its death could be heard


def _serve(
    connection: Connection, parent: int, number: int, workers: int, work: Work[Any, Any, Any]
) -> None:
    """What a worker does: one job after another, until the connection ends."""
    if not ends_with(parent):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the parent, which ends us
    take_share(number, workers)
    console.quiet = True  # the parent shows the state of all
    shared = None
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            shared = work.open() if shared is None else shared
        except KitError as refusal:  # the data changed since the parent opened them
            connection.send(refusal)
            continue
        connection.send(attempt(job, work, shared))
