"""Extraction on a device: every backbone and aggregation, whitening, full memory, two at once."""

import copy
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY
from evaluation.common.rounding import disagreement
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import (
    AggregatedFeatureExtractor,
    AverageTransform,
    Extractor,
    IdentityTransform,
    MaximumTransform,
    RMACTransform,
)
from submission.features.backbones import BUILDERS, Backbone, build_network
from submission.features.extraction import extract
from submission.features.whitening import fit_whitening
from tests.gpu.conftest import BF16, BOTH, FLOAT32, GPU, TF32, gpus

INCEPTION_SIZE, OTHER_SIZE = (96, 96), (64, 64)


@cache
def vgg11() -> nn.Module:
    """Its random weights take longer to draw than all features here."""
    network = build_network("VGG11")
    network.classifier = nn.Identity()  # most of the weights, and not used
    return network


def backbone(name: str, stage: int | None = None) -> Backbone:
    torch.manual_seed(0)
    size = INCEPTION_SIZE if name == "Inception" else OTHER_SIZE
    network = copy.deepcopy(vgg11()) if name == "VGG11" else build_network(name)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return Backbone(name, network, size, stage).eval()


def features(
    grid: ImageGrid, extractor: Extractor, transform: nn.Module | None, placement: Placement
) -> np.ndarray:
    numbers = np.arange(len(grid))[::3]
    return extract(grid, numbers, extractor, transform, features_dir=None, placement=placement)


def off_by(
    grid: ImageGrid, extractor: Extractor, transform: nn.Module | None, placement: Placement
) -> float:
    """How far features on the device are from those of the CPU in float32."""
    expected = features(grid, extractor, transform, Placement())
    return disagreement(features(grid, extractor, transform, placement), expected)


@pytest.mark.parametrize(
    ("name", "device"),
    [
        pytest.param("VGG11", "cpu"),
        *(pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in BUILDERS),
    ],
)
def test_every_backbone(grid: ImageGrid, name: str, device: str) -> None:
    assert off_by(grid, backbone(name), MaximumTransform(), Placement(device)) < FLOAT32


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize(
    "transform",
    [None, IdentityTransform(), AverageTransform(), MaximumTransform(), RMACTransform()],
)
def test_every_aggregation(grid: ImageGrid, transform: nn.Module | None, device: str) -> None:
    assert off_by(grid, backbone("VGG11", 2), transform, Placement(device)) < FLOAT32


@pytest.mark.parametrize("device", BOTH)
def test_learned_aggregation(grid: ImageGrid, device: str) -> None:
    torch.manual_seed(1)
    extractor = AggregatedFeatureExtractor(backbone("VGG11"), [32, 64, 16], dropout=0.1).eval()
    assert off_by(grid, extractor, None, Placement(device)) < FLOAT32


@pytest.mark.parametrize("device", GPU)
def test_bf16(grid: ImageGrid, device: str) -> None:
    transform = MaximumTransform()
    assert off_by(grid, backbone("VGG11"), transform, Placement(device, "bf16")) < BF16


@pytest.mark.parametrize("device", GPU)
def test_with_tf32(grid: ImageGrid, device: str) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    assert off_by(grid, backbone("VGG11"), MaximumTransform(), Placement(device)) < TF32


@pytest.mark.parametrize("device", BOTH)
def test_whitening(grid: ImageGrid, device: str) -> None:
    extractor, numbers = backbone("VGG11", 1), np.arange(len(grid))
    first, second = (
        fit_whitening(
            grid, numbers, extractor, RMACTransform(), features_dir=None, placement=placement
        )
        for placement in (Placement(), Placement(device))
    )
    # The sign of an axis is free, and axes of equal variance may turn.
    found, expected = (
        (axes.components.T * axes.scale.square()) @ axes.components for axes in (second, first)
    )
    assert disagreement(found.numpy(), expected.numpy()) < FLOAT32


@pytest.mark.parametrize("device", GPU)
def test_the_second_gpu(grid: ImageGrid, device: str) -> None:
    if gpus() < 2:
        pytest.skip("there is one GPU only")
    torch.cuda.reset_peak_memory_stats(0)
    held = torch.cuda.memory_allocated(0)
    transform = MaximumTransform()
    assert off_by(grid, backbone("VGG11"), transform, Placement(f"{device}:1")) < FLOAT32
    assert torch.cuda.max_memory_allocated(0) == held


@pytest.mark.parametrize("device", GPU)
def test_little_memory_cuts_batches(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.RandomState(0).randint(256, size=(1024, 64, 64, 3)).astype(np.uint8)
    large = ImageGrid("large", images, (1024,), ("number",), "0")
    extractor = backbone("VGG11", 2)
    expected = features(large, extractor, MaximumTransform(), Placement(device))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_allocated() + 256 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        found = features(large, extractor, MaximumTransform(), Placement(device))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert disagreement(found, expected) < FLOAT32
    assert capsys.readouterr().out.count("The GPU's memory takes") == 1


AT_ONCE = """
import sys
import numpy as np
from evaluation.common.devices import Placement
from tests.gpu.test_features import backbone, features
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import MaximumTransform
images = np.random.RandomState(0).randint(256, size=(48, 64, 64, 3)).astype(np.uint8)
grid = ImageGrid("random", images, (48,), ("number",), "0")
table = features(grid, backbone("VGG11", 2), MaximumTransform(), Placement(sys.argv[1]))
print(float(table.astype(np.float64).sum()))
"""


@pytest.mark.parametrize("device", GPU)
def test_two_processes_on_one_gpu(device: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, device],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    sums = [float(process.communicate()[0].splitlines()[-1]) for process in started]
    assert sums[0] == pytest.approx(sums[1], rel=FLOAT32)
