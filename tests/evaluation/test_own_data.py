"""The command on data of the user's own."""

import json
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from evaluation import metrics
from evaluation.__main__ import main
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import IndexGrid

_DRAWS = RandomState(0)
ROWS = 400
FACTORS = {"shape": _DRAWS.choice(["ball", "cube"], ROWS), "place": _DRAWS.random_sample(ROWS)}
CODES = np.stack([FACTORS["shape"] == "cube", FACTORS["place"]], axis=1).astype(np.float32)


def write_factors(folder: Path, **columns: Any) -> list[str]:
    path = folder / "factors.csv"
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))
    return ["--factors", str(path)]


def graded(folder: Path, codes: np.ndarray, *flags: str) -> dict[str, Any]:
    np.save(folder / "codes.npy", codes)
    given = ["--codes", str(folder / "codes.npy"), "--output", str(folder)]
    assert main([*given, *flags]) == 0
    return json.loads((folder / "scores.json").read_text())


def test_codes_and_factors_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = write_factors(tmp_path, **FACTORS)
    report = graded(tmp_path, CODES, *flags, "--metrics", "mig,sap_score,factor_vae_metric")
    ours = metrics.score(CODES, FACTORS, ["sap_score", "mig"])
    assert report["scores"] == ours.scores
    assert report["baselines"]["noise"] == ours.baselines["noise"]
    own = report["own_data"]
    assert (own["rows"], own["full_grid"], own["bins"]) == (ROWS, False, 20)
    assert own["factors"] == {"shape": "discrete", "place": "continuous"}
    assert list(own["left_out"]) == ["factor_vae_metric"]
    assert "There is no factor_vae_metric: it holds factors" in capsys.readouterr().out


def test_a_full_grid_in_another_order_has_the_grids_scores(tmp_path: Path) -> None:
    grid = IndexGrid((4, 3, 5))
    order = RandomState(1).permutation(len(grid))
    factors = grid.factors_of(order)
    codes = factors + RandomState(2).normal(size=factors.shape)
    flags = write_factors(tmp_path, **{name: factors[:, place] for place, name in enumerate("abc")})
    report = graded(tmp_path, codes, *flags, "--metrics", "mig,irs,factor_vae_metric", "--verify")
    in_order = codes[np.argsort(order)]
    for name, score in report["scores"].items():
        compute = metrics.METRICS[name].load()
        result = compute(grid, in_order.__getitem__, RandomState(0))
        assert result[metrics.METRICS[name].score_key] == score
        assert report["verification"][name]["within"]
    assert report["own_data"]["full_grid"]


def test_tokens_are_one_number_each(tmp_path: Path) -> None:
    codes = CODES[:, :, np.newaxis] * np.array([0.6, 0.8], dtype=np.float32)
    flags = write_factors(tmp_path, **FACTORS)
    report = graded(tmp_path, codes, *flags, "--metrics", "mig")
    assert report["representation"]["dim"] == report["tokens"]["number"] == 2
    assert report["tokens"]["shares"] == pytest.approx([1, 1])


def test_images_and_a_representation(tmp_path: Path) -> None:
    images = (CODES[:, np.newaxis, np.newaxis, :1] * 200 + np.zeros((1, 8, 8, 3))).astype(np.uint8)
    images[:, 4:] = (CODES[:, 1, np.newaxis, np.newaxis, np.newaxis] * 255).astype(np.uint8)
    factors = np.stack([CODES[:, 0], FACTORS["place"]], axis=1)
    np.savez(tmp_path / "mine.npz", images=images, factors=factors)
    pool = torch.nn.Sequential(torch.nn.AvgPool2d((4, 8)), torch.nn.Flatten())
    torch.jit.trace(pool, torch.zeros(1, 3, 8, 8)).save(tmp_path / "pool.pt")
    flags = ["--dataset", str(tmp_path / "mine.npz"), "--metrics", "mig", "--output", str(tmp_path)]
    assert main(["--representation", str(tmp_path / "pool.pt"), *flags]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["own_data"]["rows"] == ROWS
    assert report["representation"]["dim"] == 6


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--metrics", "beta_vae"], "METRIC-ROWS"),
        (["--verify"], "REFERENCE-ROWS"),
        (["--dataset", "mpi3d_toy"], "FACTORS-DATASET"),
        (["--factor-columns", "size"], "FACTORS-COLUMN"),
        (["--factor-kinds", "shape=continuous"], "FACTORS-VALUES"),
    ],
)
def test_what_is_refused(flags: list[str], code: str, tmp_path: Path) -> None:
    given = write_factors(tmp_path, **FACTORS)
    try:
        np.save(tmp_path / "codes.npy", CODES)
        paths = ["--codes", str(tmp_path / "codes.npy"), "--output", str(tmp_path)]
        assert main([*paths, *given, *flags]) == 2
        refused = False
    except KitError as error:
        assert error.code == code
        refused = True
    assert refused or code == "METRIC-ROWS"
    assert not (tmp_path / "scores.json").exists()


def test_rows_of_codes_and_factors_that_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "codes.npy", CODES[:-1])
    flags = [*write_factors(tmp_path, **FACTORS), "--output", str(tmp_path)]
    assert main(["--codes", str(tmp_path / "codes.npy"), *flags]) == 2
    assert "holds an array of shape (399, 2); factors.csv has 400" in capsys.readouterr().err


def page_of(folder: Path) -> str:
    text = unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert "</html>" in text
    return text


def test_the_page_of_rows_without_images(tmp_path: Path) -> None:
    flags = [*write_factors(tmp_path, **FACTORS), "--factor-kinds", "place=continuous"]
    graded(tmp_path, CODES, *flags, "--metrics", "mig,sap_score,factor_vae_metric")
    text = page_of(tmp_path)
    assert "400 rows, no full grid; discrete shape, continuous place" in text
    assert "factors.csv has factors and no images. So there are no images along a factor." in text
    assert "FactorVAE is left out: it holds factors at a value" in text
    assert "20 bins" in text and "data:image/jpeg" not in text
    assert f"--factors {tmp_path}/factors.csv --factor-kinds place=continuous" in text


@pytest.mark.parametrize("full", [False, True])
def test_the_page_of_images(full: bool, tmp_path: Path) -> None:
    factors = IndexGrid((4, 3, 5)).factors_of(RandomState(0).permutation(60)[: 60 if full else 50])
    images = np.tile((factors * 50).astype(np.uint8)[:, np.newaxis, np.newaxis], (1, 8, 8, 1))
    np.savez(tmp_path / "mine.npz", images=images, factors=factors)
    graded(tmp_path, factors * 1.0, "--dataset", str(tmp_path / "mine.npz"), "--metrics", "mig")
    text = page_of(tmp_path)
    walks = [f"Images from factor_{place} 0 to" in text for place in range(3)]
    assert walks == [full] * 3
    assert ("The rows are no full grid: none differ in one factor only." in text) != full
    assert text.count("Images from the least code") == 3
    assert f"--dataset {tmp_path}/mine.npz" in text
