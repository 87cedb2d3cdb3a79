"""Networks that only infer, as they run fastest: folded, channels-last, packed for oneDNN."""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.optimization import fuse, matches_module_pattern

from evaluation.common.devices import Placement
from submission.features.aggregation import AggregatedFeatureExtractor, Extractor
from submission.features.backbones import Backbone


def accelerated(extractor: Extractor, placement: Placement) -> nn.Module:
    """A copy for inference: batch norms folded into convolutions, bfloat16 if asked.

    Images and their normalisation stay in float32, and so does what comes out.
    """
    fast = copy.deepcopy(extractor).eval()
    for module in list(fast.modules()):
        if isinstance(module, Backbone):
            module.features = nn.Sequential(_InPrecision(module.features, placement))
        if isinstance(module, AggregatedFeatureExtractor):
            module.aggregator = nn.Sequential(_InPrecision(module.aggregator, placement))
    return fast


class _InPrecision(nn.Module):
    def __init__(self, network: nn.Module, placement: Placement) -> None:
        super().__init__()
        self.network = cast(GraphModule, fuse(network))
        self.dtype = torch.bfloat16 if placement.in_bf16 else torch.float32
        self.network.to(self.dtype).to(memory_format=torch.channels_last)
        if placement.kind == "cpu" and torch.backends.mkldnn.is_available():
            _pack_convolutions(self.network)

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps.to(dtype=self.dtype, memory_format=torch.channels_last)
        return self.network(maps).float()


def _pack_convolutions(graph: GraphModule) -> None:
    """Puts packed convolutions in the place of all, and into them the ReLU that follows."""
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.Conv2d):
            continue
        activation = "none"
        following, *others = node.users
        if not others and matches_module_pattern((nn.Conv2d, nn.ReLU), following, modules):
            following.replace_all_uses_with(node)
            graph.graph.erase_node(following)
            activation = "relu"
        graph.add_submodule(node.target, _PackedConvolution(modules[node.target], activation))
    graph.recompile()


class _PackedConvolution(nn.Module):
    """A convolution, and perhaps a ReLU, by oneDNN, with the weights laid out as it wants them.

    PyTorch's own convolution lays them out anew for every batch.
    """

    def __init__(self, convolution: nn.Conv2d, activation: str) -> None:
        super().__init__()
        self.geometry: list[Any] = [
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
        ]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(), *self.geometry
        )
        self.bias = convolution.bias
        self.activation = activation

    def forward(self, maps: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            maps, self.weight, self.bias, *self.geometry, self.activation, [], ""
        )
