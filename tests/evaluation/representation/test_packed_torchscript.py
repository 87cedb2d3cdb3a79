"""Packed convolutions against those of PyTorch, and the graphs in which some must stay."""

import pytest
import torch
from torch import Tensor, nn

from evaluation.representation.torchscript.packed import pack_convolutions

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")

PACKED = "kit::fast_convolution"


def frozen(module: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.freeze(torch.jit.script(module.eval()))


def nodes(module: torch.jit.ScriptModule, kind: str) -> int:
    return len(module.graph.findAllNodes(kind, recurse=True))


def packed(module: nn.Module, dtype: torch.dtype = torch.float32) -> torch.jit.ScriptModule:
    fast = frozen(module)
    pack_convolutions(fast, dtype)
    return fast


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(5, 3, 20, 20).to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1, bias=False)],
        [nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=3)],
        [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Sigmoid()],
    ],
)
@pytest.mark.parametrize("traced", [True, False])
def test_outputs_are_those_of_the_module(
    layers: list[nn.Module], traced: bool, images: Tensor
) -> None:
    module = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.1, 0.1)
                part.running_var.uniform_(0.5, 2)
        script = torch.jit.trace(module, images) if traced else torch.jit.script(module)
        fast = torch.jit.freeze(script)
        pack_convolutions(fast, torch.float32)
        assert nodes(fast, PACKED) == sum(isinstance(layer, nn.Conv2d) for layer in layers)
        for batch in (images, images[:1], images.contiguous()):
            torch.testing.assert_close(fast(batch), module(batch), rtol=1e-5, atol=1e-6)
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # else packing in bf16 is never tried
            rough = torch.jit.freeze(script)
            pack_convolutions(rough, torch.bfloat16)
            assert 0 < (rough(images).float() - module(images)).abs().max() < 0.02


def test_a_relu_of_an_output_that_is_used_elsewhere_stays(images: Tensor) -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.convolution(images)
            return torch.relu(maps) + maps

    module = Forked()
    fast = packed(module)
    assert nodes(fast, PACKED) == nodes(fast, "aten::relu") == 1
    with torch.no_grad():
        torch.testing.assert_close(fast(images), module(images), rtol=1e-5, atol=1e-6)


def test_convolutions_inside_of_branches_are_packed(images: Tensor) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            if images.sum() > 0:
                return torch.relu(self.one(images))
            return self.other(images)

    module = Branching()
    fast = packed(module)
    assert nodes(fast, PACKED) == 2
    with torch.no_grad():
        for batch in (images, -images):
            torch.testing.assert_close(fast(batch), module(batch), rtol=1e-5, atol=1e-6)


class WeightFromImages(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.conv2d(images, images[:, :, :3, :3])


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.ConvTranspose2d(3, 4, 3),
        nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3)),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3)),
        nn.Conv2d(3, 4, 3).double(),
        WeightFromImages(),
    ],
    ids=["padding by name", "transposed", "1-D", "3-D", "double", "weight that is computed"],
)
def test_others_stay_as_they_are(module: nn.Module, images: Tensor) -> None:
    fast = packed(module)
    assert nodes(fast, PACKED) == 0
    if next(module.parameters(), images).dtype == torch.float64:
        images = images.double()
    with torch.no_grad():
        torch.testing.assert_close(fast(images), module(images))
