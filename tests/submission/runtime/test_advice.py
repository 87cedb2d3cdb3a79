"""What is said about bf16 on a CPU that has it."""

import pytest
import torch

from evaluation.common.devices import Placement
from submission.runtime import advice

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("bf16", "placement", "said"),
    [
        (0.25, Placement(), "a convolution 4.0 times as fast in bf16"),
        (0.95, Placement(), ""),
        (0.25, Placement(precision="bf16"), ""),
        (0.25, Placement("cuda"), ""),
    ],
)
def test_a_line_only_where_bf16_is_faster_and_not_chosen(
    bf16: float,
    placement: Placement,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: bf16}
    monkeypatch.setattr(advice, "has_bf16", lambda _: True)
    monkeypatch.setattr(advice, "layer_seconds", seconds.__getitem__)
    advice.advise(placement)
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed
    assert bool(said) == bool(printed)


def test_a_processor_without_bf16_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "has_bf16", lambda _: False)
    monkeypatch.setattr(advice, "layer_seconds", lambda _: pytest.fail("measured"))
    advice.advise(Placement())


def test_the_measurement_runs_in_both_precisions() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert 0 < advice.layer_seconds(dtype, 0.0) < 60
