"""An epoch of the VAE against a plain loop: `python -m tests.benchmarks.bench_vae [--rounds N]`.

The plain loop works as the original's did: a DataLoader over single samples with two workers,
eager float32, an optimiser that is not fused, every loss read and printed after every batch. Both
run on the same random features of 512 values, in turns, and the best round of each counts.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gin
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evaluation.common.devices import Placement, Precision
from submission.runtime.compiling import SAMPLES_WORTH_IT, compiled_if_long
from submission.runtime.optimizers import make_optimizer
from submission.vae.fitting import batch_losses, batches, train_epoch
from submission.vae.model import VAE
from submission.vae.rows import Rows
from submission.vae.settings import VAETraining
from tests.benchmarks.processor import describe, precisions

STAGES = {
    "stage 1": """
        Encoder.features_per_layer = [256, 128, 64]
        Decoder.features_per_layer = [64, 128, 256]
        GaussianLikelihood.scale_mean_zero_one = False
        GaussianLikelihood.scale_loss_by_batch = False
        RegularizationLoss.scale_by_batch = False
        train_vae.optimizer_name = 'adam'
        """,
    "stage 2": """
        Encoder.features_per_layer = [4096]
        Encoder.init = 'orthogonal'
        Decoder.features_per_layer = [4096, 4096, 4096, 4096]
        train_vae.optimizer_name = 'radam'
        """,
}
ROWS = {"stage 1": 25_600, "stage 2": 1_280}
BATCH_SIZE, LATENTS, BETA = 256, 18, 0.1


class SingleSamples(Dataset):
    def __init__(self, features: np.ndarray) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, number: int) -> Tensor:
        return torch.from_numpy(self.features[number])


def plain_epoch(features: np.ndarray) -> Callable[[], None]:
    vae, _ = new_vae()
    kind = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}[VAETraining().optimizer_name]
    optimizer = kind(vae.parameters(), lr=1e-3, foreach=False)
    loader = DataLoader(SingleSamples(features), BATCH_SIZE, shuffle=True, num_workers=2)

    def run() -> None:
        vae.train()
        totals: dict[str, float] = {}
        with Path(os.devnull).open("w") as log:
            for batch in loader:
                optimizer.zero_grad()
                losses = vae.losses(batch, *vae(batch, torch.randn(len(batch), LATENTS)))
                total = losses["MSE"] + BETA * losses["KLD"]
                total.backward()
                optimizer.step()
                values = {name: loss.item() for name, loss in {**losses, "total": total}.items()}
                for name, value in values.items():
                    totals[name] = totals.get(name, 0.0) + value * len(batch)
                print(", ".join(f"{name} {value:.7f}" for name, value in values.items()), file=log)

    return run


def kit_epoch(features: np.ndarray, precision: Precision) -> Callable[[], None]:
    vae, training = new_vae()
    optimizer = make_optimizer(training.optimizer_name, vae.parameters(), 1e-3, beta1=0.9)
    placement = Placement("cpu", precision)
    table = Rows(features, placement)
    compiled = compiled_if_long(batch_losses, SAMPLES_WORTH_IT, placement)

    def run() -> None:
        train_epoch(
            vae,
            optimizer,
            partial(compiled, vae, vae),
            batches(table, BATCH_SIZE, LATENTS, seed=1, epoch=0),
            {"KLD": BETA},
            clip_gradients=None,
            placement=placement,
            advance=lambda _: None,
        )

    return run


def new_vae() -> tuple[VAE, VAETraining]:
    training = VAETraining(latent_dims=LATENTS)
    return training.build((512,)), training


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--stage", choices=STAGES, action="append")
    arguments = parser.parse_args()
    print(describe())
    for stage in arguments.stage or STAGES:
        gin.clear_config()
        gin.parse_config(STAGES[stage] + "Encoder.batch_norm = True\nDecoder.batch_norm = True")
        features = np.random.RandomState(0).rand(ROWS[stage], 512).astype(np.float32) / 20
        runs: dict[str, Callable[[], None]] = {
            "plain": plain_epoch(features),
            **{precision: kit_epoch(features, precision) for precision in precisions()},
        }
        best = dict.fromkeys(runs, float("inf"))
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                best[name] = min(best[name], seconds(run))
        print(f"{stage}, plain loop: {ROWS[stage] / best['plain']:,.0f} samples/s")
        for precision in precisions():
            rate, ratio = ROWS[stage] / best[precision], best["plain"] / best[precision]
            print(f"{stage}, {precision}: {rate:,.0f} samples/s, {ratio:.2f} times")


if __name__ == "__main__":
    main()
