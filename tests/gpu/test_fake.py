"""Devices, shapes and dtypes of a GPU's steps, without a GPU: with fake tensors, and on `meta`.

The last tests look at the operations of a step for those that no CUDA graph can have.

A fake tensor has a device, a shape and a dtype, but no numbers. An operation on tensors of two
devices is an error, as on a real GPU. Backward passes need a real GPU's context, so gradients are
looked at on `meta`, which knows shapes and dtypes only. Neither knows autocast.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gin
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from evaluation.common.devices import Placement
from submission.features.aggregation import (
    AggregatedFeatureExtractor,
    MaximumTransform,
    RMACTransform,
)
from submission.features.backbones import Backbone
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.step import add_gradients, parts_of_batches
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


WAITS_FOR_THE_GPU = {
    "_local_scalar_dense",  # a number is read
    "is_nonzero",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "lift_fresh",  # a tensor of Python's numbers is copied to the GPU
}
MORE_OPTIONS: dict[str, dict[str, Any]] = {
    "discriminator": {
        "RegularizationLoss.use_tc_loss": True,
        "RegularizationLoss.tc_estimator": "discriminator",
        "Discriminator.features_per_layer": [8],
    },
    "capacity": {"RegularizationLoss.capacity": 5.0},
    "dropout": {"Encoder.dropout": 0.1, "Encoder.batch_norm": True},
}


class Operations(TorchDispatchMode):
    """Notes the names of all operations, those of a backward pass among them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.names.add(name)
        if name.startswith("index") and any(
            isinstance(rows, torch.Tensor) and rows.dtype == torch.bool for rows in args[1]
        ):
            self.names.add("nonzero")  # how a GPU finds the rows of a mask
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("option", [*OPTIONS, *MORE_OPTIONS, "maps"])
def test_a_step_of_the_vae_never_waits_for_the_gpu(option: str) -> None:
    if option in MORE_OPTIONS:
        bind(MORE_OPTIONS[option])
        vae = VAE(Encoder((24,), 5), Decoder((24,), 5), 5).train()
        features, noise = torch.rand(40, 24), torch.randn(40, 5)
    else:
        vae, features, noise = new_vae(option)
    losses_of_batch = partial(fitting.batch_losses, vae, vae)
    with Operations() as seen:
        fitting._set_gradients(vae, losses_of_batch, {"KLD": 0.5}, Placement(), features, noise)
    assert not seen.names & WAITS_FOR_THE_GPU
    assert any(name.endswith("backward") for name in seen.names)


def test_a_step_of_fine_tuning_never_waits_for_the_gpu() -> None:
    classifier = FactorClassifier(small_extractor(), (4, 3)).train()
    images, factors = torch.rand(12, 3, 64, 64), torch.zeros(12, 2, dtype=torch.long)
    with Operations() as seen:
        add_gradients(classifier, classifier, images, factors, Placement(), parts_of_batches(12))
    assert not seen.names & WAITS_FOR_THE_GPU
    assert {"convolution_backward", "native_batch_norm_backward"} <= seen.names


def test_what_waits_for_the_gpu_is_seen() -> None:
    rows = torch.rand(3)
    for wait in (lambda: float(rows[0]), lambda: rows[rows > 0.5], lambda: torch.tensor([1.0])):
        with Operations() as seen:
            wait()
        assert seen.names & WAITS_FOR_THE_GPU
