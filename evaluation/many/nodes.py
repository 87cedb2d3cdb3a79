"""What runs on a node of a cluster: an actor of Ray that does jobs, once the node is checked."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.many.copying import Copying, Left
from evaluation.many.jobs import Job, Work, attempt
from evaluation.many.shares import take_share
from evaluation.origin import grader_digest, versions


@dataclass(frozen=True)
class Checkout:
    """What this machine has, and a node must have too: versions, code, and a file to see."""

    versions: dict[str, str]
    source: str
    mark: Path | None

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
        if self.mark is not None and not self.mark.exists():
            raise KitError(
                "CLUSTER-FOLDER",
                f"node {node} does not see the output folder {self.mark.parent}",
                "Mount one shared folder at the same path on every node, and name it by --output; "
                "gradings can have their files copied by --sync",
            )


class Worker:
    """An actor of Ray: it does one job after another on its node."""

    def __init__(self, work: Work[Any, Any, Any], here: Checkout, copying: Copying | None) -> None:
        console.quiet = True  # the driver shows the state of all
        self._work = work
        self._here = here
        self._copying = copying
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
                remedy = (
                    "Mount the folder of the datasets at the same path on every node, or let "
                    "gradings copy them with --sync"
                )
                return KitError(error.code, problem, remedy)
            return error
        return None

    def node(self) -> str:
        import ray

        return ray.get_runtime_context().get_node_id()

    def do(self, job: Job, files: Mapping[str, Left]) -> tuple[Any, dict[str, Left]]:
        """Does a job where an earlier one has left files, and returns what is left then, too."""
        if self._copying is None:
            return attempt(job, self._work, self._shared), {}
        self._copying.leave_files(job.folder, files)
        result = attempt(job, self._work, self._shared)
        return result, self._copying.files_left(job.folder)
