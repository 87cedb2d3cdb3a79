"""Further codes: what a VAE learns of the features that the heads leave unexplained."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.resources.processes import descendants
from submission.transfer.further_codes import Unexplained
from tests.submission.transfer.test_adapting import CONFIG, finish

pytestmark = pytest.mark.usefixtures("one_thread")

VAE = """
adapt.epochs = 1
adapt.further_codes = True
main.vae_batch_size = 32
train_vae.latent_dims = 3
train_vae.epochs = 2
Encoder.features_per_layer = [8]
Decoder.features_per_layer = [8]
BetaSchedule.beta_start = 0
BetaSchedule.beta_end = 1
"""


def test_what_is_left_does_not_follow_the_probabilities() -> None:
    random_state = RandomState(0)
    probabilities = np.concatenate(
        [random_state.dirichlet([0.3] * size, 500) for size in (3, 4)], 1
    ).astype(np.float32)
    explained = probabilities @ random_state.normal(size=(7, 5)) + 2
    other = random_state.normal(size=(500, 5))
    features = (explained + 0.1 * other).astype(np.float32)
    unexplained = Unexplained(features, probabilities)
    left = unexplained(torch.from_numpy(features), torch.from_numpy(probabilities)).numpy()
    assert np.square(left).mean() == pytest.approx(1, rel=1e-3)
    centred = probabilities - probabilities.mean(0)
    np.testing.assert_allclose(centred.T @ left / 500, 0, atol=1e-4)
    assert np.corrcoef(left.ravel(), other.ravel())[0, 1] > 0.98


def test_features_that_are_explained_wholly_leave_finite_numbers() -> None:
    probabilities = np.eye(2, dtype=np.float32)[RandomState(0).randint(0, 2, 60)]
    constant = np.ones((60, 4), np.float32)
    unexplained = Unexplained(constant, probabilities)
    left = unexplained(torch.from_numpy(constant), torch.from_numpy(probabilities))
    assert left.isfinite().all()


def test_they_follow_the_codes_of_the_factors(
    submission: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    config = tmp_path / "transfer.gin"
    config.write_text(CONFIG + VAE)
    finish(submission("finetune", config, "x"))
    # The adaptation is done before the VAE is asked for, as after a kill between the two.
    finish(submission("train", config, "x", "--binding", "adapt.further_codes = False"))
    plain = (tmp_path / "shared/x/representation/pytorch_model.pt").read_bytes()
    finish(submission("train", config, "x"))
    finish(submission("train", config, "whole"))
    exported = tmp_path / "shared/x/representation/pytorch_model.pt"
    images = torch.rand(5, 3, 64, 64)
    codes = torch.jit.load(exported)(images)
    assert codes.shape == (5, 7 + 3) and codes.isfinite().all()

    stored = exported.read_bytes()
    assert (tmp_path / "shared/whole/representation/pytorch_model.pt").read_bytes() == stored
    exported.unlink()
    finish(submission("export", config, "x"))
    assert exported.read_bytes() == stored

    finish(submission("train", config, "x", "--binding", "adapt.further_codes = False"))
    assert exported.read_bytes() == plain
    torch.testing.assert_close(torch.jit.load(exported)(images), codes[:, :7])
    finish(submission("export", config, "x", "--untrained"))
    untrained = tmp_path / "shared/x/representation-untrained/pytorch_model.pt"
    assert torch.jit.load(untrained)(images).shape == (5, 10)


@pytest.mark.parametrize(("further", "codes"), [(False, 7), (True, 10)])
def test_a_linear_step_follows_the_codes(
    run_here: Callable[..., None], mini: ImageGrid, tmp_path: Path, further: bool, codes: int
) -> None:
    config = tmp_path / "transfer.gin"
    config.write_text(CONFIG + VAE + "adapt.epochs = 0\npostprocess.method = 'normalise'\n")
    option = ("--binding", f"adapt.further_codes = {further}")
    run_here("finetune", config, "x")
    run_here("train", config, "x", *option)
    exported = tmp_path / "shared/x/representation/pytorch_model.pt"
    images = torch.from_numpy(mini.observations_at(np.arange(96))).permute(0, 3, 1, 2)
    found = torch.jit.load(exported)(images).detach().numpy()
    assert found.shape == (96, codes)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-2)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-2)
    stored = exported.read_bytes()
    exported.unlink()
    run_here("export", config, "x", *option)
    assert exported.read_bytes() == stored


def test_two_processes_that_were_killed_before_the_vae_learn_as_one(
    run_here: Callable[..., None], submission: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    config = tmp_path / "transfer.gin"
    config.write_text(CONFIG + VAE)
    # An epoch of self-training makes more of the rounding of sums than statistics do.
    few = ("--binding", "adapt.epochs = 0", "--binding", "train_vae.epochs = 8")
    run_here("finetune", config, "one")
    run_here("train", config, "one", *few)

    two = ("train", config, "two", *few, "--features-dir", tmp_path / "of-two", "--devices", "2")
    killed = submission(*two)
    adapted = tmp_path / "shared/two/adapted.pt"
    deadline = time.monotonic() + 120
    while not adapted.exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.005)
    for number in (*descendants(killed.pid), killed.pid):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    killed.communicate()
    output = finish(submission(*two))
    assert f"Reusing {adapted}" in output and output.count("Exported") == 1

    one_table, other_table = (
        np.load(next((tmp_path / name).glob("*/features.npy"))) for name in ("features", "of-two")
    )
    np.testing.assert_allclose(other_table, one_table, atol=1e-3 * one_table.std())
    one_rows, other_rows = (
        torch.load(tmp_path / f"shared/{name}/further/checkpoint.pt", weights_only=True)["rows"]
        for name in ("one", "two")
    )
    assert len(one_rows) == 8
    for row, other in zip(one_rows, other_rows, strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)
    exported = torch.jit.load(tmp_path / "shared/two/representation/pytorch_model.pt")
    assert exported(torch.rand(2, 3, 64, 64)).shape == (2, 7 + 3)
