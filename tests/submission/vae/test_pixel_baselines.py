"""The VAEs on pixels: a training step against disentanglement_lib's own, and their losses."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gin
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from submission import config
from submission.vae import fitting, objectives
from submission.vae.convolutions import ConvDecoder, ConvEncoder
from submission.vae.discriminator import Discriminator, permuted_dims
from submission.vae.likelihoods import BernoulliLikelihood
from submission.vae.model import VAE
from submission.vae.objectives import RegularizationLoss
from submission.vae.settings import VAETraining

CONFIGS = REPOSITORY / "submission" / "configs"
BASELINES = ("beta_vae", "beta_tcvae", "factor_vae", "annealed_vae")
LAYERS = {
    **{f"encoder/e{n}": f"encoder.tail.{2 * n - 1}" for n in range(1, 5)},
    "encoder/e5": "encoder.tail.10",
    "encoder/means": "encoder.head_mu",
    "encoder/log_var": "encoder.head_logvar",
    "decoder/dense": "decoder.layers.0",
    "decoder/dense_1": "decoder.layers.2",
    "decoder/conv2d_transpose": "decoder.layers.5",
    **{f"decoder/conv2d_transpose_{n}": f"decoder.layers.{5 + 2 * n}" for n in range(1, 4)},
    **{f"discriminator/d{n}": f"reg_loss.discriminator.layers.{2 * n - 2}" for n in range(1, 7)},
    "discriminator/logits": "reg_loss.discriminator.layers.12",
}
"""disentanglement_lib's name of a layer -> ours."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Inputs, weights, losses and gradients of disentanglement_lib's steps, by reference_losses."""
    pytest.importorskip("disentanglement_lib", reason="disentanglement_lib is missing")
    path = tmp_path_factory.mktemp("reference") / "steps.npz"
    script = Path(__file__).with_name("reference_losses.py")
    result = subprocess.run(
        [sys.executable, str(script), str(path)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    with np.load(path) as found:
        return dict(found)


def as_ours(name: str, array: np.ndarray) -> tuple[str, Tensor]:
    """Our name, and our layout, of a weight or its gradient in disentanglement_lib."""
    layer, kind = name.removesuffix(":0").rsplit("/", 1)
    if layer == "encoder/e5" and kind == "kernel":  # it flattens maps with the channels last
        array = array.reshape(4, 4, 64, -1).transpose(2, 0, 1, 3).reshape(1024, -1)
    if layer == "decoder/dense_1":
        array = array.reshape(-1, 4, 4, 64).transpose(0, 3, 1, 2).reshape(*array.shape)
    if kind == "kernel":
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    parameter = {"kernel": "weight", "bias": "bias"}[kind]
    return f"{LAYERS[layer]}.{parameter}", torch.from_numpy(np.ascontiguousarray(array))


def of_model(reference: dict[str, np.ndarray], model: str, what: str) -> dict[str, Tensor]:
    start = f"{model} {what} "
    return dict(
        as_ours(name.removeprefix(start), array)
        for name, array in reference.items()
        if name.startswith(start)
    )


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("model", BASELINES)
def test_a_step_is_that_of_disentanglement_lib(
    reference: dict[str, np.ndarray], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same loss, and the same gradient of each weight, from the shipped config."""
    own = ["RegularizationLoss.capacity_steps = 100"] if model == "annealed_vae" else []
    config.load(CONFIGS / f"pixel_{model}.gin", own)
    training = VAETraining()
    vae = training.build((3, 64, 64))
    weights = of_model(reference, model, "weight")
    assert weights.keys() == dict(vae.named_parameters()).keys()
    vae.load_state_dict(weights, strict=False)
    if vae.reg_loss.capacity_gap is not None:
        vae.reg_loss.capacity_gap.steps_made.fill_(30)
    orders = torch.from_numpy(reference["orders"])
    monkeypatch.setattr(objectives, "permuted_dims", lambda latents: latents.gather(0, orders))

    images = torch.from_numpy(reference["images"]).permute(0, 3, 1, 2)
    noise = torch.from_numpy(reference["noise"])
    loss_weights = training.loss_weights_at(0)
    losses = fitting._set_gradients(
        vae,
        lambda features, noise: fitting.batch_losses(vae, vae, features, noise),
        loss_weights,
        Placement("cpu"),
        images,
        noise,
    )
    loss = sum(loss_weights.get(n, 1) * x.item() for n, x in losses.items() if n != "discriminator")
    assert loss == pytest.approx(float(reference[f"{model} loss"]), rel=1e-6)
    gradients = of_model(reference, model, "gradient")
    for name, weight in vae.named_parameters():
        assert weight.grad is not None
        bound = 2e-4 * gradients[name].abs().max().item()
        torch.testing.assert_close(
            weight.grad,
            gradients[name],
            rtol=0,
            atol=bound,
            msg=lambda m, name=name: f"{name}: {m}",
        )
        assert bound > 0


@pytest.mark.parametrize("model", BASELINES)
def test_the_configs_hold_disentanglement_libs_settings(model: str) -> None:
    config.load(CONFIGS / f"pixel_{model}.gin")
    assert gin.query_parameter("main.vae_batch_size") == 64
    training = VAETraining()
    assert (training.latent_dims, training.steps) == (10, 300_000)
    vae = training.build((3, 64, 64))
    groups = training.optimizer(vae).param_groups
    found = [(group["lr"], tuple(group["betas"])) for group in groups]
    expected = [(1e-4, (0.9, 0.999)), (1e-4, (0.5, 0.9))]
    assert found == expected[: 2 if model == "factor_vae" else 1]
    assert sum(len(group["params"]) for group in groups) == len(list(vae.parameters()))


def test_new_weights_are_glorots() -> None:
    torch.manual_seed(0)
    for layer in (ConvEncoder((3, 64, 64), 10).tail[3], ConvDecoder((3, 64, 64), 10).layers[9]):
        assert layer.weight.shape[:2] == (32, 32)
        bound = (6 / (2 * 32 * 4 * 4)) ** 0.5
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()


@pytest.mark.parametrize("shape", [(512,), (3, 64, 60), (3, 100, 64)])
@pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder])
def test_features_that_are_no_images_are_refused(network: type[nn.Module], shape: tuple) -> None:
    with pytest.raises(KitError, match=r"CONFIG-IMAGES.*\(channels, height, width\)"):
        network(shape, 10)


def test_images_of_another_size() -> None:
    images = torch.rand(2, 1, 32, 48)
    encoder, decoder = ConvEncoder(images.shape[1:], 5), ConvDecoder(images.shape[1:], 5)
    mean, _ = encoder(images)
    assert mean.shape == (2, 5) and decoder(mean).shape == images.shape
    assert torch.equal(encoder(images.flatten(1))[0], mean)


def test_the_cross_entropy_of_pixels() -> None:
    random_state = np.random.RandomState(0)
    images, means = random_state.rand(2, 4, 3, 2, 2)
    logits = torch.from_numpy(np.log(means / (1 - means)))
    expected = -(images * np.log(means) + (1 - images) * np.log(1 - means)).sum() / 4
    likelihood = BernoulliLikelihood()
    assert likelihood.loss(logits, torch.from_numpy(images)).item() == pytest.approx(expected)
    np.testing.assert_allclose(likelihood.mean_of(logits).numpy(), means)


def test_the_capacity_grows_to_its_end_and_stays() -> None:
    loss = RegularizationLoss(2, capacity=8.0, capacity_steps=4)
    latents, mean, logvar = torch.randn(3, 5, 2)
    divergence = loss(latents, mean, logvar)["KLD"].item()
    found = []
    for _ in range(7):
        found.append(loss(latents, mean, logvar)["capacity_gap"].item())
        loss.count_step()
    assert found == pytest.approx([abs(divergence - c) for c in (0, 2, 4, 6, 8, 8, 8)])
    again = RegularizationLoss(2, capacity=8.0, capacity_steps=4)
    again.load_state_dict(loss.state_dict())
    assert again.capacity_gap is not None and again.capacity_gap.steps_made == 7


def test_a_permuted_batch_keeps_each_dim_and_breaks_what_joins_them() -> None:
    torch.manual_seed(0)
    latents = torch.randn(4000, 1) + 0.1 * torch.randn(4000, 3)
    mixed = permuted_dims(latents)
    assert torch.equal(mixed.sort(0).values, latents.sort(0).values)
    assert torch.corrcoef(latents.T)[0, 1:].min() > 0.95
    assert (torch.corrcoef(mixed.T) - torch.eye(3)).abs().max() < 0.06
    assert not torch.equal(permuted_dims(latents), mixed)


def test_both_losses_of_the_discriminator_leave_the_others_weights_alone() -> None:
    latents = torch.randn(8, 3, requires_grad=True)
    network = Discriminator(3, [16])
    network.total_correlation(latents).backward()
    assert latents.grad is not None and latents.grad.any()
    assert all(weight.grad is None for weight in network.parameters())
    latents.grad = None
    network.loss(latents, permuted_dims(latents)).backward()
    assert latents.grad is None
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.usefixtures("one_thread")
def test_a_trained_discriminator_estimates_the_total_correlation() -> None:
    """Of two normal numbers with correlation r it is -log(1 - r^2) / 2."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = Discriminator(2, [32, 32])
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)

    def pairs(count: int) -> Tensor:
        one, other = torch.randn(2, count, generator=generator)
        return torch.stack([one, 0.9 * one + (1 - 0.9**2) ** 0.5 * other], 1)

    for _ in range(300):
        latents = pairs(256)
        optimizer.zero_grad()
        (network.loss(latents, permuted_dims(latents)) / 256).backward()
        optimizer.step()
    found = network.total_correlation(pairs(20_000)).item() / 20_000
    assert found == pytest.approx(-0.5 * np.log(1 - 0.9**2), rel=0.15)


def test_losses_that_are_not_divided_by_dims() -> None:
    latents, mean, logvar = torch.randn(3, 9, 4)
    whole = RegularizationLoss(4, scale_by_dims=False, use_tc_loss=True)(latents, mean, logvar)
    divided = RegularizationLoss(4, use_tc_loss=True)(latents, mean, logvar)
    for name in ("KLD", "TC"):
        torch.testing.assert_close(whole[name], 4 * divided[name])


@pytest.mark.parametrize(
    ("steps", "expected"), [(None, [4, 4]), (3, [3]), (4, [4]), (9, [4, 4, 1]), (1, [1])]
)
def test_steps_end_the_last_epoch(steps: int | None, expected: list[int]) -> None:
    training = VAETraining(epochs=2, steps=steps)
    assert training.steps_by_epoch(150, 40) == expected
    assert training.steps_by_epoch(161, 40) == expected, "a batch of one row is left out"


@pytest.fixture
def features() -> np.ndarray:
    return np.random.RandomState(0).rand(150, 6).astype(np.float32)


@pytest.mark.usefixtures("one_thread")
def test_a_training_of_steps_makes_so_many(
    run_fit: Callable[..., tuple[VAE, list[dict]]], tmp_path: Path
) -> None:
    gin.bind_parameter("RegularizationLoss.capacity", 1.0)
    vae, rows = run_fit(steps=9)
    assert len(rows) == 3
    assert vae.reg_loss.capacity_gap is not None and vae.reg_loss.capacity_gap.steps_made == 9
    _, whole = run_fit(epochs=3, folder=tmp_path / "whole")
    assert rows[:2] == whole[:2]
    # The losses of a cut epoch are means over the rows that were seen.
    assert rows[2]["MSE"] == pytest.approx(whole[2]["MSE"], rel=0.1)
