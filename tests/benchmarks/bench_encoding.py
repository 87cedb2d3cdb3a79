"""Images a second through the grader, against a plain loop over disentanglement_lib's batches.

    python -m tests.benchmarks.bench_encoding [--images 512] [--data-root DIR]

Both run the same TorchScript module, VGG19 with batch norms at 64x64, three aggregating blocks and
an encoder to 18 dims, with random weights. Rounds of both take turns, and medians are compared.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from evaluation.common import environment
from evaluation.common.devices import Placement
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.finding import Found
from evaluation.representation.loading import BF16, OPTIMISED
from evaluation.representation.running import RunningRepresentation
from tests.benchmarks.processor import describe, precisions

ROUNDS = 5
DRAWN = 10_000 + 15_000 * 64 + 15_000 + 15_000 + 10_000 + 10_000
"""Images that disentanglement_lib encodes for FactorVAE, DCI, SAP, MIG and IRS."""


def export(path: Path, images: np.ndarray) -> None:
    def block(inputs: int, outputs: int, kernel: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, kernel, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    torch.manual_seed(0)
    module = nn.Sequential(
        torchvision.models.vgg19_bn(weights=None).features,
        block(512, 1024, 1),
        block(1024, 2048, 2),
        block(2048, 512, 1),
        nn.Flatten(),
        nn.Linear(512, 4096),
        nn.BatchNorm1d(4096),
        nn.ReLU(),
        nn.Linear(4096, 18),
    )
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0
    module(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)  # so that codes vary with images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module.eval(), torch.rand(2, 3, 64, 64)).save(str(path))


def plain_loop(data: ImageGrid, path: Path, batch: int) -> Callable[[np.ndarray], None]:
    module = torch.jit.load(str(path))

    def run(rows: np.ndarray) -> None:
        for start in range(0, len(rows), batch):
            observations = data.observations_at(rows[start : start + batch])
            with torch.no_grad():
                module(torch.from_numpy(np.moveaxis(observations, 3, 1)).float()).numpy()

    return run


def rate(run: Callable[[np.ndarray], None], rows: np.ndarray) -> float:
    start = time.perf_counter()
    run(rows)
    return len(rows) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512, help="images a round")
    parser.add_argument("--data-root", type=Path, default=environment.data_root())
    arguments = parser.parse_args()
    print(describe())
    data = open_dataset("mpi3d_sim_real_mini", arguments.data_root)
    rows = np.random.default_rng(0).permutation(len(data))[: arguments.images]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pytorch_model.pt"
        export(path, data.images[rows[:64]])
        ways = {f"plain loop, batches of {n}": plain_loop(data, path, n) for n in (16, 64)}
        found = Found(path, "torchscript")
        with ExitStack() as stack:
            for precision in precisions():
                running = RunningRepresentation(found, Placement(precision=precision))
                representation = stack.enter_context(running)
                # Set, not tried by `use_fastest_form`: bf16 rounds away more of random
                # weights' codes than that allows.
                representation.form = BF16 if precision == "bf16" else OPTIMISED

                def run(rows: np.ndarray, into: RunningRepresentation = representation) -> None:
                    for start in range(0, len(rows), into.batch):
                        into.encode(data.images[rows[start : start + into.batch]])

                ways[f"grader, {precision}"] = run
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(ROUNDS + 1):
                for name, way in ways.items():
                    measured = rate(way, rows)
                    if number:  # the first round warms up
                        rates[name].append(measured)

    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, images in medians.items():
        print(f"{name:30} {images:8.1f} images/s")
    for precision in precisions():
        ours = medians[f"grader, {precision}"]
        ratios = [ours / medians[f"plain loop, batches of {n}"] for n in (16, 64)]
        # FactorVAE's images, all but a few, come in batches of 64, the others' in batches of 16.
        theirs = (DRAWN - 50_000) / medians["plain loop, batches of 64"]
        theirs += 50_000 / medians["plain loop, batches of 16"]
        print(
            f"{precision}: {ratios[0]:.2f} times a loop of 16, {ratios[1]:.2f} times a loop of 64; "
            f"encoding for the five metrics on {data.name}: {theirs:,.0f} s against at most "
            f"{len(data) / ours:,.0f} s, {theirs / (len(data) / ours):.0f} times"
        )


if __name__ == "__main__":
    main()
