"""Turns feature maps into one vector for each image, with fixed or learned transforms."""

from collections.abc import Sequence
from typing import Literal

import gin
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.errors import KitError
from submission.features.backbones import Backbone, output_shape
from submission.features.pixels import Pixels


def l2_normalize(features: Tensor) -> Tensor:
    """Scales the vectors along dim 1 of (N, C, ...) to length 1; zero vectors stay zero."""
    return functional.normalize(features, dim=1)


class FeatureTransform(nn.Module):
    """Maps feature maps (N, C, H, W) to vectors (N, D).

    Args:
        l2_normalize: Whether the result is scaled to length 1 over C.
    """

    def __init__(self, l2_normalize: bool = True) -> None:
        super().__init__()
        self.l2_normalize = l2_normalize

    def transform(self, maps: Tensor) -> Tensor:
        """The result for feature maps (N, C, H, W), before it is scaled and flattened."""
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        features = self.transform(maps)
        if self.l2_normalize:
            features = l2_normalize(features)
        return features.flatten(1)

    def extra_repr(self) -> str:
        return f"l2_normalize={self.l2_normalize}"


@gin.configurable
class IdentityTransform(FeatureTransform):
    """The maps themselves, flattened: D = C * H * W."""

    def __init__(self, l2_normalize: bool = False) -> None:
        super().__init__(l2_normalize)

    def transform(self, maps: Tensor) -> Tensor:
        return maps


@gin.configurable
class AverageTransform(FeatureTransform):
    """The mean of each map: D = C."""

    def __init__(self, l2_normalize: bool = True) -> None:
        super().__init__(l2_normalize)

    def transform(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


@gin.configurable
class MaximumTransform(FeatureTransform):
    """The maximum of each map: D = C."""

    def __init__(self, l2_normalize: bool = True) -> None:
        super().__init__(l2_normalize)

    def transform(self, maps: Tensor) -> Tensor:
        return maps.amax((2, 3))


class Whitening(nn.Module):
    """Projects rows (N, C) on principal axes, and scales each of the D results to variance 1.

    Follows `transform` of scikit-learn's IncrementalPCA with whiten=True.

    Args:
        components: Principal axes as rows (D, C).
        mean: Mean (C,) of the rows that the axes were fitted to.
        explained_variance: Variance (D,) along each axis.
    """

    components: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, components: Tensor, mean: Tensor, explained_variance: Tensor) -> None:
        super().__init__()
        tiny = torch.finfo(explained_variance.dtype).eps
        self.register_buffer("components", components.float())
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", explained_variance.sqrt().clamp_min(tiny).float())

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self.components.T / self.scale


@gin.configurable(denylist=["whitening"])
class RMACTransform(FeatureTransform):
    """Regional maximum activation of convolutions (arXiv 1511.05879), in the variant of stage 1.

    Each number in `config` is the kernel size of a max-pooling (stride 2, or 1 for kernel 1), and
    `G` is global max-pooling. The outputs of the poolings are the regions. Each region is scaled to
    length 1 over C. With a whitening, it is whitened and scaled again. The sum of all regions is
    the result: D = C.

    Args:
        l2_normalize: Whether the sum is scaled to length 1.
        config: Kernel sizes and `G`, with hyphens between them, such as "1-3-5-G".
        whitening: Principal axes of the regions, see `whitening.fit_whitening`.

    Raises:
        KitError: `RMAC-CONFIG`, `config` has another form; `RMAC-KERNEL`, in a call, a kernel is
            larger than the maps.
    """

    def __init__(
        self,
        l2_normalize: bool = True,
        config: str = "1-3-5-G",
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(l2_normalize)
        self.config = config
        parts = config.split("-")
        if not all(part == "G" or (part.isdecimal() and int(part) > 0) for part in parts):
            raise KitError(
                "RMAC-CONFIG",
                f"RMACTransform.config '{config}' is not a list of kernel sizes and G",
                "Write it like '1-3-5-G'",
            )
        self.kernels = [int(part) for part in parts if part != "G"]
        self.global_pool = "G" in parts
        self.whitening = whitening

    def pooled(self, maps: Tensor) -> list[Tensor]:
        """The regions (N, C, h, w) of each pooling, each scaled to length 1 over C."""
        if not (torch.jit.is_scripting() or torch.jit.is_tracing()):
            self._refuse_small(maps)
        scales = [
            l2_normalize(functional.max_pool2d(maps, kernel, 1 if kernel == 1 else 2))
            for kernel in self.kernels
        ]
        if self.global_pool:
            scales.append(l2_normalize(maps.amax((2, 3), keepdim=True)))
        return scales

    def transform(self, maps: Tensor) -> Tensor:
        total = torch.zeros_like(maps[:, :, 0, 0])
        for regions in self.pooled(maps):
            rows = regions.flatten(2).transpose(1, 2)
            if self.whitening is not None:
                rows = functional.normalize(self.whitening(rows), dim=2)
            total = total + rows.sum(1)
        return total

    @torch.jit.unused
    def _refuse_small(self, maps: Tensor) -> None:
        height, width = maps.shape[2:]
        misfits = [kernel for kernel in self.kernels if kernel > min(height, width)]
        if misfits:
            raise KitError(
                "RMAC-KERNEL",
                f"RMACTransform.config '{self.config}': kernel {misfits[0]} does not fit maps of "
                f"{height}x{width}",
                "Use smaller kernels, or raise get_feature_extractor.interpolation_size",
            )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, config={self.config}"


@gin.configurable(denylist=["extractor"])
class AggregatedFeatureExtractor(nn.Module):
    """A backbone and learned convolutions on its maps: images (N, 3, H, W) to (N, feature_dims).

    Each block is dropout of whole maps, convolution without bias, batch norm and ReLU, as in arXiv
    2002.12356. The default blocks are those of the report.

    Args:
        extractor: The backbone.
        features: Output channels of each block. May be empty if there is a pooling.
        kernel_sizes, strides, paddings: Settings of each block's convolution.
        dropout: Probability that a map is dropped in training.
        l2_normalize: Whether the result is scaled to length 1.
        pooling: Global pooling of the maps before the first block.
        model_id: A suffix of the checkpoint's name, to distinguish several checkpoints.

    Raises:
        KitError: `AGGREGATION-LENGTHS`, the lists have different lengths; `AGGREGATION-KERNEL`, a
            kernel is larger than the maps.
    """

    def __init__(
        self,
        extractor: Backbone,
        features: Sequence[int] = (1024, 2048, 512),
        kernel_sizes: Sequence[int] = (1, 2, 1),
        strides: Sequence[int] = (1, 1, 1),
        paddings: Sequence[int] = (0, 0, 0),
        dropout: float = 0.0,
        l2_normalize: bool = False,
        pooling: Literal["avg", "max"] | None = None,
        model_id: str | int | None = None,
    ) -> None:
        super().__init__()
        blocks = [features, kernel_sizes, strides, paddings]
        if len({len(block) for block in blocks}) != 1:
            raise KitError(
                "AGGREGATION-LENGTHS",
                "AggregatedFeatureExtractor.features, kernel_sizes, strides and paddings have "
                f"{', '.join(str(len(block)) for block in blocks)} entries",
                "Give each list one entry for each block",
            )
        self.name = f"Agg{extractor.name}" + ("" if model_id is None else f"_{model_id}")
        self.interpolation_size = extractor.interpolation_size
        self.l2_normalize = l2_normalize
        self.extractor = extractor

        layers: list[nn.Module] = []
        if pooling is not None:
            layers.append({"avg": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}[pooling](1))
        channels = extractor.feature_dims
        for width, kernel, stride, padding in zip(*blocks, strict=True):
            if dropout > 0:
                layers.append(nn.Dropout2d(dropout))
            layers += [
                nn.Conv2d(channels, width, kernel, stride, padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.aggregator = nn.Sequential(*layers)
        maps = (extractor.feature_dims, *extractor.map_size)
        try:
            shape = output_shape(self.aggregator, maps)
        except RuntimeError:
            raise KitError(
                "AGGREGATION-KERNEL",
                f"the kernels {list(kernel_sizes)} of AggregatedFeatureExtractor do not fit the "
                f"maps of {extractor.name}, which are {maps[1]}x{maps[2]}",
                "Use smaller kernels or more padding, or raise "
                "get_feature_extractor.interpolation_size",
            ) from None
        self.feature_dims = int(torch.Size(shape).numel())

    def forward(self, images: Tensor) -> Tensor:
        features = self.aggregator(self.extractor(images)).flatten(1)
        return l2_normalize(features) if self.l2_normalize else features

    def extra_repr(self) -> str:
        return f"{self.name}, l2_normalize={self.l2_normalize}"


Extractor = Backbone | AggregatedFeatureExtractor | Pixels
"""From images to features; it has `name`, `interpolation_size` and `feature_dims`."""
