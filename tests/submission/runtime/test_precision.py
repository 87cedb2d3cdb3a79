"""Layers in bf16 on this processor, and on one that gets some of them wrong."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.devices import Placement
from evaluation.common.rounding import allowed
from submission.runtime import precision
from submission.runtime.layers import kinds_of, results
from submission.runtime.precision import fault_in_bf16, settled

BF16 = Placement("cpu", "bf16")
INPUT = [(4, 3, 64, 64)]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 4),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    fault_in_bf16.cache_clear()
    yield
    fault_in_bf16.cache_clear()


@pytest.fixture
def _with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every processor can compute in bf16, if slowly."""
    monkeypatch.setattr(precision, "has_bf16", lambda device: device == "cpu")


@pytest.fixture
def _wrong_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that gets one kind of convolution wrong in bf16, as some with AMX do."""
    right = functional.conv2d

    def conv2d(maps: Tensor, weight: Tensor, *rest: object) -> Tensor:
        output = right(maps, weight, *rest)
        is_wrong = maps.dtype == torch.bfloat16 and maps.shape[1:] == (16, 16, 16)
        return output.roll(1, 3) if is_wrong else output

    monkeypatch.setattr(functional, "conv2d", conv2d)


@pytest.mark.usefixtures("_with_bf16")
@pytest.mark.parametrize("learning", [True, False])
def test_bf16_stays_where_it_is_right(learning: bool, capsys: pytest.CaptureFixture) -> None:
    for _, kind in kinds_of(network(), *INPUT):
        off = fault_in_bf16(kind, "cpu", learning)
        if off > allowed("bf16"):
            pytest.skip(f"this processor really gets bf16 wrong, for {kind}")
        assert off > allowed("float32"), "bf16 must be seen to be bf16"
    assert settled("It", network(), INPUT, BF16, learning=learning) == BF16
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_with_bf16", "_wrong_convolution")
@pytest.mark.parametrize("learning", [True, False])
def test_a_layer_that_is_wrong_makes_it_float32(
    learning: bool, capsys: pytest.CaptureFixture
) -> None:
    assert settled("Extraction", network(), INPUT, BF16, learning=learning) == Placement("cpu")
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith("Extraction computes in float32: this processor gets bf16 wrong for ")
    assert "convolutions of 16 to 32 channels, kernel 4x4, stride 4x4, on 16x16 maps" in said


@pytest.mark.usefixtures("_with_bf16")
def test_wrong_gradients_matter_only_where_something_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, output: Tensor) -> Tensor:  # noqa: ARG004
            return output.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
            return 2 * gradient

    right = functional.linear

    def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        output = right(rows, weight, bias)
        return Wrong.apply(output) if rows.dtype == torch.bfloat16 else output

    monkeypatch.setattr(functional, "linear", linear)
    head = nn.Linear(512, 10)
    assert settled("It", head, [(8, 512)], BF16, learning=False) == BF16
    assert settled("It", head, [(8, 512)], BF16, learning=True) == Placement("cpu")


def test_a_processor_without_bf16_takes_float32(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    assert settled("It", network(), INPUT, BF16, learning=True) == Placement("cpu")
    assert capsys.readouterr().out == (
        "It computes in float32: this processor has no instructions for bf16\n"
    )
    assert settled("It", network(), INPUT, Placement("cpu"), learning=True) == Placement("cpu")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_with_bf16")
def test_no_kind_of_layer_is_tried_twice_and_chance_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    made = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)))
    torch.manual_seed(3)
    for _ in range(2):
        settled("It", made, [(2, 4, 8, 8)], BF16, learning=True)
    assert fault_in_bf16.cache_info().misses == 1
    assert torch.equal(torch.rand(1), expected)


def test_a_network_is_known_by_its_layers() -> None:
    made = network().train()
    kinds = kinds_of(made, *INPUT)
    assert [str(kind) for _, kind in kinds] == [
        "convolutions of 3 to 16 channels, kernel 4x4, stride 4x4, on 64x64 maps",
        "convolutions of 16 to 32 channels, kernel 4x4, stride 4x4, on 16x16 maps",
        "linear layers of 512 to 10 dims",
    ]
    assert [layer for layer, _ in kinds] == [made[0], made[3], made[6]]
    assert int(made[1].num_batches_tracked) == 0


@pytest.mark.usefixtures("_with_bf16")
def test_transposed_convolutions_are_tried_as_such() -> None:
    made = nn.Sequential(nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1))
    ((_, kind),) = kinds_of(made, (2, 8, 5, 5))
    assert str(kind) == (
        "transposed convolutions of 8 to 4 channels, kernel 4x4, stride 2x2, on 5x5 maps"
    )
    output, *gradients = results(kind, torch.float32, "cpu", learning=True)
    assert output.shape == (2, 4, 10, 10)
    assert [tuple(each.shape) for each in gradients] == [(2, 8, 5, 5), (8, 4, 4, 4), (4,)]
