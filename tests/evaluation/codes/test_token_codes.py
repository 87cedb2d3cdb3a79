"""Representations that give tokens: graded as a table of the same tokens, and held to the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.__main__ import main
from evaluation.codes import encoding
from evaluation.codes.token_codes import TokenCodes, Unreduced
from evaluation.common.images import as_floats
from evaluation.data.ground_truth import IndexGrid
from evaluation.metrics.tables.tokens import fit_components
from evaluation.representation.running import RunningRepresentation
from tests.evaluation.representation.bad_submissions import dilled

SIZES = (5, 4, 3, 3)
FACTORS = IndexGrid(SIZES).factors_of(np.arange(180))
NOISE = np.random.RandomState(0).randint(0, 40, (180, 8, 8, 3))
IMAGES = FACTORS[:, np.newaxis, np.newaxis, :3] * 50 + NOISE * FACTORS[:, 3, None, None, None]
IMAGES = IMAGES.astype(np.uint8)
TOKENS = as_floats(IMAGES.transpose(0, 3, 1, 2)).reshape(180, 3, 64)
METRICS = "mig,dci,irs"


class Tokens(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(2)


def write_torchscript(folder: Path) -> None:
    torch.jit.script(Tokens()).save(str(folder / "pytorch_model.pt"))


def write_saved_model(folder: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="tensorflow is missing: pip install tensorflow")

    def represent(images: Any) -> dict[str, Any]:
        return {"default": tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, 3, 64))}

    module = tf.Module()
    signature = tf.TensorSpec((None, 8, 8, 3), tf.float32, name="images")
    signatures = {"representation": tf.function(represent, input_signature=[signature])}
    tf.saved_model.save(module, str(folder / "tfhub"), signatures)


KINDS = {
    "torchscript": write_torchscript,
    "dill": dilled("def represent(images):\n  return images.reshape(len(images), 3, -1)"),
    "savedmodel": write_saved_model,
}


def graded(subject: list[str], folder: Path, *flags: str) -> dict[str, Any]:
    np.savez(folder / "mine.npz", images=IMAGES, factors=FACTORS)
    given = ["--dataset", str(folder / "mine.npz"), "--metrics", METRICS, "--device", "cpu"]
    assert main([*subject, *given, "--output", str(folder), *flags]) == 0
    return json.loads((folder / "scores.json").read_text())


@pytest.fixture(scope="module")
def of_table(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("table")
    np.save(folder / "codes.npy", TOKENS)
    return graded(["--codes", str(folder / "codes.npy")], folder, "--no-page")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_scores_as_a_table_of_its_tokens(
    kind: str, of_table: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "representation").mkdir()
    KINDS[kind](tmp_path / "representation")
    report = graded(["--representation", str(tmp_path)], tmp_path)
    assert report["representation"]["kind"] == kind
    assert report["representation"]["dim"] == 3
    assert report["tokens"] == of_table["tokens"]
    assert report["tokens"] | {"shares": []} == {
        "number": 3,
        "width": 64,
        "rows": 180,
        "shares": [],
    }
    assert report["scores"] == of_table["scores"]
    assert report["recheck"]["rows"] > 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 of 64 numbers, each made one by its first principal component" in page
    with np.load(tmp_path / "codes.npz") as stored:
        assert stored["codes"].shape == (180, 3)
        assert stored["tokens_rows"].shape == (0,)  # all rows were checked


def test_a_run_that_is_cut_short_goes_on_with_what_it_kept(
    of_table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "representation").mkdir()
    KINDS["dill"](tmp_path / "representation")
    encode, asked = RunningRepresentation.encode, []

    def encode_few(self: RunningRepresentation, images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        if sum(asked) > 240:
            raise KeyboardInterrupt
        return encode(self, images)

    monkeypatch.setattr(encoding, "_SECONDS_BETWEEN_KEEPING", 0.0)
    monkeypatch.setattr(encoding, "rows_to_fit", lambda *_: np.arange(0, 180, 2))
    monkeypatch.setattr(RunningRepresentation, "encode", encode_few)
    with pytest.raises(KeyboardInterrupt):
        graded(["--representation", str(tmp_path)], tmp_path, "--no-page")
    with np.load(tmp_path / "codes.npz") as stored:
        kept = len(stored["indices"])
        assert 90 < kept < 180
        np.testing.assert_array_equal(
            stored["tokens_codes"], TOKENS.reshape(180, -1)[stored["tokens_rows"]]
        )
    asked.clear()
    monkeypatch.setattr(RunningRepresentation, "encode", encode)
    report = graded(["--representation", str(tmp_path)], tmp_path, "--no-page")
    assert report["recheck"]["rows"] == encoding.rows_to_recheck(180)
    assert report["scores"] != of_table["scores"]  # it goes on with what it was fitted on first


def test_rows_whose_unreduced_codes_are_gone_are_encoded_anew() -> None:
    flat = TOKENS.reshape(180, -1)
    tokens = TokenCodes(fit_components(TOKENS), Unreduced(np.array([3]), flat[[3]]))
    tokens.want(np.array([3, 5, 7]))
    reduced = tokens.reduce(np.array([4, 5]), flat[[4, 5]])
    np.testing.assert_array_equal(reduced, tokens.components.reduce(TOKENS)[[4, 5]])
    assert tokens.lacks(np.array([3, 4, 5, 7])).tolist() == [False, True, False, True]
    np.testing.assert_array_equal(tokens.unreduced([5, 3]), flat[[5, 3]])
    tokens.want(np.array([5]))
    assert tokens.kept.rows.tolist() == [5]
