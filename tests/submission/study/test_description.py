"""The file of a study: its settings, and what is refused of it, each with one coded line."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from evaluation.common.errors import KitError
from submission.study.course import open_course
from submission.study.description import Drawn, Random
from submission.study.plan import plan_of
from submission.study.reading import read_study
from submission.study.results.analysis import levels
from submission.study.settings import draws, gin_text, label, labels, settings_of

GRID = """\
[grid]
"BetaSchedule.beta1" = [0.1, 1.0]
"train_vae.latent_dims" = [4, 5]
"""

STUDY = f"""
config = "small.gin"
[bindings]
"train_vae.epochs" = 2
{GRID}[[list]]
"Encoder.features_per_layer" = [96]
"Decoder.features_per_layer" = [16]
[[list]]
"Encoder.features_per_layer" = [32]
"Decoder.features_per_layer" = [8]
[random]
count = 3
seed = 7
[random.bindings]
"train_vae.lr" = {{ log_uniform = [1e-4, 1e-2] }}
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = [1, 2]
"""


@pytest.fixture
def study_file(tmp_path: Path, small_config: Path) -> Path:
    path = tmp_path / "study.toml"
    assert small_config.parent == tmp_path
    path.write_text(STUDY)
    return path


def test_settings_are_all_combinations(study_file: Path) -> None:
    study = read_study(study_file)
    settings = settings_of(study)
    assert len(settings) == 2 * 2 * 2 * 3
    assert len({setting["train_vae.lr"] for setting in settings}) == 3
    assert {tuple(setting["Encoder.features_per_layer"]) for setting in settings} == {(96,), (32,)}
    assert label(settings[0]).startswith("beta1 0.1, latent_dims 4, Encoder.features_per_layer")
    assert settings_of(study) == settings
    runs = plan_of(study, study_file, study_file.parent / "out").runs
    assert len({run.key for run in runs}) == len(runs) == 2 * len(settings)


def test_a_setting_is_one_however_it_is_written(study_file: Path) -> None:
    parts = [{"a.x": 1, "a.y": "b"}, {"a.y": "b", "a.x": 1}, {"a.x": 1.0, "a.y": "b"}]
    assert settings_of(replace(read_study(study_file), grid={}, sets=parts, random=None)) == [
        parts[1],
        parts[2],
    ]


def test_draws_keep_to_their_bounds_and_a_larger_count_only_adds() -> None:
    bindings = {
        "a.x": Drawn(uniform=(-1, 2)),
        "a.y": Drawn(log_uniform=(1e-4, 1e-2)),
        "a.z": Drawn(integer=(3, 5)),
        "a.w": Drawn(choice=["p", "q"]),
    }
    few, many = (draws(Random(count, bindings, seed=1)) for count in (10, 200))
    assert many[:10] == few
    assert all(-1 <= one["a.x"] <= 2 and 1e-4 <= one["a.y"] <= 1e-2 for one in many)
    assert {one["a.z"] for one in many} == {3, 4, 5}
    assert {one["a.w"] for one in many} == {"p", "q"}
    below = sum(one["a.y"] < 1e-3 for one in many)  # half of a logarithmic range
    assert 70 < below < 130
    assert draws(Random(10, bindings, seed=2)) != few


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (True, "True"),
        ("adam", "'adam'"),
        ("@IdentityTransform", "@IdentityTransform"),
        ([1, "a"], "[1, 'a']"),
        ({"TC": 2}, "{'TC': 2}"),
    ],
)
def test_values_as_gin_writes_them(value: object, text: str) -> None:
    assert gin_text("a.b", value) == text


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('config = "small.gin"', "config", r"STUDY-FILE\]: .*study.toml cannot be read as TOML"),
        (
            'config = "small.gin"',
            "config = " + "[" * 3000 + "]" * 3000,
            r"STUDY-FILE\]: .*study.toml cannot be read as TOML: maximum recursion",
        ),
        ('config = "small.gin"', 'config = "none.gin"', r"CONFIG-FILE\]: .*none.gin"),
        ('config = "small.gin"', "config = 3", r"STUDY-VALUE\]: .*Expected `str`.*config"),
        ("[train]", 'colour = "red"\n[train]', r"STUDY-KEY\]|STUDY-VALUE\]"),
        ("seeds = [1, 2]", "seeds = [1, 2]\nthreds = 1", r"STUDY-KEY\]: .*threds.*train"),
        ("seeds = [1, 2]", "seeds = []", r"STUDY-EMPTY\]: .*train.seeds is empty"),
        ("seeds = [1, 2]", "seeds = [-1]", r"STUDY-VALUE\]: .*>= 0.*train.seeds"),
        ("seeds = [1, 2]", "seeds = [1]\nthreads = 0", r"STUDY-VALUE\]: .*>= 1.*threads"),
        ("[0.1, 1.0]", "[]", r"STUDY-EMPTY\]: .*beta1.* is empty"),
        (GRID, "[grid]\n", r"STUDY-EMPTY\]: .*: grid is empty"),
        ("[4, 5]", "[1979-05-27]", r"STUDY-VALUE\]: .*latent_dims' is 1979-05-27"),
        ("beta1", "beta9", r"CONFIG-NAME\]: .*study.toml.*BetaSchedule.beta9.*nearest"),
        ("[4, 5]", "[4, 0]", r"CONFIG-RANGE\]: .*study.toml.*latent_dims' is 0"),
        ("[0.1, 1.0]", '[0.1, "much"]', r"CONFIG-VALUE\]: .*beta1' is 'much', not a number"),
        ("[0.1, 1.0]", "[0.1, nan]", r"STUDY-VALUE\]: .*beta1' is nan"),
        ('"train_vae.epochs"', '"BetaSchedule.beta1"', r"STUDY-TWICE\]: .*beta1"),
        ('"train_vae.epochs"', '"main.seed"', r"STUDY-SEED\]: .*main.seed is bound"),
        ("[1e-4, 1e-2]", "[1e-2, 1e-4]", r"STUDY-VALUE\]: .*lower one"),
        ("[1e-4, 1e-2]", "[0, 1]", r"STUDY-VALUE\]: .*above 0"),
        ("log_uniform = [1e-4, 1e-2]", "choice = []", r"STUDY-VALUE\]: .*empty list"),
        ("log_uniform = [1e-4, 1e-2]", "", r"STUDY-VALUE\]: .*has 0 of uniform"),
        ("log_uniform = [1e-4, 1e-2]", f"integer = [1, {2**63}]", r"STUDY-VALUE\]: .*whole num"),
        ("log_uniform = [1e-4, 1e-2]", "uniform = [-1e308, 1e308]", r"STUDY-VALUE\]: .*far apart"),
        ('"train_vae.epochs" = 2', '"#x" = 2', r"STUDY-NAME\]: .*'#x' is no name"),
        ('"train_vae.epochs" = 2', '"import os\\ntrain_vae.epochs" = 2', r"STUDY-NAME\]"),
        ("[4, 5]", '["@Encoder\\nimport os"]', r"STUDY-VALUE\]: .*gin reference"),
        ("count = 3", "count = 1000000000", r"STUDY-LARGE\]: .* 16,000,000,000 runs.*100,000"),
        ("[train]", "[grade]\nseed = 4294967295\nseeds = 2\n[train]", r"STUDY-VALUE\]: .*largest"),
        ('"train_vae.epochs" = 2', '"submission.settings.main.seed" = 2', r"STUDY-TWICE\]: .*seed"),
        ('"train_vae.epochs"', '"schedules.BetaSchedule.beta1"', r"STUDY-TWICE\]: .*are one bind"),
        ('config = "small.gin"', f'config = "{"x" * 60_000}"', r"CONFIG-FILE\]"),
        ("[4, 5]", f"['{'x' * 60_000}']", r"STUDY-VALUE\]: .* 60,002 letters"),
        ("[4, 5]", f"[{2**63}]", r"STUDY-VALUE\]: .*64 bits"),
        ("count = 3", "count = 0", r"STUDY-VALUE\]: .*>= 1.*count"),
        ("mpi3d_sim_real_mini", "mpi3d_sim", r"DATA-NAME\]: .*'mpi3d_sim'"),
        ("[train]", '[grade]\nmetrics = ["mog"]\n[train]', r"METRIC-NAME\]: .*'mog'"),
    ],
)
def test_what_is_refused(study_file: Path, before: str, after: str, line: str) -> None:
    assert before in STUDY
    study_file.write_text(STUDY.replace(before, after))
    with pytest.raises(KitError) as refusal:
        open_course(study_file, study_file.parent / "out", "cpu", study_file.parent / "features")
    text = str(refusal.value)
    assert text.startswith("error[") and "\n" not in text
    assert re.search(line, text), text


def test_settings_that_look_alike_keep_their_own_labels() -> None:
    close = [{"train_vae.lr": 0.00100001}, {"train_vae.lr": 0.00100002}, {"train_vae.lr": 0.5}]
    assert labels(close) == ["lr 0.00100001", "lr 0.00100002", "lr 0.5"]
    assert levels([setting["train_vae.lr"] for setting in close][:2]) == [
        "0.00100001",
        "0.00100002",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KitError) as refusal:
        read_study(tmp_path / "none.toml")
    assert refusal.value.code == "STUDY-FILE"
