"""oneDNN's linear layers against PyTorch's, and both against double precision."""

import copy

import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from submission.runtime import onednn

MKL_IS_FASTER = onednn.mkl_is_faster


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor counts as one that is faster with oneDNN."""
    monkeypatch.setattr(onednn, "mkl_is_faster", lambda: False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(256, 512, 256), (1, 128, 70)])
def test_values_and_gradients_are_those_of_pytorch(
    rows: int, inputs: int, outputs: int, bias: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(inputs, outputs, bias=bias)
    features, gradient = torch.randn(rows, inputs), torch.randn(rows, outputs)

    def run(dtype: torch.dtype) -> list[Tensor]:
        module = copy.deepcopy(layer).to(dtype)
        leaf = features.to(dtype, copy=True).requires_grad_()
        output = module(leaf)
        output.backward(gradient.to(dtype))
        return [output.detach(), leaf.grad, *(weight.grad for weight in module.parameters())]

    exact, theirs = run(torch.float64), run(torch.float32)
    with onednn.linear_layers(Placement("cpu")):
        ours = run(torch.float32)
    for truth, usual, found in zip(exact, theirs, ours, strict=True):
        torch.testing.assert_close(found, usual, rtol=1e-4, atol=1e-4)
        assert (found - truth).abs().sum() <= 2 * (usual - truth).abs().sum()


def test_which_layers_take_it() -> None:
    def name_of(rows: Tensor, layer: nn.Linear) -> str:
        return type(layer(rows).grad_fn).__name__

    large, small = nn.Linear(128, 64), nn.Linear(8, 8)
    with onednn.linear_layers(Placement("cpu")):
        assert name_of(torch.rand(2, 128), large) == "_LinearBackward"
        # Not worth the way, no rows in this process's share, and not a batch of vectors.
        assert name_of(torch.rand(2, 8), small) != "_LinearBackward"
        assert name_of(torch.rand(0, 128), large) != "_LinearBackward"
        assert name_of(torch.rand(2, 3, 128), large) != "_LinearBackward"
    assert name_of(torch.rand(2, 128), large) != "_LinearBackward"
    with onednn.linear_layers(Placement("cuda")):
        assert name_of(torch.rand(2, 128), large) != "_LinearBackward"


@pytest.mark.parametrize(
    ("has_mkl", "capability", "faster"),
    [(True, "AVX2", True), (True, "AVX512", False), (False, "AVX2", False), (True, "SVE", False)],
)
def test_mkl_stays_where_it_has_all_instructions(
    has_mkl: bool, capability: str, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: has_mkl)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(onednn, "mkl_is_faster", MKL_IS_FASTER)
    with onednn.linear_layers(Placement("cpu")):
        output = nn.Linear(128, 64)(torch.rand(2, 128))
    assert (type(output.grad_fn).__name__ != "_LinearBackward") == faster


def test_products_that_onednn_gets_wrong_are_left_to_pytorch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    right = onednn._by_onednn
    monkeypatch.setattr(onednn, "_right", {})
    monkeypatch.setattr(onednn, "_by_onednn", lambda *operands: right(*operands).roll(1, 0))
    torch.manual_seed(0)
    layer, rows = nn.Linear(130, 70), torch.randn(9, 130, requires_grad=True)
    expected = layer(rows)
    (gradient,) = torch.autograd.grad(expected.square().sum(), rows)
    for _ in range(2):
        with onednn.linear_layers(Placement("cpu")):
            found = layer(rows)
        (ours,) = torch.autograd.grad(found.square().sum(), rows)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(ours, gradient, rtol=1e-4, atol=1e-4)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith(
        "Linear layers do not use oneDNN, which computes products of (9, 130)"
    )
