"""The bundled representation: whether it keeps the contract, and what it costs to run."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common import devices
from evaluation.common.errors import KitError
from evaluation.representation import contract, finding, processes
from evaluation.representation.limits import IMAGE_SHAPE
from evaluation.representation.running import RunningRepresentation
from submission.delivery import bundle

MPI3D_IMAGES = 1_036_800


@dataclass(frozen=True)
class Cost:
    """What encoding takes on one device, measured on one large batch.

    Args:
        dims: Size of a code.
        mib: Resident memory of the process that encodes, with all its libraries.
    """

    device: str
    dims: int
    milliseconds_per_image: float
    mib: int

    def __str__(self) -> str:
        minutes = self.milliseconds_per_image * MPI3D_IMAGES / 60_000
        return (
            f"{self.device}: {self.dims} dims, {self.milliseconds_per_image:.2f} ms an image "
            f"({minutes:,.0f} min for all of MPI3D), {self.mib:,} MiB of memory"
        )


def problems(root: Path, costs: list[Cost]) -> Iterator[KitError]:
    """What is wrong with the bundled representation; its cost on each device joins `costs`."""
    try:
        bundle.verify(root)
        (found,) = finding.find(root / bundle.FOLDER / "representation")
    except KitError as error:
        yield error
        return
    graded_on = ["cpu"]
    if devices.pick_device() == "cuda":
        graded_on.append("cuda")
    for device in graded_on:
        try:
            with RunningRepresentation(found, devices.Placement(device)) as representation:
                yield from contract.violations(representation, probes(contract.PROBE_IMAGES))
                costs.append(_cost(representation))
        except KitError as error:
            yield error


def probes(number: int) -> NDArray[np.uint8]:
    """Images (number, 64, 64, 3): a black one, a white one, and uniform noise."""
    images = np.random.RandomState(0).randint(256, size=(number, *IMAGE_SHAPE), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


def _cost(representation: RunningRepresentation) -> Cost:
    images = probes(representation.batch)
    representation.encode(images)  # the first batch of a size is slower
    start = time.perf_counter()
    codes = representation.encode(images)
    seconds = time.perf_counter() - start
    used = processes.usage(processes.descendants(os.getpid()))
    return Cost(
        device=representation.placement.device,
        dims=codes.shape[1],
        milliseconds_per_image=round(1000 * seconds / len(images), 3),
        mib=used.memory_bytes >> 20,
    )
