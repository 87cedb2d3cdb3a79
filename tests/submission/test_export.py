"""The exported file: what it computes, where it runs, and what is not let into it."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from submission.export import export, export_function

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")


class Network(nn.Module):
    """A convolution, batch norm with statistics of its own, dropout, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)
        )
        self.head = nn.Linear(4 * 15 * 15, 6)
        self.layers[1].running_mean.uniform_()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).flatten(1))


class Unscriptable(Network):
    """TorchScript does not know variable numbers of arguments; tracing does not see them."""

    def forward(self, *images: Tensor) -> Tensor:
        return super().forward(*images)


class OnTheDeviceTraced(Network):
    """Right in Python; a trace knows only which device it was."""

    def forward(self, *images: Tensor) -> Tensor:
        return super().forward(*images) + torch.ones(6, device=images[0].device)


class OnTheCpu(Network):
    def forward(self, images: Tensor) -> Tensor:
        shift = torch.ones(6, device=torch.device("cpu"))
        return self.head(self.layers(images).flatten(1)) + shift


class Centred(Network):
    def forward(self, images: Tensor) -> Tensor:
        codes = self.head(self.layers(images).flatten(1))
        return codes - codes.mean(0, keepdim=True)


class Random(Network):
    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(self.head(self.layers(images).flatten(1)), 0.5, training=True)


class Flawed(Network):
    """Gives `spoil` of the codes."""

    def __init__(self, spoil: nn.Module) -> None:
        super().__init__()
        self.spoil = spoil

    def forward(self, images: Tensor) -> Tensor:
        return self.spoil(self.head(self.layers(images).flatten(1)))


class Scaled(Network):
    """What it multiplies with is neither a parameter nor a buffer."""

    def __init__(self, by: Any) -> None:
        super().__init__()
        self.by = by

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).flatten(1)) * self.by


class ScaledInTurn(Scaled):
    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).flatten(1)) * self.by[0]


class ScaledTraced(Scaled):
    def forward(self, *images: Tensor) -> Tensor:
        return super().forward(*images)


class Log(nn.Module):
    def forward(self, codes: Tensor) -> Tensor:
        return torch.log(-codes.abs())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "representation" / "pytorch_model.pt"


@pytest.mark.parametrize("kind", [Network, Unscriptable])
def test_the_file_gives_the_codes_of_evaluation_mode(kind: type[Network], path: Path) -> None:
    network = kind().train()
    export(network, path)
    assert network.training, "the module itself is left as it was"
    loaded = torch.jit.load(path)
    assert not loaded.training
    images = torch.rand(5, 3, 64, 64)
    network.eval()
    for count in (1, 5):
        torch.testing.assert_close(loaded(images[:count]), network(images[:count]))


def test_the_file_needs_nothing_of_the_kit(path: Path, tmp_path: Path) -> None:
    export(Network(), path)
    program = f"""
import sys, warnings, torch
warnings.simplefilter("ignore")
codes = torch.jit.load({str(path)!r})(torch.zeros(2, 3, 64, 64))
assert codes.shape == (2, 6) and not any("submission" in name for name in sys.modules)
"""
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True)


def test_a_scripted_module_is_written_as_it_is(path: Path) -> None:
    scripted = torch.jit.script(Network())
    export(scripted, path)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(torch.jit.load(path)(images), scripted.eval()(images))


def test_a_file_of_the_same_module_is_left_as_it_is(
    path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = Network()
    export(network, path)
    written = path.stat().st_mtime_ns
    export(network, path)
    assert path.stat().st_mtime_ns == written and "Reusing" in capsys.readouterr().out
    network.head.bias.data[0] += 1
    export(network, path)
    assert path.stat().st_mtime_ns != written


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Scaled, (0.5, 0.7)),
        (ScaledInTurn, ([0.5, 1.0], [0.7, 1.0])),
        (Scaled, (torch.full((6,), 0.5), torch.full((6,), 0.500001))),
        (ScaledTraced, (torch.full((6,), 0.5), torch.full((6,), 0.500001))),
    ],
)
def test_a_file_of_another_value_is_written_anew(
    kind: type[Scaled], values: tuple[Any, Any], path: Path, capsys: pytest.CaptureFixture
) -> None:
    network = kind(values[0])
    export(network, path)
    export(network, path)
    assert "Reusing" in capsys.readouterr().out
    network.by = values[1]
    export(network, path)
    assert "Reusing" not in capsys.readouterr().out
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(torch.jit.load(path)(images), network.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("module", "code"),
    [
        (OnTheCpu(), "EXPORT-DEVICE"),
        (OnTheDeviceTraced(), "EXPORT-DEVICE"),
        (Centred(), "EXPORT-DIFFERS"),
        (Random(), "EXPORT-DIFFERS"),
        (Flawed(Log()), "EXPORT-CODES"),
        (Flawed(nn.Unflatten(1, (2, 3))), "EXPORT-CODES"),
        (Flawed(nn.Flatten(0)), "EXPORT-CODES"),
    ],
)
def test_what_would_fail_at_the_grader_is_refused(module: nn.Module, code: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"what was there before")
    with pytest.raises(KitError) as refusal:
        export(module, path)
    assert refusal.value.code == code
    assert path.read_bytes() == b"what was there before"
    assert list(path.parent.iterdir()) == [path]


def test_a_function_is_stored_whole(tmp_path: Path) -> None:
    weights = np.random.RandomState(0).randn(3, 5).astype(np.float32)

    def represent(images: np.ndarray) -> np.ndarray:
        return images.mean((2, 3)) @ weights

    path = tmp_path / "representation" / "python_model.dill"
    export_function(represent, path)
    images = np.random.RandomState(1).rand(4, 3, 64, 64).astype(np.float32)
    loaded = dill.loads(path.read_bytes())
    np.testing.assert_array_equal(loaded(images), images.mean((2, 3)) @ weights)


def test_a_function_that_cannot_be_stored(tmp_path: Path) -> None:
    numbers = (number for number in range(3))

    def represent(images: Any) -> Any:
        assert numbers is not None and threading
        return images.mean((2, 3))

    with pytest.raises(KitError, match="EXPORT-DILL"):
        export_function(represent, tmp_path / "python_model.dill")


def test_another_kind_beside_it_is_not_joined(path: Path) -> None:
    (path.parent / "tfhub").mkdir(parents=True)
    with pytest.raises(KitError, match="REPRESENTATION-OTHERS"):
        export(Network(), path)


EXPORT = """
import sys, warnings
from pathlib import Path
import torch
warnings.simplefilter("ignore")
from submission.export import export
from submission.features.aggregation import AggregatedFeatureExtractor, IdentityTransform
from submission.features.backbones import Backbone, build_network
from submission.method import representation
from submission.vae.model import VAE, Decoder, Encoder

torch.manual_seed(0)
backbone = Backbone("ResNet-50", build_network("ResNet-50"), (16, 16), 1)
extractor = AggregatedFeatureExtractor(backbone, [8], [4], [1], [0])
vae = VAE(Encoder((8,), 4, [16], True), Decoder((8,), 4, [16]), 4)
export(representation(extractor, IdentityTransform(), vae), Path(sys.argv[1]))
"""


def test_two_checkouts_and_processes_export_the_same_bytes(tmp_path: Path) -> None:
    exported = []
    for number, folder in enumerate(("one", "another/deeper")):
        for package in ("evaluation", "submission"):
            shutil.copytree(REPOSITORY / package, tmp_path / folder / package)
        path = tmp_path / f"{number}.pt"
        subprocess.run(
            [sys.executable, "-c", EXPORT, str(path)],
            cwd=tmp_path / folder,
            env={**os.environ, "PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        exported.append(path.read_bytes())
    assert exported[0] == exported[1]
    for trace in (b"another/deeper", b"debug_pkl", str(REPOSITORY).encode()):
        assert trace not in exported[1]


def test_a_damaged_file_is_written_again(path: Path) -> None:
    network = Network()
    export(network, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5000], bytes(len(whole)), whole[:9000] + b"####" + whole[9004:]):
        path.write_bytes(damaged)
        export(network, path)
        assert path.read_bytes() == whole
