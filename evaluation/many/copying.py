"""Files that a cluster's nodes lack, sent through Ray's object store, and those that jobs leave.

Each file has the same path on every node. One that has the same size and time of change on a node
is not sent, as rsync does it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.common.errors import KitError
from evaluation.common.files import whole_file

_BLOCK = 64 << 20
"""Bytes that are sent at once: the object store holds two blocks, however large a file is."""


class Sent(NamedTuple):
    """A file as another node must have it: its path, bytes, and time of change in nanoseconds."""

    path: Path
    size: int
    changed: int


class Left(NamedTuple):
    """A file of a job's folder: its content, and whether a job has entered it as its own."""

    content: bytes
    is_entered: bool


def copy_to_nodes(ray: Any, paths: Iterable[Path]) -> int:
    """Gives each node of a cluster the files, and those in the folders, that it lacks.

    Args:
        ray: The module, connected to the cluster.
        paths: Files and folders of this machine; those that are not there are left out.

    Returns:
        The bytes that were sent, over all nodes.

    Raises:
        KitError: `CLUSTER-SYNC`, a node cannot write one of them.
    """
    files = list(_files_in(paths))
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    lacking = ray.get([_on(ray, node, missing).remote(files) for node in nodes])
    total = 0
    for place, file in enumerate(files):
        takers = [node for node, places in zip(nodes, lacking, strict=True) if place in places]
        if not takers:
            continue
        with file.path.open("rb") as stream:
            for start in range(0, max(file.size, 1), _BLOCK):
                block = ray.put(stream.read(_BLOCK))
                answers = [_on(ray, node, write).remote(file, start, block) for node in takers]
                _require_written(ray.get(answers), file)
        total += file.size * len(takers)
    return total


def _on(ray: Any, node: str, task: Any) -> Any:
    """A task of Ray that runs on one node and takes none of its CPUs from the workers."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0)(task).options(scheduling_strategy=there)


def _require_written(problems: Sequence[str], file: Sent) -> None:
    problem = next(filter(None, problems), None)
    if problem is not None:
        raise KitError(
            "CLUSTER-SYNC",
            f"{file.path} could not be copied: {problem}",
            "Let the user of Ray write there on every node, or mount a shared folder",
        )


def _files_in(paths: Iterable[Path]) -> Iterator[Sent]:
    for path in paths:
        for file in _members(path):
            state = file.stat()
            yield Sent(file.absolute(), state.st_size, state.st_mtime_ns)


def _members(path: Path) -> Iterator[Path]:
    """The files in a folder, or the file, in order; not what is hidden, such as locks."""
    for member in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if member.is_file() and not member.name.startswith("."):
            yield member


def missing(files: Sequence[Sent]) -> set[int]:
    """The places in `files` of those that this node lacks."""
    return {place for place, file in enumerate(files) if not _is_there(file)}


def _is_there(file: Sent) -> bool:
    try:
        state = file.path.stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (file.size, file.changed)


def write(file: Sent, start: int, block: bytes) -> str:
    """Writes a block of a file on this node; it gets its name with the last one.

    Returns:
        Why it could not be written; empty if it was.
    """
    partial = file.path.with_name(f".{file.path.name}.sent")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.write(block)
        if start + len(block) >= file.size:
            os.utime(partial, ns=(file.changed, file.changed))
            partial.replace(file.path)
    except OSError as error:
        return f"node {os.uname().nodename}: {error.strerror}"
    return ""


@dataclass(frozen=True)
class Copying:
    """What is copied between this machine and the nodes.

    Args:
        reads: Files and folders that jobs read.
        is_entered: Whether a file is one that this machine's own jobs have left.
        enter: Notes that a file is one of these.
    """

    reads: Sequence[Path]
    is_entered: Callable[[Path], bool]
    enter: Callable[[Path], None]

    def files_left(self, folder: Path) -> dict[str, Left]:
        """The files in a job's folder, by their path below it."""
        return {
            str(path.relative_to(folder)): Left(path.read_bytes(), self.is_entered(path))
            for path in _members(folder)
        }

    def leave_files(self, folder: Path, files: Mapping[str, Left]) -> None:
        """Writes files into a job's folder, and enters here those that were entered there."""
        for name, left in files.items():
            path = folder / name
            if not (path.is_file() and path.read_bytes() == left.content):
                with whole_file(path) as temporary:
                    temporary.write_bytes(left.content)
            if left.is_entered:
                self.enter(path)
