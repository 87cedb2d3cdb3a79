"""Fine-tuning and the VAE on a device: first steps, every loss, recorded steps, and resuming."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.common.devices import Placement
from evaluation.common.rounding import disagreement
from evaluation.data.ground_truth import ImageGrid
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.finetuning import step as finetuning_step
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import FineTuning, tune
from submission.runtime import checkpoints, graphs
from submission.runtime.optimizers import make_optimizer
from submission.vae import fitting
from submission.vae.likelihoods import GaussianLikelihood2d
from submission.vae.model import VAE, Decoder, Encoder
from submission.vae.rows import Rows
from submission.vae.settings import VAETraining
from tests.gpu.conftest import BF16, BOTH, FLOAT32, GPU

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch norm": {"Encoder.batch_norm": True, "Decoder.batch_norm": True},
    "orthogonal": {"Encoder.init": "orthogonal"},
    "not divided": {
        "GaussianLikelihood.scale_mean_zero_one": False,
        "GaussianLikelihood.scale_loss_by_batch": False,
        "RegularizationLoss.scale_by_batch": False,
    },
    "by dims": {"GaussianLikelihood.scale_loss_by_dims": True},
    "learned prior": {"RegularizationLoss.use_bayes_factor_vae0_loss": True},
    "total correlation": {"RegularizationLoss.use_tc_loss": True},
}


@pytest.fixture(autouse=True)
def _no_config() -> Any:
    gin.clear_config()
    yield
    gin.clear_config()


def bind(options: Mapping[str, Any]) -> None:
    gin.clear_config()
    for name, value in options.items():
        gin.bind_parameter(name, value)


def losses_and_gradients(vae: VAE, features: Tensor, noise: Tensor, placement: Placement) -> Any:
    vae = vae.to(placement.device).train()
    step = partial(
        fitting._set_gradients,
        vae,
        partial(fitting.batch_losses, vae, vae),
        {"KLD": 0.5},
        placement,
    )
    losses = step(features.to(placement.device), noise.to(placement.device))
    flat = [weight.grad.flatten() for weight in vae.parameters() if weight.grad is not None]
    return torch.stack(list(losses.values())).cpu().numpy(), torch.cat(flat).cpu().numpy()


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("option", OPTIONS)
def test_losses_and_gradients_of_every_option(option: str, device: str) -> None:
    bind(OPTIONS[option])
    check_losses((24,), Placement(device), FLOAT32)


@pytest.mark.parametrize("device", GPU)
def test_losses_and_gradients_in_bf16(device: str) -> None:
    check_losses((24,), Placement(device, "bf16"), BF16)


@pytest.mark.parametrize("device", BOTH)
def test_losses_and_gradients_on_maps(device: str) -> None:
    bind({"Decoder.likelihood_class": GaussianLikelihood2d})
    check_losses((6, 2, 2), Placement(device), FLOAT32)


def check_losses(shape: tuple[int, ...], placement: Placement, bound: float) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(40, *shape, generator=generator)
    noise = torch.randn(40, 5, generator=generator)
    results = []
    for where in (Placement(), placement):
        torch.manual_seed(0)
        vae = VAE(Encoder(shape, 5), Decoder(shape, 5), 5)
        results.append(losses_and_gradients(vae, features, noise, where))
    for expected, found in zip(*results, strict=True):
        assert disagreement(found, expected) < bound


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("optimizer", ["adam", "radam", "rmsprop"])
def test_an_epoch_of_recorded_steps_is_one_of_plain_steps(
    optimizer: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind({"Encoder.batch_norm": True, "Decoder.batch_norm": True})
    features = np.random.RandomState(0).rand(300, 24).astype(np.float32)
    placement = Placement(device)

    def epoch() -> tuple[dict[str, Tensor], list[Tensor]]:
        torch.manual_seed(0)
        vae = VAE(Encoder((24,), 5), Decoder((24,), 5), 5).to(device)
        table = Rows(features, placement)
        sums, _ = fitting.train_epoch(
            vae,
            make_optimizer(optimizer, vae.parameters(), 1e-3),
            partial(fitting.batch_losses, vae, vae),
            fitting.batches(table, 32, 5, seed=1, epoch=0),
            {"KLD": 0.5},
            clip_gradients=None,
            placement=placement,
            advance=lambda _: None,
        )
        return sums, [weight.detach().cpu() for weight in vae.parameters()]

    recorded, weights = epoch()
    monkeypatch.setattr(fitting, "captured_on_gpu", lambda step, *_: step)
    plain, expected = epoch()
    for name, loss in plain.items():
        assert float(recorded[name]) == pytest.approx(float(loss), rel=FLOAT32)
    for found, weight in zip(weights, expected, strict=True):
        assert disagreement(found.numpy(), weight.numpy()) < FLOAT32


@pytest.mark.parametrize("device", GPU)
def test_steps_are_recorded(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, record = [], graphs.capture

    def noted(run: Callable[[], dict[str, Tensor]]) -> Any:
        recorded.append(run)
        return record(run)

    monkeypatch.setattr(graphs, "capture", noted)
    run_fit(tmp_path, Placement(device), 2)
    assert len(recorded) == 2
    assert "not replayed" not in capsys.readouterr().out


def run_fit(folder: Path, placement: Placement, epochs: int) -> list[dict[str, float]]:
    """Trains to `epochs` epochs in `folder`, from the epochs that are there."""
    torch.manual_seed(0)
    training = VAETraining(latent_dims=5, epochs=epochs)
    fitting.fit(
        training.build((24,)),
        training,
        np.random.RandomState(0).rand(200, 24).astype(np.float32),
        batch_size=32,
        seed=1,
        placement=placement,
        folder=folder,
        made_from={"name": "test"},
    )
    state = checkpoints.load(folder / fitting.CHECKPOINT, {"name": "test"})
    assert state is not None
    return state["rows"]


@pytest.mark.parametrize("device", BOTH)
def test_a_run_goes_on_on_another_device_and_back(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for epochs, place in enumerate(("cpu", device, "cpu"), 1):
        rows = run_fit(tmp_path, Placement(place), epochs)
        assert len(rows) == epochs
    assert capsys.readouterr().out.count("Reusing") == 2
    assert all(np.isfinite(row["MSE"]) for row in rows)


@pytest.mark.parametrize("device", BOTH)
def test_the_first_steps_of_fine_tuning(grid: ImageGrid, device: str, tmp_path: Path) -> None:
    rows = [
        run_tuning(grid, tmp_path / name, place, FineTuning(epochs=1))
        for name, place in (("expected", "cpu"), ("found", device))
    ]
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=1e-2)
    assert rows[1]["held_out_loss"] == pytest.approx(rows[0]["held_out_loss"], rel=5e-2)


@pytest.mark.parametrize("device", GPU)
def test_recorded_steps_of_fine_tuning_are_plain_ones(
    grid: ImageGrid,
    device: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dropout, batch norms and a backbone that begins to learn in the second epoch among them."""
    tuning = FineTuning(epochs=2, unfreeze_extractor_epoch=1)
    sizes: dict[str, Any] = {"images": 96, "dropout": 0.1}
    recorded = run_tuning(grid, tmp_path / "recorded", device, tuning, **sizes)
    assert "not replayed" not in capsys.readouterr().out
    monkeypatch.setattr(finetuning_step, "captured_on_gpu", lambda step, *_: step)
    plain = run_tuning(grid, tmp_path / "plain", device, tuning, **sizes)
    assert recorded == pytest.approx(plain, rel=FLOAT32)


@pytest.mark.parametrize("device", GPU)
def test_after_a_recording_that_failed_all_goes_on(
    device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that reads a number, which no graph can, and random numbers before and after it."""
    monkeypatch.setattr(graphs.Captured, "gave_up", False)
    weight = torch.nn.Parameter(torch.ones(1000, device=device))

    def step(rows: Tensor) -> dict[str, Tensor]:
        weight.grad = None
        loss = (torch.nn.functional.dropout(rows, 0.5) * weight).square().mean()
        loss.backward()
        return {"loss": loss.detach() * (1.0 if float(loss) > 0 else 0.0)}

    current = torch.cuda.current_stream()
    captured = graphs.captured_on_gpu(step, [weight], Placement(device))
    rows = torch.rand(8, 1000, device=device)
    losses = [float(captured(rows)["loss"]) for _ in range(7)]
    assert len(set(losses)) == 7  # dropout draws other numbers each time
    assert capsys.readouterr().out.count("not replayed") == 1
    assert torch.cuda.current_stream() == current
    # Memory that two streams have used comes back.
    aside = torch.cuda.Stream()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    block = torch.empty(256 * 2**20, dtype=torch.uint8, device=device)
    block.record_stream(aside)
    del block
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before
    # A step that can be recorded still can.
    monkeypatch.setattr(graphs.Captured, "gave_up", False)
    result, _ = graphs.capture(lambda: {"sum": weight.sum()})
    result()


def run_tuning(
    grid: ImageGrid,
    folder: Path,
    device: str,
    tuning: FineTuning,
    images: int = 36,
    dropout: float = 0.0,
) -> dict[str, float]:
    """The figures of the last epoch; images are taken again and again."""
    torch.manual_seed(0)
    backbone = Backbone("VGG11", build_network("VGG11"), (16, 16), 2)
    extractor = AggregatedFeatureExtractor(
        backbone, [8, 8], [4, 5], [1, 1], [0, 0], dropout=dropout
    )
    folder.mkdir()
    tune(
        FactorClassifier(extractor, grid.factor_sizes),
        LabelledImages([grid]),
        np.resize(np.arange(36), images),
        np.arange(36, 48),
        tuning,
        batch_size=12,
        seed=1,
        placement=Placement(device),
        folder=folder,
        made_from={"name": "test"},
    )
    state = checkpoints.load(folder / "checkpoint.pt", {"name": "test"})
    assert state is not None
    return dict(state["rows"][-1])
