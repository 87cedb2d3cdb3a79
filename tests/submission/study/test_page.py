"""The table and the page of a study, from records as runs leave them."""

import re
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.errors import KitError
from evaluation.report.runs.studies import boards_of_study
from submission.study.description import Grade, Study, Train
from submission.study.plan import Plan, Run
from submission.study.records import Graded, Record
from submission.study.results.page import write_page
from submission.study.results.table import CSV, PARQUET, rows_of, write_csv, write_parquet
from submission.study.running import Doing

BETAS, SEEDS = (0.1, 0.4, 1.6), range(4)
REAL, TOY = "mpi3d_sim_real_mini", "mpi3d_sim_toy_mini"
EVIL = "<script>alert(1)</script>"


def record(run: Run, generator: np.random.Generator) -> Record:
    scores = {"mig": run.setting["b.beta"] / 4 + 0.01 * generator.random(), "irs": 0.5}
    graded = Graded(scores=scores, intervals={"mig": (0.1, 0.2)}, seconds=3.0, data="d")
    other = Graded(scores={"mig": generator.random()}, intervals={}, seconds=3.0, data="d")
    return Record(
        made_from={"run": run.key, "grader": "g"},
        state="done",
        setting=run.setting,
        seed=run.seed,
        dataset=run.dataset,
        unlabelled={"reconstruction": 1 - scores["mig"], "kld": 2.0},
        graded={REAL: graded, TOY: other},
    )


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    runs = [
        Run(f"{beta}-{seed}", tmp_path / "runs" / f"{beta}-{seed}", setting, seed, REAL, (), ())
        for beta in BETAS
        for seed in SEEDS
        if (setting := {"b.beta": beta, "b.name": EVIL})
    ]
    study = Study(
        "a.gin", Train([REAL], list(SEEDS)), bindings={"c.width": 7}, grade=Grade([REAL, TOY])
    )
    return Plan(study, "", tmp_path, runs, [])


def test_a_row_a_run(plan: Plan, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    generator = np.random.default_rng(0)
    records = {run.key: record(run, generator) for run in plan.runs[1:]}
    rows = rows_of(plan, records, {}, {plan.runs[2].key: 0.7})
    write_csv(tmp_path, rows)
    assert write_parquet(tmp_path, rows)
    read = parquet.read_table(tmp_path / PARQUET).to_pylist()
    assert [row["state"] for row in read] == ["waiting"] + ["done"] * 11
    assert read[0][f"{REAL}/mig"] is None and read[1][f"{REAL}/mig_high"] == 0.2
    assert [row["udr"] for row in read[1:4]] == [None, 0.7, None]
    assert read[-1]["b.beta"] == 1.6 and read[-1]["c.width"] == 7
    assert len((tmp_path / CSV).read_text().splitlines()) == 13


def test_the_leaderboard_reads_the_table(plan: Plan, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    records = {run.key: record(run, generator) for run in plan.runs[1:]}
    write_csv(tmp_path, rows_of(plan, records, {}, {}))
    real, toy = boards_of_study(tmp_path / CSV)
    assert (real.title, toy.title) == (REAL, TOY)
    assert len(real.placed) == len(toy.placed) == 11  # not the one that waits
    best = max(records.values(), key=lambda one: one.graded[REAL].scores["mig"] or 0)
    assert real.placed[0].entry.name == f"beta 1.6, seed {best.seed}"
    assert real.placed[0].entry.scores["irs"] == 0.5 and toy.placed[0].ranks["mig"] == 1

    whole = (tmp_path / CSV).read_text()
    for broken, said in {
        whole[: len(whole) // 2]: "line . has other cells",
        whole.replace(",0.5,", ",much,"): f"{REAL}/irs of run .* is 'much'",
        whole.replace("done", "waiting"): "no run in .* is done",
        "run\n1\n": "line 2 has other cells",
        "": "no run in .* is done",
    }.items():
        (tmp_path / CSV).write_text(broken)
        with pytest.raises(KitError, match=said):
            boards_of_study(tmp_path / CSV)


def test_the_page_says_what_was_found(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    generator = np.random.default_rng(0)
    records = {run.key: record(run, generator) for run in plan.runs}
    refused = plan.runs[0].key
    records[refused] = Record(
        made_from={}, state="refused", problem="error[X-Y]: no.", setting={}, seed=0, dataset=REAL
    )
    rows = rows_of(plan, records, {}, {run.key: run.setting["b.beta"] for run in plan.runs})
    doing = Doing(
        *[tmp_path / "a.gin", plan.study.train, plan.study.grade, "cpu"], *[tmp_path] * 3, {}
    )
    text = write_page(plan, doing, rows, "named").read_text()
    assert EVIL not in text and "alert(1)" in text
    assert "11 of 12 runs are done: 3 settings, 4 seeds" in text
    best = max(
        (key for key in records if key != refused),
        key=lambda key: records[key].graded[REAL].scores["mig"] or 0,
    )
    assert f"submission train {tmp_path}/a.gin {best}" in re.sub(r"\s+", " ", text)
    assert f"export AICROWD_OUTPUT_PATH={tmp_path}/again" in text  # the study's has the run
    assert f"--output {tmp_path}/again/{best}/graded/{REAL}" in text
    assert f"export TORCH_HOME={tmp_path}\n" in text
    shares = re.findall(r"(\d+)% <span class=\"faint small\">noise", text)
    assert int(shares[0]) > 95  # of MIG on the first dataset, by beta
    assert "says the same of all" in text  # the divergence does
    assert "MIG, between datasets" in text and "error[X-Y]: no." in text
    assert text.count("data:image/svg+xml") == 3
