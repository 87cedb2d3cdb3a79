"""Jobs on a Ray cluster: https://docs.ray.io/en/latest/cluster/getting-started.html."""

import os
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.common.errors import KitError, first_line, require
from evaluation.common.files import readable_size
from evaluation.common.terminal import console, progress
from evaluation.many.connecting import connected, cpus_in
from evaluation.many.copying import Copying, copy_to_nodes
from evaluation.many.jobs import (
    AnyJob,
    Job,
    Result,
    Scheduler,
    Shared,
    Work,
    ended,
    running_and_refused,
)
from evaluation.many.nodes import Checkout, Worker
from evaluation.origin import grader_digest, versions

_SECONDS_TO_START = 300

_TRIES = 3
"""How often a job may be lost with its process or its node before it is refused."""


def on_cluster(address: str, copying: Copying | None = None) -> Scheduler:
    """Does jobs on a Ray cluster, one at a time on each of its CPUs.

    All nodes must see this checkout, the data, what is graded, and the output folder, each at the
    same path. A job that is lost with a node is done again on another.

    Args:
        address: Where the cluster is, as `ray.init` takes it; "local" starts one for this command.
        copying: Files that jobs read. Nodes that lack one get it before they begin, and what jobs
            leave in their folders comes back. None copies nothing.

    Raises:
        KitError: `EXTRA-MISSING`, there is no Ray here.
    """
    require("ray")
    return partial(_run, address, copying)


def _run(
    address: str,
    copying: Copying | None,
    jobs: Sequence[AnyJob],
    work: Work[AnyJob, Shared, Result],
) -> Iterator[tuple[str, Result | KitError]]:
    if not jobs:
        return
    with connected(address) as ray, _mark_in(_common_folder(jobs)) as mark:
        here = Checkout(versions(), grader_digest(), None if copying is not None else mark)
        start = partial(_start_worker, ray, work, here, copying)
        cluster = _Cluster(ray, copying, start)
        yield from _on_workers(cluster, jobs, work.title)


def _common_folder(jobs: Sequence[Job]) -> Path:
    """The folder that the folders of all jobs lie in; of one job, its own."""
    folders = [job.folder.absolute() for job in jobs]
    return Path(os.path.commonpath(folders))


@contextmanager
def _mark_in(folder: Path) -> Iterator[Path]:
    """A file by which a node shows that it sees the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f".cluster-{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield mark
    finally:
        with suppress(OSError):
            mark.unlink()


@dataclass(frozen=True)
class _Cluster:
    """A cluster that has been connected to.

    Args:
        ray: Ray's module.
        copying: As of `on_cluster`.
        start: Starts a worker.
    """

    ray: Any
    copying: Copying | None
    start: Callable[[], Any]

    @property
    def cpus(self) -> int:
        return cpus_in(self.ray.cluster_resources())

    @property
    def idle_cpus(self) -> int:
        return cpus_in(self.ray.available_resources())

    def workers(self, number: int) -> list[Any]:
        """New workers that are ready for a job.

        Raises:
            KitError: a node cannot work, or none has a CPU for a worker.
        """
        if self.copying is not None:
            sent = copy_to_nodes(self.ray, self.copying.reads)
            if sent:
                console.print(f"Copied {readable_size(sent)} to nodes that lacked it")
        if not self.idle_cpus:
            console.print(
                f"No CPU of the cluster is free: this waits at most {_SECONDS_TO_START} s for one"
            )
        started = [self.start() for _ in range(number)]
        _prepare(self.ray, started)
        return started

    def give(self, worker: Any, job: Job) -> Any:
        """What stands for the answer of a worker to a job."""
        files = {} if self.copying is None else self.copying.files_left(job.folder)
        return worker.do.remote(job, files)

    def result(self, answer: Any, job: Job) -> Any:
        """What came of a job.

        Raises:
            RayActorError: its process ended.
        """
        result, files = self.ray.get(answer)
        if self.copying is not None:
            self.copying.leave_files(job.folder, files)
        return result


def _start_worker(
    ray: Any, work: Work[Any, Any, Any], here: Checkout, copying: Copying | None
) -> Any:
    return ray.remote(num_cpus=1)(Worker).remote(work, here, copying)


def _on_workers(cluster: _Cluster, jobs: Sequence[Job], title: str) -> Iterator[tuple[str, Any]]:
    """Does the jobs on as many workers as the cluster has CPUs.

    Raises:
        KitError: a node cannot work, or none is left.
    """
    ray = cluster.ray
    idle = cluster.workers(min(cluster.cpus or 1, len(jobs)))
    waiting = deque(jobs)
    losses: Counter[str] = Counter()
    running: dict[Any, tuple[Any, Job]] = {}
    refused = 0
    with progress(title, len(jobs)) as advance:
        while waiting or running:
            while waiting and idle:
                worker, job = idle.pop(), waiting.popleft()
                running[cluster.give(worker, job)] = (worker, job)
            advance(0, running_and_refused(len(running), refused))
            answer = ray.wait(list(running), num_returns=1)[0][0]
            worker, job = running.pop(answer)
            result: Any = None
            try:
                result = cluster.result(answer, job)
                idle.append(worker)
            except ray.exceptions.RayActorError as error:
                losses[job.name] += 1
                if losses[job.name] == _TRIES:
                    result = ended(job, title, _TRIES, f"because {first_line(error)}")
                else:
                    waiting.append(job)
                    console.print(
                        f"{title} {job.subject} was lost with its process or its node, and is done "
                        "again",
                        markup=False,
                    )
                # Of a process that the system ended, the CPU is free; with a node it is gone.
                if cluster.idle_cpus or not (idle or running):
                    idle += cluster.workers(1)
            if result is not None:
                refused += isinstance(result, KitError)
                advance(1, running_and_refused(len(running), refused))
                yield job.name, result


def _prepare(ray: Any, workers: Sequence[Any]) -> None:
    """Opens the data in new workers, each with its share of its node.

    Raises:
        KitError: a node cannot work, or none has a CPU for a worker.
    """
    try:
        nodes = ray.get([worker.node.remote() for worker in workers], timeout=_SECONDS_TO_START)
        on_node = Counter(nodes)
        numbers: Counter[str] = Counter()
        answers = []
        for worker, node in zip(workers, nodes, strict=True):
            answers.append(worker.start.remote(numbers[node], on_node[node]))
            numbers[node] += 1
        refusals = [refusal for refusal in ray.get(answers) if refusal is not None]
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
        raise KitError(
            "CLUSTER-WORKERS",
            f"the cluster starts no process to work in: {first_line(error).rstrip('.')}",
            "See `ray status`: a node must have a free CPU and this checkout's packages",
        ) from None
    if refusals:
        raise refusals[0]
