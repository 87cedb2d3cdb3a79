"""Makes networks faster for inference: folded batch norms, channels last, fast convolutions."""

import copy
from collections.abc import Sequence
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse, matches_module_pattern

from evaluation.common.devices import Placement, Precision
from evaluation.common.rounding import allowed, disagreement
from evaluation.common.terminal import console
from evaluation.representation.torchscript.convolution import FastConvolution
from submission.features.aggregation import AggregatedFeatureExtractor, Extractor
from submission.features.backbones import Backbone
from submission.runtime.layers import LayerKind, kinds_of, results
from submission.runtime.precision import has_bf16, settled

_IMAGES_A_BATCH = {"cpu": 32, "cuda": 1024}
"""Images of 64x64 in a batch: few on a CPU, so that the maps fit in its cache; many on a GPU, so
that all its cores have work."""

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def batch_size_for(extractor: Extractor, placement: Placement) -> int:
    """The number of images in a batch with which `extractor` runs fastest."""
    height, width = extractor.interpolation_size
    larger = max(1, height * width // (64 * 64))
    return max(4, _IMAGES_A_BATCH[placement.kind] // larger)


def extraction_placement(extractor: Extractor, placement: Placement) -> Placement:
    """`placement`, but in float32 if this machine computes the extractor wrongly in bf16."""
    batch = (batch_size_for(extractor, placement), 3, 64, 64)
    return settled("Extraction", extractor, [batch], placement, learning=False)


def accelerated(extractor: Extractor, placement: Placement) -> nn.Module:
    """A copy for inference, with batch norms folded into convolutions.

    With the precision bf16, the layers compute in bfloat16. The images, their normalisation and the
    output are in float32.
    """
    fast = copy.deepcopy(extractor).eval()
    batch_size = batch_size_for(extractor, placement)
    for module in list(fast.modules()):
        if isinstance(module, Backbone):
            batch = (batch_size, 3, *module.interpolation_size)
            module.features = nn.Sequential(_InPrecision(module.features, placement, batch))
        if isinstance(module, AggregatedFeatureExtractor):
            batch = (batch_size, module.extractor.feature_dims, *module.extractor.map_size)
            module.aggregator = nn.Sequential(_InPrecision(module.aggregator, placement, batch))
    return fast


class _InPrecision(nn.Module):
    """A network that computes in a precision; its input and output are float32."""

    def __init__(self, network: nn.Module, placement: Placement, batch: Sequence[int]) -> None:
        super().__init__()
        self.network = cast(GraphModule, fuse(network))
        kinds = kinds_of(self.network, batch)
        self.dtype = _DTYPES[placement.precision]
        self.network.to(self.dtype).to(memory_format=torch.channels_last)
        if placement.kind == "cpu" and torch.backends.mkldnn.is_available():
            _use_fast_convolutions(self.network, kinds, placement.precision)

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps.to(dtype=self.dtype, memory_format=torch.channels_last)
        return self.network(maps).float()


def _use_fast_convolutions(
    graph: GraphModule, kinds: Sequence[tuple[nn.Module, LayerKind]], precision: Precision
) -> None:
    """Replaces each convolution, and the ReLU after it, by a fast one that computes the same."""
    modules = dict(graph.named_modules())
    wrong = {layer for layer, kind in kinds if not _is_fast_rightly(kind, precision)}
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.Conv2d):
            continue
        if modules[node.target] in wrong:
            continue
        following, *others = node.users
        has_relu = not others and matches_module_pattern((nn.Conv2d, nn.ReLU), following, modules)
        if has_relu:
            following.replace_all_uses_with(node)
            graph.graph.erase_node(following)
        graph.add_submodule(node.target, _fast(modules[node.target], relu=has_relu))
    graph.recompile()


def _fast(convolution: nn.Conv2d, *, relu: bool) -> FastConvolution:
    return FastConvolution(
        convolution.weight,
        convolution.bias,
        cast(Sequence[int], convolution.padding),
        convolution.stride,
        convolution.dilation,
        convolution.groups,
        relu=relu,
        dtype=convolution.weight.dtype,
    )


@cache
def _is_fast_rightly(kind: LayerKind, precision: Precision) -> bool:
    """Whether a fast convolution gives the result of the plain one; if not, a line says so."""
    if precision == "bf16" and not has_bf16("cpu"):
        return False
    dtype = _DTYPES[precision]
    layer = cast(nn.Conv2d, kind.build("cpu").bfloat16().to(dtype))
    with torch.inference_mode():
        found = _fast(layer, relu=True)(kind.inputs("cpu").bfloat16().to(dtype))
    (expected,) = results(kind, torch.float32, "cpu", learning=False)
    off = disagreement(found.float().numpy(), expected.relu().numpy())
    if off > allowed(precision):
        console.print(
            f"Not made faster, because this processor gets fast {kind} wrong in {precision} "
            f"(relative error {off:.2g}; rounding explains at most {allowed(precision):.2g})",
            markup=False,
        )
    return off <= allowed(precision)
