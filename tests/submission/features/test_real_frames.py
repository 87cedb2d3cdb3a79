"""An exported encoder on real frames of MPI3D, where they lie beside the checkout."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import vgg11_bn

from evaluation.common.environment import REPOSITORY
from evaluation.representation.finding import find
from evaluation.representation.running import RunningRepresentation
from submission.export import export
from submission.features.aggregation import AverageTransform
from submission.features.backbones import Backbone

FRAMES = REPOSITORY.parent / "shared" / "mpi3d_frames" / "mpi3d_frames.npz"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    backbone = Backbone("VGG11", vgg11_bn(), (64, 64))
    path = tmp_path_factory.mktemp("real") / "representation" / "pytorch_model.pt"
    export(nn.Sequential(backbone, AverageTransform(), nn.Linear(512, 18)), path)
    with RunningRepresentation(find(path)[0]) as representation:
        yield representation


@pytest.mark.skipif(not FRAMES.exists(), reason=f"no real frames at {FRAMES}")
@pytest.mark.parametrize("domain", ["real", "realistic", "toy", "complex"])
def test_codes_are_whole_and_move_with_each_factor(encoder, domain: str) -> None:
    frames = np.load(FRAMES)[domain]  # factor, step, height, width, RGB
    for walk in frames:
        codes = np.concatenate([encoder.encode(walk[i : i + 8]) for i in range(0, len(walk), 8)])
        assert codes.shape == (len(walk), 18)
        assert np.isfinite(codes).all()
        same = (walk == walk[0]).all(axis=(1, 2, 3))
        assert not same.all()
        moved = np.abs(codes - codes[0]).max(axis=1)
        assert moved[same].max() < 1e-5
        assert moved[~same].min() > 1e-4
