"""Codes that a training makes from shared features are those of the representation it exports."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluation import __main__ as grader
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from submission import config
from submission.study.plan import Plan, plan_of
from submission.study.reading import read_study
from submission.training import train
from tests.submission.conftest import CPU

BINDINGS = (
    "get_feature_extractor.model_name = 'SmallCNN'",
    "get_feature_extractor.stage = 1",
    "train_vae.epochs = 1",
    "postprocess.method = 'ica'",  # belongs to the representation, too
)


def test_scores_are_those_of_the_representation(
    small_config: Path,
    tmp_path: Path,
    data_root: Path,
    mini: ImageGrid,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path))
    monkeypatch.setenv("AICROWD_DATASET_NAME", "mpi3d_sim_toy_mini")
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    config.load(small_config, BINDINGS)
    train("run", CPU, features_dir=tmp_path / "features", codes_of=[mini.name])

    def graded(*subject: str | Path) -> dict[str, float]:
        folder = tmp_path / "graded" / str(subject[0])
        words = [*subject, "--dataset", mini.name, "--data-root", data_root, "--output", folder]
        words += ["--metrics", "mig,sap_score", "--no-page", "--device", "cpu", "--quiet"]
        assert grader.main(list(map(str, words))) == 0
        return json.loads((folder / "scores.json").read_text())["scores"]

    table = tmp_path / "run/codes" / f"{mini.name}.npy"
    of_table = graded("--codes", table)
    of_images = graded("--representation", tmp_path / "run/representation")
    with np.load(tmp_path / "graded/--representation/codes.npz") as kept:
        np.testing.assert_allclose(
            np.load(table)[kept["indices"]], kept["codes"], rtol=1e-4, atol=1e-4
        )
    assert of_table == pytest.approx(of_images, abs=1e-3)
    assert of_table["mig"] > 0


@pytest.fixture
def planned(tmp_path: Path, small_config: Path) -> Callable[[str], Plan]:
    def plan(bindings: str, head: str = "") -> Plan:
        file = tmp_path / "study.toml"
        file.write_text(
            f'config = "{small_config}"\n[bindings]\n{bindings}\n'
            f'[train]\ndatasets = ["mpi3d_sim_real_mini"]\nseeds = [1, 2]\n{head}\n'
            '[grade]\ncodes_from = "features"\ndatasets = ["mpi3d_sim_real_mini", "mpi3d_toy"]\n'
        )
        return plan_of(read_study(file), file, tmp_path / "out")

    return plan


PRETRAINED = '"get_feature_extractor.pretrained" = true\n'
IN_ORDER = PRETRAINED + '"main.sequential_dataset" = true\n'


def test_features_of_graded_images_are_a_step_of_their_own(planned: Callable) -> None:
    of_some = planned(IN_ORDER + '"main.dataset_size" = 300')
    assert [step.codes_of for step in of_some.steps] == ["", "mpi3d_sim_real_mini", "mpi3d_toy"]
    # Who trains on all images in their order has made those of this dataset.
    of_all = planned(IN_ORDER + '"main.dataset_size" = 0')
    assert [step.codes_of for step in of_all.steps] == ["", "mpi3d_toy"]
    assert {len(run.steps) for run in of_all.runs} == {2}
    # Images to train on are drawn by the seed, but all images are the same for each seed.
    drawn = planned(PRETRAINED + '"main.sequential_dataset" = false')
    assert [step.codes_of for step in drawn.steps].count("") == 2 and len(drawn.steps) == 4


def test_where_there_are_no_features(planned: Callable) -> None:
    with pytest.raises(KitError, match=r"codes_from is 'features', but there are none") as refusal:
        planned('"main.cache_features_on_disk" = false')
    assert refusal.value.code == "STUDY-FEATURES"
    with pytest.raises(KitError, match=r"bf16 gives other features") as refusal:
        planned("", head='precision = "bf16"')
    assert refusal.value.code == "STUDY-VALUE"
