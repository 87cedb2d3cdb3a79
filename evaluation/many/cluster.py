"""Jobs on a Ray cluster: https://docs.ray.io/en/latest/cluster/getting-started.html."""

import logging
import os
import platform
import socket
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError, first_line, require
from evaluation.common.terminal import console, progress
from evaluation.many.jobs import AnyJob, Job, Result, Scheduler, Shared, Work, attempt, ended
from evaluation.many.shares import take_share
from evaluation.origin import grader_digest, versions

_SECONDS_TO_START = 300

_TRIES = 3
"""How often a job may be lost with its process or its node before it is refused."""


def on_cluster(address: str) -> Scheduler:
    """Does jobs on a Ray cluster, one at a time on each of its CPUs.

    All nodes must see this checkout, the data, what is graded, and the output folder, each at the
    same path. A job that is lost with a node is done again on another.

    Args:
        address: Where the cluster is, as `ray.init` takes it; "local" starts one for this command.

    Raises:
        KitError: `EXTRA-MISSING`, there is no Ray here.
    """
    require("ray")
    return partial(_run, address)


def _run(
    address: str, jobs: Sequence[AnyJob], work: Work[AnyJob, Shared, Result]
) -> Iterator[tuple[str, Result | KitError]]:
    if not jobs:
        return
    with _connected(address) as ray, _mark_in(_common_folder(jobs)) as mark:
        here = _Checkout(versions(), grader_digest(), mark)
        yield from _on_workers(ray, jobs, work.title, partial(_start_worker, ray, work, here))


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    import ray

    _require_answer(address)
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if "ersion mismatch" in str(error):
            raise KitError(
                "CLUSTER-VERSIONS",
                f"the cluster at {address!r} has another version of Ray or Python than this "
                f"process (Ray {ray.__version__}, Python {platform.python_version()})",
                "Install the same versions everywhere",
            ) from None
        raise _unreachable(address, error) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Checks that an address HOST:PORT answers at all; Ray itself tries for minutes.

    Raises:
        KitError: it does not.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: Exception) -> KitError:
    return KitError(
        "CLUSTER-UNREACHABLE",
        f"no Ray cluster answers at {address!r}: {first_line(error)}",
        "Start one with `ray start --head` and give its address, or choose local",
    )


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
class _Checkout:
    """What this machine has, and a node must have too: versions, code, and a file to see."""

    versions: dict[str, str]
    source: str
    mark: Path

    def require_on(self, node: str) -> None:
        """Checks this node.

        Raises:
            KitError: it has something else.
        """
        differing = [
            f"{name} {versions().get(name, 'missing')} instead of {version}"
            for name, version in self.versions.items()
            if versions().get(name) != version
        ]
        if differing:
            raise KitError(
                "CLUSTER-VERSIONS",
                f"node {node} has {', '.join(differing)}",
                "Install the same versions on every node",
            )
        if grader_digest() != self.source:
            raise KitError(
                "CLUSTER-VERSIONS",
                f"node {node} has another version of this kit in {REPOSITORY}",
                "Give every node the same checkout",
            )
        if not self.mark.exists():
            raise KitError(
                "CLUSTER-FOLDER",
                f"node {node} does not see the output folder {self.mark.parent}",
                "Mount one shared folder at the same path on every node, and name it by --output",
            )


class _Worker:
    """An actor of Ray: it does one job after another on its node."""

    def __init__(self, work: Work[Any, Any, Any], here: _Checkout) -> None:
        console.quiet = True  # the driver shows the state of all
        self._work = work
        self._here = here
        self._shared: Any = None

    def start(self, number: int, workers: int) -> KitError | None:
        """Opens the data, as number `number` of the workers on its node."""
        take_share(number, workers)
        node = platform.node()
        try:
            self._here.require_on(node)
            self._shared = self._work.open()
        except KitError as error:
            if error.code.startswith("DATA-"):
                problem = f"node {node} cannot open the data: {error.problem}"
                return KitError(error.code, problem, error.remedy)
            return error
        return None

    def node(self) -> str:
        import ray

        return ray.get_runtime_context().get_node_id()

    def do(self, job: Job) -> Any:
        return attempt(job, self._work, self._shared)


def _start_worker(ray: Any, work: Work[Any, Any, Any], here: _Checkout) -> Any:
    return ray.remote(num_cpus=1)(_Worker).remote(work, here)


def _on_workers(
    ray: Any, jobs: Sequence[Job], title: str, start: Callable[[], Any]
) -> Iterator[tuple[str, Any]]:
    """Does the jobs on as many workers as the cluster has CPUs.

    Raises:
        KitError: a node cannot work, or none is left.
    """
    idle = [start() for _ in range(min(_cpus(ray.cluster_resources()) or 1, len(jobs)))]
    _prepare(ray, idle)
    waiting = deque(jobs)
    losses: Counter[str] = Counter()
    running: dict[Any, tuple[Any, Job]] = {}
    refused = 0
    with progress(title, len(jobs)) as advance:
        while waiting or running:
            while waiting and idle:
                worker, job = idle.pop(), waiting.popleft()
                running[worker.do.remote(job)] = (worker, job)
            advance(0, note=f"{len(running)} running, {refused} refused")
            answer = ray.wait(list(running), num_returns=1)[0][0]
            worker, job = running.pop(answer)
            result: Any = None
            try:
                result = ray.get(answer)
                idle.append(worker)
            except ray.exceptions.RayActorError as error:
                losses[job.name] += 1
                if losses[job.name] == _TRIES:
                    result = ended(job, title, _TRIES, f"because {first_line(error)}")
                else:
                    waiting.append(job)
                # Of a process that the system ended, the CPU is free; with a node it is gone.
                if _cpus(ray.available_resources()) or not (idle or running):
                    replacement = start()
                    _prepare(ray, [replacement])
                    idle.append(replacement)
            if result is not None:
                refused += isinstance(result, KitError)
                advance(1)
                yield job.name, result


def _cpus(resources: Mapping[str, float]) -> int:
    return int(resources.get("CPU", 0))


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
            f"the cluster starts no process to work in: {first_line(error)}",
            "See `ray status`: a node must have a free CPU and this checkout's packages",
        ) from None
    if refusals:
        raise refusals[0]
