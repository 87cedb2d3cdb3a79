"""Which runs share which steps, and what a key of a run depends on."""

from pathlib import Path

import pytest

from evaluation.common.environment import REPOSITORY
from submission.study.description import Study, Train
from submission.study.plan import Plan, plan_of
from submission.study.reading import read_study

STAGE2 = REPOSITORY / "submission/configs/stage2_quick.gin"


def planned(tmp_path: Path, text: str = "", config: Path = STAGE2, seeds: str = "1, 2, 3") -> Plan:
    file = tmp_path / "study.toml"
    file.write_text(
        f'config = "{config}"\n{text}\n[train]\n'
        f'datasets = ["mpi3d_sim_real_mini"]\nseeds = [{seeds}]\n'
    )
    return plan_of(read_study(file), file, tmp_path / "out")


BETAS = '[grid]\n"BetaSchedule.beta1" = [0.1, 0.4]'


def test_seeds_and_settings_of_the_vae_share_tuning_and_features(tmp_path: Path) -> None:
    plan = planned(tmp_path, BETAS)
    assert len(plan.runs) == 6
    assert [step.kind for step in plan.steps] == ["finetune", "extract"]
    assert {run.steps for run in plan.runs} == {tuple(step.key for step in plan.steps)}


def test_what_the_extractor_learns_is_not_shared(tmp_path: Path) -> None:
    plan = planned(tmp_path, '[grid]\n"train.lr" = [1e-3, 2e-3]')
    assert [step.kind for step in plan.steps] == ["finetune"] * 2 + ["extract"] * 2
    names = {binding for run in plan.runs for binding in run.bindings if "model_id" in binding}
    assert len(names) == 2  # weights of one do not replace those of the other


def test_features_of_a_random_extractor_depend_on_the_seed(
    tmp_path: Path, small_config: Path
) -> None:
    kinds = [step.kind for step in planned(tmp_path, BETAS, small_config).steps]
    assert kinds == ["extract"] * 3


def test_a_seed_more_leaves_the_other_runs_as_they_are(tmp_path: Path) -> None:
    before = {run.key for run in planned(tmp_path, BETAS).runs}
    after = {run.key for run in planned(tmp_path, BETAS, seeds="1, 2, 3, 4").runs}
    assert before < after and len(after) == len(before) + 2


def test_a_change_of_the_config_makes_other_runs(tmp_path: Path, small_config: Path) -> None:
    before = {run.key for run in planned(tmp_path, BETAS, small_config).runs}
    small_config.write_text(f"# Read again.\n{small_config.read_text()}")
    assert {run.key for run in planned(tmp_path, BETAS, small_config).runs} == before
    small_config.write_text(f"{small_config.read_text()}\ntrain_vae.lr = 0.5\n")
    assert not {run.key for run in planned(tmp_path, BETAS, small_config).runs} & before


def test_macros_vary_what_uses_them_alone(tmp_path: Path) -> None:
    used = '[bindings]\n"BetaSchedule.beta1" = "%beta"\n[grid]\n"beta" = [0.1, 0.4]'
    plan = planned(tmp_path, used)
    assert len(plan.runs) == 6
    assert [step.kind for step in plan.steps] == ["finetune", "extract"]  # no use of beta
    without = planned(tmp_path, BETAS)
    assert {run.key for run in plan.runs} == {run.key for run in without.runs}
    assert len(planned(tmp_path, used.replace("%beta", "%beta1") + '\n"beta1" = [1]').runs) == 3


def test_modules_of_included_files_are_imported_and_read(
    tmp_path: Path, small_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_of_study.py").write_text("")
    (tmp_path / "more.gin").write_text("import own_of_study\n")
    small_config.write_text(f"include 'more.gin'\n{small_config.read_text()}")
    plan = planned(tmp_path, "", small_config)
    assert "import own_of_study" in plan.config
    (tmp_path / "own_of_study.py").write_text("# It does something else.\n")
    edited = planned(tmp_path, "", small_config)
    assert not {run.key for run in plan.runs} & {run.key for run in edited.runs}


def test_threads_are_part_of_a_run(tmp_path: Path) -> None:
    keys = [
        plan_of(
            Study(str(STAGE2), Train(["mpi3d_sim_real_mini"], [1], threads)),
            tmp_path / "study.toml",
            tmp_path,
        )
        .runs[0]
        .key
        for threads in (1, 2)
    ]
    assert keys[0] != keys[1]


def test_other_weights_make_other_runs(
    tmp_path: Path, small_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    text = (
        '[bindings]\n"get_feature_extractor.custom_model_id" = "own"\n'
        '"main.sequential_dataset" = true'
    )
    keys = []
    for content in ("one", "other"):
        (tmp_path / "VGG11_own_32x32.pth").write_text(content)
        plan = planned(tmp_path, text, small_config)
        assert len(plan.steps) == 1  # the seeds share the features of these weights
        keys.append(plan.runs[0].key)
    assert keys[0] != keys[1]
