"""Training the VAE against a plain loop: time for a step of 256 rows, in one run.

    python -m tests.benchmarks.bench_vae [--stage "stage 1"] [--rounds 5] [--threads 1]

The plain loop works as the original's did: a DataLoader over single samples, eager float32, an
optimiser that is not fused, every loss read and printed after every batch. It runs without worker
processes, with one and with two, and in each round its best counts. Each way runs in a process of
its own on the same random features, and they take turns. What counts is the processor time of all
threads, which other work on the machine disturbs least; the clock's time is printed as well.
Beside it stand the products of matrices that a step has to do, with nothing else: no loop in
float32 takes less.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import gin
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from evaluation.common import environment
from evaluation.common.devices import Placement, Precision, cores
from submission.runtime.compiling import SAMPLES_WORTH_IT, compiled_if_long
from submission.runtime.optimizers import make_optimizer
from submission.vae.fitting import batch_losses, batches, train_epoch
from submission.vae.model import VAE
from submission.vae.rows import Rows
from submission.vae.settings import VAETraining
from tests.benchmarks.plain import plain_process
from tests.benchmarks.processor import Spent, describe, milliseconds, precisions, times_less

STAGES = {
    "quick": """
        Encoder.features_per_layer = [256]
        Encoder.init = 'orthogonal'
        Decoder.features_per_layer = [256, 256]
        train_vae.optimizer_name = 'radam'
        """,
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
DIMS = {"quick": 128, "stage 1": 512, "stage 2": 512}
STEPS = {"quick": 40, "stage 1": 20, "stage 2": 2}
SAMPLES = {"quick": 0, "stage 1": SAMPLES_WORTH_IT, "stage 2": SAMPLES_WORTH_IT}
"""Whether all epochs together are long enough to compile steps: not for quick's 40 of a mini."""
BATCH_SIZE, LATENTS, BETA = 256, 18, 0.1

Run = Callable[[], Spent]


class SingleSamples(Dataset):
    def __init__(self, features: np.ndarray) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, number: int) -> Tensor:
        return torch.from_numpy(self.features[number])


@cache
def plain_epoch(stage: str, workers: int) -> Callable[[], None]:
    vae, training, features = prepared(stage)
    kind = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}[training.optimizer_name]
    optimizer = kind(vae.parameters(), lr=1e-3, foreach=False)
    loader = DataLoader(
        SingleSamples(features),
        BATCH_SIZE,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,  # an epoch here is short, and their start would count
    )

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


@cache
def kit_epoch(stage: str, precision: Precision) -> Callable[[], None]:
    vae, training, features = prepared(stage)
    optimizer = make_optimizer(training.optimizer_name, vae.parameters(), 1e-3, beta1=0.9)
    placement = Placement("cpu", precision)
    table = Rows(features, placement)
    losses_of_batch = compiled_if_long(batch_losses, SAMPLES[stage], placement)

    def run() -> None:
        train_epoch(
            vae,
            optimizer,
            partial(losses_of_batch, vae, vae),
            batches(table, BATCH_SIZE, LATENTS, seed=1, epoch=0),
            {"KLD": BETA},
            clip_gradients=None,
            placement=placement,
            advance=lambda _: None,
        )

    return run


@cache
def products(stage: str) -> Callable[[], None]:
    """All products of a step's linear layers, forwards and backwards, for the steps of an epoch."""
    layers = linear_layers(stage)
    batch = [(torch.rand(BATCH_SIZE, own.in_features), own.weight.detach()) for own in layers]
    gradients = [torch.rand(BATCH_SIZE, own.out_features) for own in layers]
    results = [
        (torch.empty_like(g), torch.empty_like(r), torch.empty_like(w))
        for g, (r, w) in zip(gradients, batch, strict=True)
    ]

    def run() -> None:
        for _ in range(STEPS[stage]):
            for (rows, weight), (output, _, _) in zip(batch, results, strict=True):
                torch.mm(rows, weight.T, out=output)
            for number in reversed(range(len(layers))):
                (rows, weight), gradient = batch[number], gradients[number]
                _, of_rows, of_weight = results[number]
                torch.mm(gradient.T, rows, out=of_weight)
                if number:  # nobody asks for the gradient of the features
                    torch.mm(gradient, weight, out=of_rows)

    return run


def operations(stage: str) -> int:
    """Additions and multiplications of a step's products."""
    sizes = [layer.weight.numel() for layer in linear_layers(stage)]
    return 2 * BATCH_SIZE * (3 * sum(sizes) - sizes[0])


def linear_layers(stage: str) -> list[nn.Linear]:
    vae, _, _ = prepared(stage)
    return [layer for layer in vae.modules() if isinstance(layer, nn.Linear)]


def prepared(stage: str) -> tuple[VAE, VAETraining, np.ndarray]:
    gin.clear_config()
    gin.parse_config(STAGES[stage] + "Encoder.batch_norm = True\nDecoder.batch_norm = True")
    training = VAETraining(latent_dims=LATENTS)
    shape = (STEPS[stage] * BATCH_SIZE, DIMS[stage])
    features = np.random.RandomState(0).rand(*shape).astype(np.float32) / 20
    return training.build((DIMS[stage],)), training, features


def spent_on(
    way: Callable[..., Callable[[], None]], stage: str, threads: int, *more: object
) -> Spent:
    """What a step costs in the process that is called with this."""
    torch.set_num_threads(threads)
    run = way(stage, *more)
    before = Spent.so_far()
    run()
    return (Spent.so_far() - before) / STEPS[stage]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--threads", type=int, default=cores())
    arguments = parser.parse_args()
    print(f"{describe()}; {arguments.threads} threads")
    environment.use_huge_pages()
    for stage in arguments.stage or STAGES:
        with ExitStack() as stack:
            call = stack.enter_context(plain_process())
            ways: dict[str, Run] = {
                f"plain, {n} workers": partial(
                    call, spent_on, plain_epoch, stage, arguments.threads, n
                )
                for n in (0, 1, 2)
            }
            ways["products alone"] = partial(call, spent_on, products, stage, arguments.threads)
            for precision in precisions():
                ways[precision] = partial(spent_on, kit_epoch, stage, arguments.threads, precision)
            rounds: dict[str, list[Spent]] = {name: [] for name in ways}
            for number in range(arguments.rounds + 1):
                for name, run in ways.items():
                    spent = run()
                    if number:  # the first round warms up
                        rounds[name].append(spent)
        report(stage, rounds)


def report(stage: str, rounds: dict[str, list[Spent]]) -> None:
    work = operations(stage)
    print(f"{stage}: {work / 1e9:.2f} G operations a step")
    for name, spent in rounds.items():
        rate = work / statistics.median(one.processor for one in spent)
        print(f"{name:16} {milliseconds(spent)}, {rate / 1e9:4.0f} G operations a second")
    plain = [spent for name, spent in rounds.items() if name.startswith("plain")]
    best = [
        Spent(min(one.clock for one in tried), min(one.processor for one in tried))
        for tried in zip(*plain, strict=True)
    ]
    for name in ("products alone", *precisions()):
        print(f"{name}: {times_less(best, rounds[name])}")


if __name__ == "__main__":
    main()
