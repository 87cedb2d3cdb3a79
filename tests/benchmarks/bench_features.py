"""Feature extraction against a plain loop: VGG19 at 64x64, images a second, in one run.

The plain loop works as the original's did: a DataLoader over single samples with two workers, and
the network as torchvision makes it, eager in float32, in a process of its own. Run
`python -m tests.benchmarks.bench_features` on a quiet machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from evaluation.common import environment
from evaluation.common.devices import Placement, Precision
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import MaximumTransform
from submission.features.backbones import Backbone, build_network
from submission.features.extraction import extract
from tests.benchmarks.plain import plain_process
from tests.benchmarks.processor import describe, precisions


class SingleImages(Dataset):
    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(self.images[number].astype(np.float32) / 255, 2, 0))


def plain_loop(path: Path) -> tuple[np.ndarray, float]:
    """Features of the images of a file, and the seconds that they took."""
    grid, backbone = grid_of(path), fresh_backbone()
    start = time.perf_counter()
    table = np.zeros((len(grid), backbone.feature_dims), np.float32)
    transform = MaximumTransform()
    loader = DataLoader(
        SingleImages(np.asarray(grid.images)),
        batch_size=64,
        num_workers=2,
        multiprocessing_context="fork",
    )
    done = 0
    for images in loader:
        with torch.no_grad():
            features = transform(backbone(images.float())).numpy()
        table[done : done + len(features)] = features
        done += len(features)
    return table, time.perf_counter() - start


def our_loop(path: Path, precision: Precision) -> tuple[np.ndarray, float]:
    grid, backbone = grid_of(path), fresh_backbone()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        table = extract(
            grid,
            np.arange(len(grid)),
            backbone,
            MaximumTransform(),
            features_dir=Path(folder),
            placement=Placement("cpu", precision),
        )
        return table, time.perf_counter() - start


def grid_of(path: Path) -> ImageGrid:
    images = np.load(path, mmap_mode="r")
    return ImageGrid("bench", images, (len(images),), ("number",), "bench")


def fresh_backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone("VGG19", build_network("VGG19"), (64, 64)).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(describe())

    environment.use_huge_pages()
    with tempfile.TemporaryDirectory() as folder, plain_process() as run_plainly:
        path = Path(folder) / "images.npy"
        shape = (arguments.images, 64, 64, 3)
        np.save(path, np.random.RandomState(0).randint(256, size=shape, dtype=np.uint8))
        loops: dict[str, Callable[[], tuple[np.ndarray, float]]] = {
            "plain": lambda: run_plainly(plain_loop, path),
            **{name: partial(our_loop, path, name) for name in precisions()},
        }
        seconds = dict.fromkeys(loops, float("inf"))
        tables = {}
        for _ in range(arguments.repeats):
            for name, loop in loops.items():
                tables[name], took = loop()
                seconds[name] = min(seconds[name], took)
    for name in loops:
        rate = arguments.images / seconds[name]
        difference = np.abs(tables[name] - tables["plain"]).max()
        print(
            f"{name:8} {rate:7.1f} images/s  {seconds['plain'] / seconds[name]:.2f} x plain  "
            f"largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
