"""What the command makes of its flags."""

from evaluation.__main__ import _metrics
from evaluation.metrics import METRICS


def test_all_metrics_are_meant_by_all() -> None:
    assert _metrics(["all"], None) == tuple(METRICS)
