"""Backbones against torchvision's own modules with the same weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.functional import normalize

from evaluation.common.errors import KitError
from submission.features.backbones import BUILDERS, Backbone, build_network, output_shape

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def perturb_norms(network: nn.Module) -> None:
    """Gives fresh batch norms statistics and scales that leave traces."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)


@pytest.mark.parametrize(
    ("name", "size", "nodes"),
    [
        ("VGG11", (48, 64), {None: 28, 1: 2, 2: 6, 3: 13, 4: 20, 5: 27}),
        ("ResNet-50", (64, 64), {None: "layer4", 1: "layer1", 3: "layer3", 4: "layer4"}),
        ("ResNeXt-50", (48, 48), {2: "layer2"}),
        ("DenseNet-161", (48, 48), {None: "features.norm5", 2: "features.denseblock2"}),
        ("Inception", (80, 80), {None: "Mixed_7c", 3: "Mixed_5d"}),
    ],
)
def test_maps_equal_torchvisions(name, size, nodes) -> None:
    torch.manual_seed(0)
    network = build_network(name).eval()
    perturb_norms(network)
    names = [f"features.{node}" if name == "VGG11" else node for node in nodes.values()]
    reference = create_feature_extractor(network, list(dict.fromkeys(names)))
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()

    resized = functional.interpolate(images, size, mode="bilinear", align_corners=False)
    # Inception normalises to [-1, 1] by itself where its weights are ImageNet's.
    middle, width = ((0.5,) * 3, (0.5,) * 3) if name == "Inception" else IMAGENET
    with torch.no_grad():
        expected = reference(normalize(resized, middle, width))
        for stage, node in zip(nodes, names, strict=True):
            backbone = Backbone(name, network, size, stage).eval()
            maps = backbone(images)
            torch.testing.assert_close(maps, expected[node], rtol=1e-5, atol=1e-5)
            assert (backbone.feature_dims, *backbone.map_size) == tuple(maps.shape[1:])
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("VGG13", [64, 128, 256, 512, 512]),
        ("VGG16", [64, 128, 256, 512, 512]),
        ("VGG19", [64, 128, 256, 512, 512]),
        ("DenseNet-161", [384, 768, 2112, 2208]),
        ("ResNet-101", [256, 512, 1024, 2048]),
        ("ResNet-152", [256, 512, 1024, 2048]),
        ("ResNeXt-101", [256, 512, 1024, 2048]),
        ("Inception", [64, 192, 288, 768]),
    ],
)
def test_channels_of_each_stage(name: str, channels: list[int]) -> None:
    with torch.device("meta"):
        network = build_network(name)
    size = (96, 96)
    stages = range(1, len(channels) + 1)
    assert [Backbone(name, network, size, stage).feature_dims for stage in stages] == channels


@pytest.mark.parametrize(("name", "convolutions"), [("SmallCNN", 4), ("SmallCNN-7", 7)])
def test_small_networks_halve_the_maps_four_times(name: str, convolutions: int) -> None:
    network = build_network(name)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == convolutions
    stages = [Backbone(name, network, (64, 64), stage) for stage in range(1, 5)]
    assert [stage.feature_dims for stage in stages] == [24, 48, 96, 128]
    assert [stage.map_size for stage in stages] == [[side, side] for side in (32, 16, 8, 4)]


def test_a_stage_that_is_not_there_is_refused() -> None:
    with torch.device("meta"):
        vgg, resnet = build_network("VGG11"), build_network("ResNet-50")
    with pytest.raises(KitError, match="VGG11 has no stage 6; its stages are 1 to 5"):
        Backbone("VGG11", vgg, (64, 64), 6)
    with pytest.raises(KitError, match="its stages are 1 to 4"):
        Backbone("ResNet-50", resnet, (64, 64), -1)


@pytest.mark.parametrize(("name", "size"), [("VGG11", (16, 16)), ("Inception", (64, 64))])
def test_images_that_vanish_are_refused(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = build_network(name)
    with pytest.raises(KitError, match=f"{size[0]}x{size[1]} are too small for {name}"):
        Backbone(name, network, size)


def test_an_unknown_name_is_refused_with_the_known() -> None:
    with pytest.raises(KitError, match="unknown feature extractor 'VGG18'") as caught:
        build_network("VGG18")
    assert all(name in caught.value.problem for name in BUILDERS)


def test_measuring_leaves_a_module_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    module[1].eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert output_shape(module, (3, 8, 9)) == (4, 6, 7)
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
