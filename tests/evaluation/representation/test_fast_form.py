"""Which form a representation runs in: the fastest that is right, on whatever processor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement, Precision
from evaluation.representation.fast_form import use_fastest_form
from evaluation.representation.finding import Found, find
from evaluation.representation.loading import BF16, OPTIMISED, PLAIN
from evaluation.representation.running import RunningRepresentation
from tests.evaluation.representation.bad_submissions import dilled

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

IMAGES = np.random.RandomState(0).randint(256, size=(32, 64, 64, 3), dtype=np.uint8)


class Strided(nn.Module):
    """Strided convolutions, of a kind that some processors get wrong in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 4), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class WrongWhenFast(Strided):
    """Like a processor that gets packed convolutions wrong; their images are channels-last."""

    def forward(self, images: Tensor) -> Tensor:
        codes = self.layers(images)
        return codes if images.is_contiguous() else codes.flip(1)


class WrongInBf16(nn.Module):
    """Stands for a processor that gets bf16 wrong. Without convolutions it has bf16 anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 64 * 64, 10)

    def forward(self, images: Tensor) -> Tensor:
        codes = self.layer(images.flatten(1))
        return codes.flip(1) if codes.dtype == torch.bfloat16 else codes


def exported(module: nn.Module, folder: Path) -> Found:
    path = folder / "pytorch_model.pt"
    torch.jit.script(module.eval()).save(str(path))
    return Found(path, "torchscript")


def chosen(found: Found, precision: Precision) -> tuple[str, str, float]:
    """The form, its precision, and how far its codes are from those of the plain form."""
    with RunningRepresentation(found, Placement(precision=precision)) as representation:
        exact = representation.encode(IMAGES)
        use_fastest_form(representation, IMAGES)
        off = np.abs(representation.encode(IMAGES) - exact).max()
        return representation.form, representation.used_precision, float(off / exact.std())


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_fast_form_is_taken_where_it_gives_the_same_codes(
    tmp_path: Path, precision: Precision, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    form, used, off = chosen(exported(Strided(), tmp_path), precision)
    said = capsys.readouterr().out
    if precision == "bf16" and form == BF16:
        assert used == "bf16" and said == ""
        assert 1e-4 < off < 0.2, "bf16 must be seen to be bf16: its rounding shows in three digits"
        return
    # A processor without bf16, or with one that it gets wrong: float32, and a line.
    assert used == "float32" and off < 1e-4
    assert said.count("\n") == (precision == "bf16") + (form == PLAIN)
    assert ("without its form in bf16" in said) == (precision == "bf16")


def test_a_fast_form_that_is_wrong_here_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    assert chosen(exported(WrongWhenFast(), tmp_path), "float32") == (PLAIN, "float32", 0)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "without its form for fast inference: there its codes differ by up to" in said


def test_a_form_in_bf16_that_is_wrong_here_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    form, used, off = chosen(exported(WrongInBf16(), tmp_path), "bf16")
    assert (form, used) == (OPTIMISED, "float32") and off < 1e-4
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "without its form in bf16: there its codes differ by up to" in said


def test_what_has_no_form_in_bf16_is_graded_in_float32(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    dilled("def represent(images):\n  return images.mean((2, 3))")(tmp_path)
    (found,) = find(tmp_path)
    assert chosen(found, "float32") == (PLAIN, "float32", 0)
    assert capsys.readouterr().out == ""
    assert chosen(found, "bf16") == (PLAIN, "float32", 0)
    assert "without its form in bf16: it has none on this machine" in capsys.readouterr().out
