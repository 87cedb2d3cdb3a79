"""The adaptation: without the target's labels, through a kill, and what is refused."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from submission import config
from submission.finetuning.classifier import FactorClassifier
from submission.transfer import run
from submission.transfer.codes import FactorCodes, standard_values
from submission.transfer.statistics import measure_statistics
from submission.transfer.telling_apart import images_told_apart

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = """
main.dataset_name = ['mpi3d_sim_toy_mini', 'mpi3d_sim_realistic_mini']
main.dataset_size = 96
main.sequential_dataset = True
main.batch_size = 40
get_feature_extractor.model_name = 'AggSmallCNN'
get_feature_extractor.pretrained = False
get_feature_extractor.interpolation_size = (32, 32)
AggregatedFeatureExtractor.features = [12]
AggregatedFeatureExtractor.kernel_sizes = [2]
AggregatedFeatureExtractor.strides = [1]
AggregatedFeatureExtractor.paddings = [0]
train.epochs = 1
train.augmentation = 1.0
train.schedule = 'one_cycle'
adapt.epochs = 6
"""
WEIGHTS = "AggSmallCNN_32x32.pth"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "transfer.gin"
    path.write_text(CONFIG)
    return path


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


def test_a_killed_adaptation_exports_the_same_bytes(
    submission: Callable[..., subprocess.Popen], path: Path, tmp_path: Path
) -> None:
    finish(submission("finetune", path, "plain"))
    output = finish(submission("train", path, "plain"))
    assert "Uses the labels of mpi3d_sim_toy_mini, mpi3d_sim_realistic_mini, and none of" in output
    exported = tmp_path / "shared/plain/representation/pytorch_model.pt"
    codes = torch.jit.load(exported)(torch.rand(3, 3, 64, 64))
    assert codes.shape == (3, 7) and codes.isfinite().all()

    killed = submission("train", path, "killed")
    checkpoint = tmp_path / "shared/killed/adapted.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    finish(submission("train", path, "killed"))
    again = tmp_path / "shared/killed/representation/pytorch_model.pt"
    assert again.read_bytes() == exported.read_bytes()
    assert "Reusing" in finish(submission("train", path, "killed"))


def test_two_processes_adapt_as_one(
    submission: Callable[..., subprocess.Popen], path: Path, tmp_path: Path
) -> None:
    finish(submission("finetune", path, "tuned"))
    curves = []
    for devices in ("1", "2"):
        few = ("--binding", "adapt.epochs = 1", "--devices", devices)
        finish(submission("train", path, f"on-{devices}", *few))
        checkpoint = tmp_path / f"shared/on-{devices}/adapted.pt"
        curves.append(torch.load(checkpoint, weights_only=True)["rows"])
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, rel=1e-3)


@pytest.fixture
def settings(
    data_root: Path, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    def load(target: str, *bindings: str) -> None:
        monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "shared"))
        monkeypatch.setenv("AICROWD_DATASET_NAME", target)
        monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        config.load(path, bindings)

    return load


def test_weights_without_heads_are_refused(settings: Callable[..., None], tmp_path: Path) -> None:
    from submission.finetuning.run import finetune

    settings("mpi3d_sim_real_mini")
    finetune("x", Placement("cpu"))
    weights = tmp_path / "torch" / WEIGHTS
    kept = torch.load(weights, weights_only=True)
    weights.with_suffix(".json").unlink()
    torch.save({name: kept[name] for name in kept if not name.startswith("heads")}, weights)
    with pytest.raises(KitError, match="TRANSFER-HEADS"):
        run.train("x", Placement("cpu"), features_dir=tmp_path)


def test_a_code_is_the_expected_value_of_its_factor() -> None:
    assert standard_values(3).tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert standard_values(1).tolist() == [0.0]

    class Passed(nn.Module):
        feature_dims = 5

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    classifier = FactorClassifier(Passed(), [3, 2])  # type: ignore[arg-type]
    with torch.no_grad():
        for head, rows in zip(classifier.heads, torch.eye(5).split([3, 2]), strict=True):
            head.weight.copy_(rows)
            head.bias.zero_()
    logits = torch.tensor([[0.0, 0.0, 1.0, 2.0, 0.0], [0.0, 9.0, 0.0, 0.0, 0.0]])
    found = FactorCodes(classifier)(logits).detach()
    for row, codes in zip(logits.double().numpy(), found, strict=True):
        for part, size, code in zip((row[:3], row[3:]), (3, 2), codes, strict=True):
            likely = np.exp(part) / np.exp(part).sum()
            values = (np.arange(size) - (size - 1) / 2) / np.arange(size).std()
            assert float(code) == pytest.approx(likely @ values, abs=1e-6)


def test_batch_norms_get_the_mean_and_variance_of_the_new_images() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    images = torch.rand(40, 3, 4, 4) * 3 + 1
    measure_statistics(network, images.split(20))
    norm = network[0]
    assert not norm.training and norm.momentum == 0.1
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    halves = torch.stack([half.var((0, 2, 3)) for half in images.split(20)]).mean(0)
    torch.testing.assert_close(norm.running_var, halves)


def test_self_training_that_does_harm_is_dropped(
    submission: Callable[..., subprocess.Popen], path: Path, tmp_path: Path
) -> None:
    """Steps so large that the network sees the same values in all images."""
    finish(submission("finetune", path, "harmed"))
    flags = ["--binding", "adapt.lr = 100.0", "--binding", "adapt.epochs = 1"]
    assert "Self-training is dropped" in finish(submission("train", path, "harmed", *flags))
    finish(submission("train", path, "untaught", "--binding", "adapt.epochs = 0"))
    images = torch.rand(8, 3, 64, 64)
    one, other = (
        torch.jit.load(tmp_path / f"shared/{name}/representation/pytorch_model.pt")(images)
        for name in ("harmed", "untaught")
    )
    # The order of the images, by which statistics are averaged, is that of another epoch.
    torch.testing.assert_close(one, other, rtol=0, atol=0.2)


def test_images_with_the_same_values_are_not_told_apart() -> None:
    class Heads(nn.Module):
        factor_sizes = (3, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    logits = torch.tensor([[9, 0, 0, 1, 0], [0, 9, 0, 1, 0], [5, 4, 3, 2, 1], [9, 0, 0, 0, 1.0]])
    network = Heads()
    assert images_told_apart(network, logits.split(3)) == 3  # type: ignore[arg-type]
