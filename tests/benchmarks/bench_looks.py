"""How far apart the simulated looks are: a small network trained on each, tested on all.

    python -m tests.benchmarks.bench_looks [--trained-on LOOKS ...] [--seed N]

Each row trains a network with labels and without augmentation or adaptation, on nine tenths of the
look's mini. Tested are images that it was not trained on. The figures are per cent of images whose
value of a factor is read right; guessing gives the last row. Several minutes of processor time.
"""

import argparse
import sys
import time
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.environment import data_root
from evaluation.data import open_dataset

LOOKS = ("toy", "realistic", "real", "hard")
CHANNELS = (3, 16, 32, 48, 64)
BATCH, STEPS = 64, 1200
"""Every row takes as many steps, so that a row of two looks sees each image half as often."""
TESTED = 1024


def images_and_factors(look: str) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Images (n, 3, 64, 64), uint8, values of factors (n, 7), and how many values each has."""
    dataset = open_dataset(f"mpi3d_sim_{look}_mini", data_root())
    everything = np.arange(len(dataset))
    images = torch.from_numpy(dataset.images_at(everything)).permute(0, 3, 1, 2)
    factors = torch.from_numpy(dataset.factors_of(everything)).long()
    return images, factors, tuple(dataset.factor_sizes)


def small_network(sizes: tuple[int, ...]) -> nn.Sequential:
    """Four convolutions of stride 2, and a linear head for each factor, side by side."""
    layers: list[nn.Module] = []
    for before, after in pairwise(CHANNELS):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS[-1] * 16, sum(sizes)))


def as_input(images: Tensor) -> Tensor:
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def train(images: Tensor, factors: Tensor, sizes: tuple[int, ...], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    network = small_network(sizes).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS)
    rows = torch.empty(0, dtype=torch.long)
    for _ in range(STEPS):
        if len(rows) < BATCH:
            rows = torch.randperm(len(images))
        batch, rows = rows[:BATCH], rows[BATCH:]
        heads = network(as_input(images[batch])).split(sizes, 1)
        losses = [functional.cross_entropy(head, factors[batch, k]) for k, head in enumerate(heads)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracies(
    network: nn.Sequential, images: Tensor, factors: Tensor, sizes: tuple[int, ...]
) -> list[float]:
    """Per cent of the images (n, 3, 64, 64) whose value is read right, one number a factor."""
    read = [head.argmax(1) for head in network(as_input(images)).split(sizes, 1)]
    return [100 * (values == factors[:, k]).double().mean().item() for k, values in enumerate(read)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--trained-on", nargs="+", default=[*LOOKS, "toy+realistic"], metavar="LOOKS"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    data = {look: images_and_factors(look) for look in LOOKS}
    sizes = data["toy"][2]
    order = torch.randperm(len(data["toy"][0]), generator=torch.Generator().manual_seed(0))
    tested = order[:TESTED]
    trained = order[len(order) // 10 :]

    print("| Trained on | Tested on | color | shape | size | camera | background | h | v | mean |")
    print("|---|---|" + "---|" * 8)
    for name in arguments.trained_on:
        start = time.process_time()
        images = torch.cat([data[look][0][trained] for look in name.split("+")])
        factors = torch.cat([data[look][1][trained] for look in name.split("+")])
        network = train(images, factors, sizes, arguments.seed)
        for look in LOOKS:
            shares = accuracies(network, data[look][0][tested], data[look][1][tested], sizes)
            cells = " | ".join(f"{share:.1f}" for share in [*shares, np.mean(shares)])
            print(f"| {name} | {look} | {cells} |", flush=True)
        print(f"{name}: {time.process_time() - start:.0f} s", file=sys.stderr)
    guesses = [100 / size for size in sizes]
    print(
        "| nothing | any | " + " | ".join(f"{g:.1f}" for g in [*guesses, np.mean(guesses)]) + " |"
    )


if __name__ == "__main__":
    main()
