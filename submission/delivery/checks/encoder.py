"""Checks that the bundled representation keeps the contract, and measures what it costs."""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common import devices
from evaluation.common.errors import KitError
from evaluation.common.files import readable_size
from evaluation.common.images import CHALLENGE
from evaluation.representation import contract, finding
from evaluation.representation.resources import processes
from evaluation.representation.running import RunningRepresentation
from submission.delivery import bundle

MPI3D_IMAGES = 1_036_800

_WARM_UP = 3
_BATCHES, _MOST_BATCHES, _SECONDS = 11, 101, 2.0
"""At least `_BATCHES` batches are measured. A fast encoder is measured for `_SECONDS` seconds, but
with at most `_MOST_BATCHES` batches."""


@dataclass(frozen=True)
class Cost:
    """What encoding costs on one device.

    Args:
        device: The device, as torch names it.
        dims: Number of dims of a code.
        milliseconds_per_image: The median over `batches` batches, after a warm-up.
        batches: Number of measured batches.
        memory_bytes: Resident memory of the process that encodes, with all its libraries.
    """

    device: str
    dims: int
    milliseconds_per_image: float
    batches: int
    memory_bytes: int

    def __str__(self) -> str:
        minutes = self.milliseconds_per_image * MPI3D_IMAGES / 60_000
        return (
            f"{self.device}: {self.dims} dims, {self.milliseconds_per_image:.2f} ms an image "
            f"(median of {self.batches} batches after a warm-up; {minutes:,.0f} min for all of "
            f"MPI3D), {readable_size(self.memory_bytes)} of memory"
        )


def problems(root: Path, costs: list[Cost]) -> Iterator[KitError]:
    """Yields the problems of the bundled representation.

    Args:
        root: The checkout.
        costs: Gets the cost on each device.
    """
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
                yield from _tokens(representation)
                costs.append(_cost(representation))
        except KitError as error:
            yield error


def probes(number: int) -> NDArray[np.uint8]:
    """Images (number, 64, 64, 3): a black one, a white one, and uniform noise."""
    images = np.random.RandomState(0).randint(256, size=(number, *CHALLENGE.shape), dtype=np.uint8)
    images[0], images[1] = 0, 255
    return images


def _tokens(representation: RunningRepresentation) -> Iterator[KitError]:
    if representation.token_shape is not None:
        shape = ", ".join(map(str, representation.token_shape))
        yield KitError(
            "CHECK-TOKENS",
            f"{representation.found.path} gives tokens (n, {shape}), and the challenge took one row"
            " of numbers for each image: (n, dims)",
            "Reduce each token to one number in forward; the local grader does so by a principal"
            " component",
        )


def _cost(representation: RunningRepresentation) -> Cost:
    images = probes(representation.batch)
    for _ in range(_WARM_UP):
        codes = representation.encode(images)
    seconds: list[float] = []
    while len(seconds) < _BATCHES or (sum(seconds) < _SECONDS and len(seconds) < _MOST_BATCHES):
        start = time.perf_counter()
        representation.encode(images)
        seconds.append(time.perf_counter() - start)
    used = processes.usage(processes.descendants(os.getpid()))
    return Cost(
        device=representation.placement.device,
        dims=codes.shape[1],
        milliseconds_per_image=round(1000 * statistics.median(seconds) / len(images), 3),
        batches=len(seconds),
        memory_bytes=used.memory_bytes,
    )
