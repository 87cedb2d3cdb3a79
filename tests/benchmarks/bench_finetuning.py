"""Fine-tuning against a plain loop: stage 2's network at 64x64, images a second, in one run.

The plain loop works as the original's did: a DataLoader over single samples with two workers, the
network eager in float32, RAdam, in a process of its own. Run
`python -m tests.benchmarks.bench_finetuning` on a quiet machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from evaluation.common import environment
from evaluation.common.devices import Placement, Precision
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import FineTuning, tune
from tests.benchmarks.plain import plain_process
from tests.benchmarks.processor import describe, precisions


class SingleImages(Dataset):
    def __init__(self, grid: ImageGrid) -> None:
        self.grid = grid

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, np.ndarray]:
        factors = np.array(np.unravel_index(number, self.grid.factors_num_values))
        image = self.grid.images[number].astype(np.float32) / 255
        return torch.from_numpy(np.moveaxis(image, 2, 0)), factors


def classifier_for(grid: ImageGrid) -> FactorClassifier:
    torch.manual_seed(0)
    backbone = Backbone("VGG19", build_network("VGG19"), (64, 64))
    extractor = AggregatedFeatureExtractor(backbone, dropout=0.1, l2_normalize=True)
    return FactorClassifier(extractor, grid.factor_sizes)


def grid_of(path: Path) -> ImageGrid:
    images = np.load(path, mmap_mode="r")
    return ImageGrid("bench", images, (len(images) // 8, 2, 2, 2), ("a", "b", "c", "d"), "bench")


def plain_epoch(path: Path, batch_size: int) -> float:
    grid = grid_of(path)
    classifier = classifier_for(grid).train()
    optimizer = torch.optim.RAdam(
        classifier.parameters(), 1e-3, weight_decay=0.01, decoupled_weight_decay=True
    )
    start = time.perf_counter()
    loader = DataLoader(
        SingleImages(grid),
        batch_size=batch_size,
        shuffle=True,
        num_workers=2,
        multiprocessing_context="fork",
    )
    for images, factors in loader:
        optimizer.zero_grad()
        features = classifier.extractor(images)
        losses = [
            functional.cross_entropy(head(features), factors[:, position])
            for position, head in enumerate(classifier.heads)
        ]
        torch.stack(losses).sum().backward()
        optimizer.step()
        [loss.item() for loss in losses]
    return time.perf_counter() - start


def our_epoch(path: Path, batch_size: int, precision: Precision) -> float:
    grid = grid_of(path)
    folder = Path(tempfile.mkdtemp(dir=path.parent))
    classifier = classifier_for(grid)
    start = time.perf_counter()
    tune(
        classifier,
        LabelledImages([grid]),
        np.arange(len(grid)),
        np.arange(0),
        FineTuning(epochs=1, weight_decay=0.01, extractor_lr=1e-3),
        batch_size=batch_size,
        seed=1,
        placement=Placement("cpu", precision),
        folder=folder,
        made_from={"benchmark": str(folder)},
    )
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    print(describe())

    environment.use_huge_pages()
    with tempfile.TemporaryDirectory() as folder, plain_process() as run_plainly:
        path = Path(folder) / "images.npy"
        shape = (arguments.images, 64, 64, 3)
        np.save(path, np.random.RandomState(0).randint(256, size=shape, dtype=np.uint8))
        size = arguments.batch_size
        loops: dict[str, Callable[[], float]] = {
            "plain": lambda: run_plainly(plain_epoch, path, size),
            **{name: partial(our_epoch, path, size, name) for name in precisions()},
        }
        seconds = dict.fromkeys(loops, float("inf"))
        for _ in range(arguments.repeats):
            for name, loop in loops.items():
                seconds[name] = min(seconds[name], loop())
    for name, took in seconds.items():
        rate, ratio = arguments.images / took, seconds["plain"] / took
        print(f"{name:8} {rate:6.1f} images/s  {ratio:.2f} x plain")


if __name__ == "__main__":
    main()
