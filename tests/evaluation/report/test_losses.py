"""What a page says cost most, on codes whose fault is known."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.report.findings.knowledge import CLEAR, MISSED, SHARED, headline
from evaluation.report.findings.losses import Loss, losses
from evaluation.report.material import Material
from tests.evaluation.report.graded import Codes, material_of

SHAPE = 1

FAULTS: dict[str, Codes] = {
    "none": lambda x: x,
    "shape is missing": lambda x: x[:, [0, 2, 3]],
    "shape and angle share two codes": lambda x: np.stack(
        [x[:, 0], x[:, 1] + x[:, 3], x[:, 1] - x[:, 3], x[:, 2]], axis=1
    ),
    "shape in two codes": lambda x: x[:, [0, 1, 1, 2, 3]],
    "scale": lambda x: 0.01 * x,
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Material]:
    folder = tmp_path_factory.mktemp("graded")
    return {fault: material_of(codes, folder) for fault, codes in FAULTS.items()}


def losses_of(material: Material) -> dict[str, Loss]:
    report, data = material.report, material.data
    found = losses(report.scores, report.details, data, material.deviations)
    return {loss.metric: loss for loss in found}


def test_parts_add_up_to_what_is_missing_from_the_score(graded: dict[str, Material]) -> None:
    for fault, material in graded.items():
        for name, loss in losses_of(material).items():
            score = material.report.scores[name]
            assert score is not None
            if fault == "none" and name == "dci":
                continue  # the few unlucky splits of its trees
            assert loss.lost == pytest.approx(1 - score, abs=0.01), (fault, name)


def test_perfect_codes_lose_nothing_to_votes(graded: dict[str, Material]) -> None:
    found = losses_of(graded["none"])
    assert found["factor_vae_metric"].sentence == "FactorVAE loses next to nothing."
    assert [row.verdict for row in graded["none"].known] == [CLEAR] * 4


def test_a_factor_that_no_code_has(graded: dict[str, Material]) -> None:
    material = graded["shape is missing"]
    found = losses_of(material)
    for name in ("factor_vae_metric", "dci", "mig", "sap_score"):
        assert found[name].factor == SHAPE, name
    assert "no code stands for it" in found["factor_vae_metric"].sentence
    assert "no code tells more than 4% of it" in found["mig"].sentence
    assert material.known[SHAPE].verdict == MISSED
    assert headline(material.known, material.data.factor_names, "images").startswith(
        "The representation misses shape: "
    )


def test_factors_that_share_codes(graded: dict[str, Material]) -> None:
    loss = losses_of(graded["shape and angle share two codes"])["dci"]
    assert loss.factor in (SHAPE, 3)
    assert loss.code in (1, 2)
    assert "shape" in loss.sentence and "angle" in loss.sentence


def test_a_factor_in_two_codes(graded: dict[str, Material]) -> None:
    material = graded["shape in two codes"]
    loss = losses_of(material)["mig"]
    assert loss.factor == SHAPE
    assert loss.code in (1, 2)
    assert "both tell it (100% and 100% of it)" in loss.sentence
    assert material.known[SHAPE].verdict == SHARED


def test_codes_of_a_scale_that_factor_vae_leaves_out(graded: dict[str, Material]) -> None:
    loss = losses_of(graded["scale"])["factor_vae_metric"]
    assert loss.lost == 1.0
    assert loss.sentence.startswith("FactorVAE counts no code")


def test_the_common_order_puts_disentangled_codes_on_a_diagonal(tmp_path: Path) -> None:
    turned = material_of(lambda x: x[:, ::-1], tmp_path)
    assert turned.order.tolist() == [3, 2, 1, 0]
