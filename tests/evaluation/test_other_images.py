"""Images of other shapes and types than the challenge's, from the file to the scores."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.__main__ import main
from evaluation.common.errors import KitError
from evaluation.common.images import ImageFormat, as_floats
from evaluation.data import open_dataset
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics import METRICS
from evaluation.representation.finding import Found, find
from evaluation.representation.running import RunningRepresentation
from tests.evaluation.representation.bad_submissions import dilled
from tests.small_sets import cut_all, write_dsprites, write_isaac3d, write_smallnorb

FORMATS = [
    ImageFormat((32, 48, 1), "uint8"),
    ImageFormat((128, 128, 3), "uint8"),
    ImageFormat((128, 128, 3), "float32"),
    ImageFormat((64, 64, 1), "float32"),
]


def images_of(format_: ImageFormat) -> NDArray:
    images = np.random.RandomState(0).randint(256, size=(20, *format_.shape)).astype(np.uint8)
    return images if format_.dtype == "uint8" else as_floats(images) * 1.25 - 0.1


@pytest.mark.parametrize("format_", FORMATS)
def test_torchscript_gets_images_as_they_are(format_: ImageFormat, tmp_path: Path) -> None:
    channels = format_.shape[-1]
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 8, 8), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    ).eval()
    path = tmp_path / "pytorch_model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, torch.rand(2, *format_.channels_first)).save(str(path))
    images = images_of(format_)
    with torch.no_grad():
        batch = torch.from_numpy(as_floats(images)).permute(0, 3, 1, 2).contiguous()
        expected = module(batch).numpy()
    found = Found(path, "torchscript")
    with RunningRepresentation(found, images=format_) as representation:
        for form in representation.forms:
            representation.form = form
            np.testing.assert_allclose(representation.encode(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("format_", FORMATS)
def test_dill_gets_images_as_they_are(format_: ImageFormat, tmp_path: Path) -> None:
    dilled("def represent(images):\n  return images[:, 0, :3, 5]")(tmp_path)
    images = images_of(format_)
    with RunningRepresentation(find(tmp_path)[0], images=format_) as representation:
        codes = representation.encode(images)
    np.testing.assert_array_equal(codes, as_floats(images)[:, :3, 5, 0])


def test_a_representation_for_other_images_is_told_the_shape(tmp_path: Path) -> None:
    dilled("def represent(images):\n  return images.reshape(-1, 64 * 64 * 3)")(tmp_path)
    format_ = ImageFormat((32, 48, 1), "uint8")
    with (
        RunningRepresentation(find(tmp_path)[0], images=format_) as representation,
        pytest.raises(KitError, match=r"\(n, 1, 32, 48\).*\(n, 32, 48, 1\)") as refused,
    ):
        representation.encode(images_of(format_))
    assert refused.value.code == "REPRESENTATION-RAISES"


SETS: dict[str, Callable[[Path], object]] = {
    "smallnorb": write_smallnorb,
    "noisy_dsprites": write_dsprites,
    "dsprites_noshape": write_dsprites,
    "isaac3d": write_isaac3d,
}


@pytest.mark.parametrize("name", SETS)
def test_sets_of_other_images_are_graded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_all(monkeypatch)
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))
    SETS[name](tmp_path / "data")
    folder = tmp_path / "handed" / "representation"
    folder.mkdir(parents=True)
    dilled("def represent(images):\n  return images[:, 0, 20:23, 30]")(folder)
    output = tmp_path / "graded"
    arguments = ["--representation", folder.parent, "--dataset", name, "--output", output]
    more = ["--data-root", tmp_path / "data", "--metrics", "mig,irs", "--device", "cpu"]
    assert main([str(argument) for argument in (*arguments, *more)]) == 0

    report = json.loads((output / "scores.json").read_text())
    data = open_dataset(name, tmp_path / "data")
    assert report["factor_sizes"] == data.factors_num_values
    codes = data.observations_at(np.arange(len(data)))[:, 20:23, 30, 0]
    stream = np.random.RandomState(0)
    factors = data.sample_factors(4, stream)
    numbers = data.sample_numbers(factors, stream)
    np.testing.assert_array_equal(data.factors_of(numbers), factors)
    for metric in ("mig", "irs"):
        grid = IndexGrid.of(data)
        again = METRICS[metric].load()(grid, lambda rows: codes[rows], np.random.RandomState(0))
        assert report["scores"][metric] == again[METRICS[metric].score_key]
