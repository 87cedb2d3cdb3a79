"""Fast convolutions against PyTorch's in float64, and what computes in threads."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

from evaluation.representation.torchscript import convolution
from evaluation.representation.torchscript.convolution import FastConvolution
from evaluation.representation.torchscript.threads import in_threads

WINOGRAD, PRODUCT, ONEDNN = "_by_winograd", "_product", "_by_onednn"


@pytest.fixture(autouse=True)
def _everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(convolution, "mkl_is_fast", lambda: True)


@pytest.mark.parametrize(
    ("way", "layer", "shape"),
    [
        (WINOGRAD, nn.Conv2d(64, 128, 3, padding=1), (3, 8, 12)),
        (WINOGRAD, nn.Conv2d(128, 64, 3, padding=1, bias=False), (1, 14, 5)),
        (WINOGRAD, nn.Conv2d(96, 96, 3), (5, 6, 9)),
        (WINOGRAD, nn.Conv2d(96, 96, 3, padding=(0, 2)), (2, 3, 1)),
        (WINOGRAD, nn.Conv2d(64, 128, 3, padding=1), (9, 20, 20)),
        (PRODUCT, nn.Conv2d(96, 40, (2, 3)), (3, 2, 3)),
        (PRODUCT, nn.Conv2d(96, 96, 3, bias=False), (3, 3, 3)),
        (PRODUCT, nn.Conv2d(96, 40, 1, stride=2), (3, 1, 1)),
        (ONEDNN, nn.Conv2d(63, 128, 3, padding=1), (3, 8, 12)),
        (ONEDNN, nn.Conv2d(128, 128, 3, padding=1, stride=2), (3, 9, 9)),
        (ONEDNN, nn.Conv2d(128, 128, 3, dilation=2), (3, 9, 9)),
        (ONEDNN, nn.Conv2d(128, 256, 3, padding=1, groups=2), (3, 9, 9)),
        (ONEDNN, nn.Conv2d(96, 96, 3, padding=1, groups=4), (3, 3, 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("relu", [False, True])
def test_outputs_are_those_of_float64(
    way: str,
    layer: nn.Conv2d,
    shape: tuple[int, int, int],
    relu: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, height, width = shape
    maps = torch.randn(count, layer.in_channels, height, width)
    used = []
    compute = getattr(FastConvolution, way)
    monkeypatch.setattr(
        FastConvolution, way, lambda own, given: used.append(way) or compute(own, given)
    )
    fast = FastConvolution(
        layer.weight,
        layer.bias,
        layer.padding,
        layer.stride,
        layer.dilation,
        layer.groups,
        relu=relu,
        dtype=torch.float32,
    )
    with torch.inference_mode():
        exact = functional.conv2d(
            maps.double(),
            layer.weight.double(),
            None if layer.bias is None else layer.bias.double(),
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )
        exact = exact.relu() if relu else exact
        for given in (maps, maps.to(memory_format=torch.channels_last), maps):
            before = given.clone()
            torch.testing.assert_close(fast(given).double(), exact, rtol=0, atol=2e-5)
            assert torch.equal(given, before)
        assert used == [way] * 3
        one = fast(maps[:1])
    torch.testing.assert_close(one.double(), exact[:1], rtol=0, atol=2e-5)


def test_maps_of_any_size_may_follow_each_other() -> None:
    layer = nn.Conv2d(96, 96, 3)
    fast = FastConvolution(
        layer.weight, layer.bias, [0, 0], [1, 1], [1, 1], 1, relu=False, dtype=torch.float32
    )
    with torch.inference_mode():
        for size in (5, 3, 8, 3, 5):
            maps = torch.randn(2, 96, size, size)
            torch.testing.assert_close(fast(maps), layer(maps), rtol=0, atol=4e-5)


def test_results_of_threads_come_in_order_and_each_has_its_share() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    together = threading.Barrier(2, timeout=60)

    def run(number: int) -> tuple[int, int]:
        together.wait()  # ends only if two are computed at once
        return number, torch.get_num_threads()

    try:
        assert list(in_threads(run, range(6), 2)) == [(number, 2) for number in range(6)]
        assert torch.get_num_threads() == 4
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [4]
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_thread_is_raised() -> None:
    def run(number: int) -> float:
        return 1 / number

    results = in_threads(run, [2, 1, 0, 1], 2)
    assert [next(results), next(results)] == [0.5, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
