"""Networks as extractors of feature maps, torchvision's and a small one, whole or cut.

All networks have batch norm. They are cut after a stage, counted from 1. A stage ends

- in VGG and Inception before each layer that halves the size of the maps,
- in ResNet, ResNeXt and DenseNet after each of the four groups of residual or dense blocks,
- in SmallCNN and SmallCNN-7 after each of their four blocks.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.errors import KitError

BUILDERS = {
    "VGG11": "vgg11_bn",
    "VGG13": "vgg13_bn",
    "VGG16": "vgg16_bn",
    "VGG19": "vgg19_bn",
    "Inception": "inception_v3",
    "DenseNet-161": "densenet161",
    "ResNet-50": "resnet50",
    "ResNet-101": "resnet101",
    "ResNet-152": "resnet152",
    "ResNeXt-50": "resnext50_32x4d",
    "ResNeXt-101": "resnext101_32x8d",
}
"""Name in a config -> name in torchvision."""

SMALL_CNNS = {"SmallCNN": 1, "SmallCNN-7": 2}
"""Name in a config -> convolutions in each of the first three blocks; the fourth has one.

They are for two CPU cores and start from random weights; torchvision has none so small.
"""
_SMALL_CNN_CHANNELS = (24, 48, 96, 128)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_INCEPTION_MEAN = _INCEPTION_STD = (0.5, 0.5, 0.5)

_HEAD = {"AuxLogits", "avgpool", "dropout", "fc"}
_INCEPTION_HALVINGS = {"Mixed_6a", "Mixed_7a"}


class Backbone(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to feature maps (N, feature_dims, *map_size).

    Images of any size are resized with bilinear interpolation. They are normalised as in the
    training of the network.

    Args:
        name: The name that its checkpoints have.
        network: A torchvision classification network; its head is not used.
        interpolation_size: Height and width that images are resized to.
        stage: The network is cut after this stage; None uses the whole network.

    Raises:
        KitError: `BACKBONE-STAGE`, no such stage; `BACKBONE-SIZE`, the images are too small.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        network: nn.Module,
        interpolation_size: Sequence[int] = (224, 224),
        stage: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.interpolation_size = list(interpolation_size)
        self.stage = stage
        self.features = nn.Sequential(_layers(name, network, stage))
        is_inception = isinstance(network, torchvision.models.Inception3)
        # torchvision's Inception was trained in TensorFlow, with this other normalisation.
        mean = _INCEPTION_MEAN if is_inception else IMAGENET_MEAN
        std = _INCEPTION_STD if is_inception else IMAGENET_STD
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        try:
            shape = output_shape(self.features, (3, *self.interpolation_size))
        except RuntimeError:
            height, width = self.interpolation_size
            raise KitError(
                "BACKBONE-SIZE",
                f"images of {height}x{width} are too small for {name}: its maps become empty",
                "Raise get_feature_extractor.interpolation_size or set an earlier stage",
            ) from None
        self.feature_dims, *self.map_size = shape

    def forward(self, images: Tensor) -> Tensor:
        images = functional.interpolate(
            images, size=self.interpolation_size, mode="bilinear", align_corners=False
        )
        return self.features((images - self.mean[:, None, None]) / self.std[:, None, None])

    def extra_repr(self) -> str:
        return f"{self.name}, interpolation_size={self.interpolation_size}, stage={self.stage}"


def build_network(model_name: str) -> nn.Module:
    """The network with that name in a config, with random weights.

    Raises:
        KitError: `BACKBONE-NAME`, unknown name.
    """
    if model_name in SMALL_CNNS:
        return _small_cnn(SMALL_CNNS[model_name])
    if model_name not in BUILDERS:
        known = ", ".join((*BUILDERS, *SMALL_CNNS))
        raise KitError(
            "BACKBONE-NAME",
            f"unknown feature extractor '{model_name}'; the known ones are {known}, "
            "each of these with 'Agg' before it, and Pixels",
            "Correct get_feature_extractor.model_name",
        )
    options = {"init_weights": True} if model_name == "Inception" else {}
    return torchvision.models.get_model(BUILDERS[model_name], weights=None, **options)


def _small_cnn(depth: int) -> nn.Module:
    """Four blocks; each halves the size of the maps. All but the last have `depth` convolutions."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    for number, width in enumerate(_SMALL_CNN_CHANNELS, 1):
        kernel = 5 if number == 1 else 3
        layers = _convolution(channels, width, kernel, 2)
        if number < len(_SMALL_CNN_CHANNELS):
            for _ in range(depth - 1):
                layers += _convolution(width, width, 3, 1)
        blocks[f"layer{number}"] = nn.Sequential(*layers)
        channels = width
    return nn.Sequential(blocks)


def _convolution(channels: int, width: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]


def output_shape(module: nn.Module, input_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of `module`'s output for one input of `input_shape`. Nothing is computed."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    state = {name: tensor.to("meta") for name, tensor in module.state_dict().items()}
    batch = torch.empty(1, *input_shape, device="meta")
    try:
        output = torch.func.functional_call(module, state, (batch,))
    finally:
        for part, mode in modes:
            part.training = mode
    return tuple(output.shape[1:])


def _layers(name: str, network: nn.Module, stage: int | None) -> OrderedDict[str, nn.Module]:
    body = getattr(network, "features", network)
    layers = OrderedDict((key, layer) for key, layer in body.named_children() if key not in _HEAD)
    if not stage:
        return layers
    ends = _stage_ends(layers)
    if not 1 <= stage <= len(ends):
        raise KitError(
            "BACKBONE-STAGE",
            f"{name} has no stage {stage}; its stages are 1 to {len(ends)}",
            "Correct get_feature_extractor.stage, or leave it out for the whole network",
        )
    return OrderedDict(list(layers.items())[: ends[stage - 1]])


def _stage_ends(layers: OrderedDict[str, nn.Module]) -> list[int]:
    """For each stage, the number of layers in it and in all stages before it."""
    blocks = [
        position + 1
        for position, name in enumerate(layers)
        if name.startswith(("layer", "denseblock"))
    ]
    halvings = [
        position
        for position, (name, layer) in enumerate(layers.items())
        if isinstance(layer, nn.MaxPool2d) or name in _INCEPTION_HALVINGS
    ]
    return blocks or halvings
