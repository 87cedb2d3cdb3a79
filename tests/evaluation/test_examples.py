"""The examples of docstrings: what they print is what they say."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "common.arrays",
        "data.factor_columns",
        "data.factor_table",
        "data.ground_truth",
        "metrics",
        "metrics.beta_vae",
        "metrics.dci",
        "metrics.factor_vae",
        "metrics.infomec",
        "metrics.irs",
        "metrics.mig",
        "metrics.modularity_explicitness",
        "metrics.mutual_information",
        "metrics.boosting.regression",
        "metrics.sap_score",
        "metrics.tables.running",
        "metrics.tables.scoring",
        "metrics.tables.tokens",
        "report.findings.code_order",
        "report.runs.leaderboard",
        "report.findings.walks",
    ],
)
def test_examples(module: str) -> None:
    failed, tried = doctest.testmod(import_module(f"evaluation.{module}"))
    assert tried > 0
    assert failed == 0
