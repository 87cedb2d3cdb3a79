"""Devices, shapes and dtypes of a GPU's steps, without a GPU: with fake tensors, and on `meta`.

A fake tensor has a device, a shape and a dtype, but no numbers. An operation on tensors of two
devices is an error, as on a real GPU. Backward passes need a real GPU's context, so gradients are
looked at on `meta`, which knows shapes and dtypes only. Neither knows autocast.
"""

from collections.abc import Iterator
from functools import partial

import gin
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from evaluation.common.devices import Placement
from submission.features.aggregation import (
    AggregatedFeatureExtractor,
    MaximumTransform,
    RMACTransform,
)
from submission.features.backbones import Backbone
from submission.finetuning.classifier import FactorClassifier
from submission.vae import fitting
from submission.vae.likelihoods import GaussianLikelihood2d
from submission.vae.model import VAE, Decoder, Encoder
from tests.gpu.test_training import OPTIONS, bind


@pytest.fixture(autouse=True)
def _no_config() -> Iterator[None]:
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def fake_gpu() -> Iterator[None]:
    """New tensors are fake, and on the GPU unless another device is named."""
    with FakeTensorMode(), torch.device("cuda"):
        yield


def small_extractor() -> AggregatedFeatureExtractor:
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2)
    )
    backbone = Backbone("VGG11", nn.ModuleDict({"features": layers}), (16, 16))
    return AggregatedFeatureExtractor(backbone, [8, 8], [1, 2], [1, 1], [0, 0], dropout=0.1)


def new_vae(option: str) -> tuple[VAE, torch.Tensor, torch.Tensor]:
    """A VAE with features and noise for it."""
    bind(OPTIONS.get(option, {"Decoder.likelihood_class": GaussianLikelihood2d}))
    shape = (6, 2, 2) if option == "maps" else (24,)
    vae = VAE(Encoder(shape, 5), Decoder(shape, 5), 5).train()
    return vae, torch.rand(40, *shape), torch.randn(40, 5)


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize("option", [*OPTIONS, "maps"])
def test_losses_of_the_vae_stay_on_the_gpu(option: str) -> None:
    vae, features, noise = new_vae(option)
    losses = fitting.batch_losses(vae, vae, features, noise)
    assert {"MSE", "KLD"} <= losses.keys()
    for loss in losses.values():
        assert (loss.device.type, loss.dtype, loss.shape) == ("cuda", torch.float32, ())


@pytest.mark.parametrize("option", [*OPTIONS, "maps"])
def test_gradients_of_the_vae(option: str) -> None:
    with torch.device("meta"):
        vae, features, noise = new_vae(option)
    losses_of_batch = partial(fitting.batch_losses, vae, vae)
    placement = Placement("meta")
    fitting._set_gradients(vae, losses_of_batch, {"KLD": 0.5}, placement, features, noise)
    for name, weight in vae.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad.shape, weight.grad.dtype) == (weight.shape, torch.float32), name


@pytest.mark.usefixtures("fake_gpu")
def test_losses_of_fine_tuning_stay_on_the_gpu() -> None:
    classifier = FactorClassifier(small_extractor(), (4, 3)).train()
    images = torch.rand(12, 3, 64, 64).to(memory_format=torch.channels_last)
    values = torch.zeros(12, 2, dtype=torch.long)
    logits = classifier(images)
    for result in (classifier.losses(logits, values), classifier.hits(logits, values)):
        assert (result.device.type, result.shape) == ("cuda", (2,))


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize("transform", [None, RMACTransform(config="1-3-G"), MaximumTransform()])
def test_features_stay_on_the_gpu(transform: nn.Module | None) -> None:
    extractor = small_extractor().eval()
    network = extractor.extractor if transform is not None else extractor
    features = nn.Sequential(network, transform or nn.Identity())(torch.rand(7, 3, 64, 64))
    assert (features.device.type, features.dtype) == ("cuda", torch.float32)
    assert features.shape == ((7, 16) if transform is not None else (7, 32))
