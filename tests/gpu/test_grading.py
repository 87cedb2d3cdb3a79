"""Export from a device, and grading on one, in the sandboxed worker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement, pick_device
from evaluation.common.rounding import disagreement
from evaluation.representation.finding import Found
from evaluation.representation.loading import BF16 as BF16_FORM
from evaluation.representation.loading import OPTIMISED, PLAIN
from evaluation.representation.running import RunningRepresentation
from evaluation.representation.sandbox.readable import devices
from submission.export import export
from tests.gpu.conftest import BF16, BOTH, FLOAT32, GPU

IMAGES = np.random.RandomState(0).randint(256, size=(32, 64, 64, 3), dtype=np.uint8)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 4, 4),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def codes(found: Found, placement: Placement, form: str) -> tuple[np.ndarray, list[str]]:
    with RunningRepresentation(found, placement) as running:
        running.form = form
        return running.encode(IMAGES), running.missing_isolation


@pytest.fixture
def found(tmp_path: Path) -> Found:
    path = tmp_path / "pytorch_model.pt"
    export(Encoder(), path)
    return Found(path, "torchscript")


@pytest.mark.parametrize("device", BOTH)
def test_an_export_from_a_device_loads_on_another(device: str, tmp_path: Path) -> None:
    module = Encoder().to(device)
    export(module, tmp_path / "pytorch_model.pt")
    batch = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = module.eval()(batch.to(device)).cpu().numpy()
    for place in ("cpu", device):
        loaded = torch.jit.load(str(tmp_path / "pytorch_model.pt"), map_location=place)
        with torch.no_grad():
            found = loaded(batch.to(place)).cpu().numpy()
        assert disagreement(found, expected) < FLOAT32


@pytest.mark.parametrize("device", BOTH)
@pytest.mark.parametrize("form", [PLAIN, OPTIMISED])
def test_the_worker_gives_the_cpus_codes(found: Found, form: str, device: str) -> None:
    expected, isolation = codes(found, Placement(), PLAIN)
    here, isolation_here = codes(found, Placement(device), form)
    assert disagreement(here, expected) < FLOAT32
    # On a GPU, seccomp lets shared memory in, which only a memory group then counts.
    assert set(isolation_here) - set(isolation) <= {
        "memory that no process has mapped is not counted"
    }


@pytest.mark.parametrize("device", GPU)
def test_the_worker_in_bf16(found: Found, device: str) -> None:
    expected, _ = codes(found, Placement(), PLAIN)
    here, _ = codes(found, Placement(device, "bf16"), BF16_FORM)
    assert disagreement(here, expected) < BF16


@pytest.mark.parametrize("device", GPU)
def test_a_full_gpu_cuts_the_workers_batches(
    found: Found, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = found.path.with_name("wide.pt")
    wide = nn.Sequential(nn.Conv2d(3, 1024, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    torch.jit.script(wide).save(str(path))
    images = np.tile(IMAGES, (16, 1, 1, 1))
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device=device)
    try:
        with RunningRepresentation(Found(path, "torchscript"), Placement(device)) as running:
            assert running.encode(images).shape == (512, 1024)
    finally:
        del filler
        torch.cuda.empty_cache()
    assert capsys.readouterr().out.count("The GPU's memory takes") == 1


@pytest.mark.parametrize("device", BOTH)
def test_only_the_nodes_of_gpus_are_let_in(device: str) -> None:
    added = {str(node) for node in set(devices(device)) - set(devices("cpu"))}
    assert bool(added) == (device != "cpu")
    kinds = ("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/dxg")
    assert all(name.startswith(kinds) for name in added)


@pytest.mark.parametrize("device", GPU)
def test_auto_finds_it(device: str) -> None:
    assert pick_device("auto") == pick_device(device) == device
