"""Feature extraction against a plain loop: VGG19 at 64x64, images a second, in one run.

The plain loop works as the original's did: a DataLoader over single samples with two workers, and
the network as torchvision makes it, eager in float32. Run
`python -m tests.benchmarks.bench_features` on a quiet machine.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from evaluation.data.ground_truth import ImageGrid
from submission.aggregation import MaximumTransform
from submission.backbones import Backbone, build_network
from submission.features import extract


class SingleImages(Dataset):
    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.from_numpy(np.moveaxis(self.images[number].astype(np.float32) / 255, 2, 0))


def plain_loop(grid: ImageGrid, backbone: Backbone) -> np.ndarray:
    table = None
    transform = MaximumTransform()
    loader = DataLoader(SingleImages(grid.images), batch_size=64, num_workers=2)
    done = 0
    for images in loader:
        with torch.no_grad():
            features = transform(backbone(images.float())).numpy()
        if table is None:
            table = np.zeros((len(grid), features.shape[1]), np.float32)
        table[done : done + len(features)] = features
        done += len(features)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    backbone = Backbone("VGG19", build_network("VGG19"), (64, 64)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        shape = (arguments.images, 64, 64, 3)
        np.save(path, np.random.RandomState(0).randint(256, size=shape, dtype=np.uint8))
        images = np.load(path, mmap_mode="r")
        grid = ImageGrid("bench", images, (len(images),), ("number",), "bench")

        def ours(precision: str) -> np.ndarray:
            features_dir = Path(tempfile.mkdtemp(dir=folder))
            return extract(
                grid,
                np.arange(len(grid)),
                backbone,
                MaximumTransform(),
                features_dir=features_dir,
                device=torch.device("cpu"),
                precision=precision,
            )

        loops: dict[str, Callable[[], np.ndarray]] = {
            "plain": lambda: plain_loop(grid, backbone),
            "float32": lambda: ours("float32"),
            "bf16": lambda: ours("bf16"),
        }
        seconds = dict.fromkeys(loops, float("inf"))
        tables = {}
        for _ in range(arguments.repeats):
            for name, loop in loops.items():
                start = time.perf_counter()
                tables[name] = loop()
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    for name in loops:
        rate = arguments.images / seconds[name]
        difference = np.abs(tables[name] - tables["plain"]).max()
        print(
            f"{name:8} {rate:7.1f} images/s  {seconds['plain'] / seconds[name]:.2f} x plain  "
            f"largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
