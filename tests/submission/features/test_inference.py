"""The accelerated form of every kind of backbone against torchvision's modules as they are."""

import pytest
import torch
from torch import nn

from evaluation.common.devices import Placement
from evaluation.representation.torchscript import convolution
from evaluation.representation.torchscript.convolution import FastConvolution
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.features.inference import accelerated, extraction_placement

CPU = Placement("cpu")
BF16 = Placement("cpu", "bf16")


def randomised(module: nn.Module) -> nn.Module:
    """With batch norms that do something."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.1, 0.1)
    return module.eval()


@pytest.mark.parametrize(
    ("name", "size", "stage"),
    [
        ("VGG11", 32, None),
        ("VGG11", 32, 2),
        ("ResNet-50", 32, 3),
        ("ResNeXt-50", 32, 2),
        ("DenseNet-161", 32, 2),
        ("Inception", 75, 2),
    ],
)
def test_maps_are_those_of_the_network(name: str, size: int, stage: int | None) -> None:
    torch.manual_seed(0)
    backbone = randomised(Backbone(name, build_network(name), (size, size), stage))
    images = torch.rand(3, 3, size, size)
    fast = accelerated(backbone, CPU).eval()
    in_bf16 = extraction_placement(backbone, BF16)
    with torch.inference_mode():
        maps = backbone(images)
        close = {"rtol": 1e-4, "atol": 1e-5 * float(maps.abs().max())}
        for _ in range(2):
            torch.testing.assert_close(fast(images), maps, **close)
        torch.testing.assert_close(fast(images[:1]), maps[:1], **close)
        rough = accelerated(backbone, in_bf16)(images)
    assert rough.dtype == torch.float32
    assert ((rough - maps).abs().max() > 1e-3 * maps.abs().max()) == in_bf16.in_bf16
    assert (rough - maps).abs().max() < 0.05 * maps.abs().max()


@pytest.mark.parametrize(
    ("way", "inputs", "size", "named"),
    [("_by_onednn", 3, 40, "3 to 64"), ("_by_winograd", 64, 48, "64 to 128")],
)
def test_convolutions_that_this_processor_gets_wrong_stay_plain(
    way: str,
    inputs: int,
    size: int,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    right = getattr(FastConvolution, way)

    def wrong(layer: FastConvolution, maps: torch.Tensor) -> torch.Tensor:
        output = right(layer, maps)
        return output.roll(1, 1) if maps.shape[1] == inputs else output

    monkeypatch.setattr(FastConvolution, way, wrong)
    monkeypatch.setattr(convolution, "mkl_is_fast", lambda: True)
    torch.manual_seed(0)
    # Maps of a size that no other test has: what is known of a kind is kept.
    backbone = randomised(Backbone("VGG11", build_network("VGG11"), (size, size), 3))
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(
            accelerated(backbone, CPU)(images), backbone(images), rtol=1e-4, atol=1e-4
        )
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert f"Not made faster, because this processor gets fast convolutions of {named}" in said


def test_a_relu_that_others_see_too_stays_where_it_is() -> None:
    """Not every convolution before a ReLU may take it in: its own output may be used as well."""

    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.convolution(images)
            return self.relu(maps) + maps

    torch.manual_seed(0)
    backbone = Backbone("VGG11", build_network("VGG11"), (32, 32), stage=1).eval()
    backbone.features = nn.Sequential(Forked())
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        maps = accelerated(backbone, CPU)(images)
    torch.testing.assert_close(maps, backbone(images), rtol=1e-4, atol=1e-4)


def test_the_extractor_itself_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    backbone = randomised(Backbone("VGG11", build_network("VGG11"), (32, 32)))
    extractor = AggregatedFeatureExtractor(backbone, [16], [1], [1], [0]).eval()
    before = {name: tensor.clone() for name, tensor in extractor.state_dict().items()}
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = extractor(images)
        found = accelerated(extractor, CPU).eval()(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert extractor.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[n]) for n, tensor in extractor.state_dict().items())
