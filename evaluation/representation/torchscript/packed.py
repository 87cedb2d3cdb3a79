"""Puts faster convolutions into a TorchScript module.

TorchScript's `optimize_for_inference` does, too, but it brings every map into an order that is
slower than channels-last, and knows no bfloat16 and no Winograd.
"""

from typing import Any

import torch
from torch import Tensor

from evaluation.representation.torchscript.convolution import FastConvolution

_CONVOLUTIONS = ("aten::_convolution", "aten::conv2d")
_ACTIVATIONS = ("aten::relu", "aten::relu_")

# An operator, because a graph holds nothing but tensors and numbers.
torch.library.define("kit::fast_convolution", "(Tensor maps, int number) -> Tensor")

_layers: list[FastConvolution] = []
"""Those of all modules of this process, by number."""


@torch.library.impl("kit::fast_convolution", "CPU")
def _run(maps: Tensor, number: int) -> Tensor:
    return _layers[number](maps)


def pack_convolutions(module: torch.jit.ScriptModule, dtype: torch.dtype) -> None:
    """Replaces the 2-D convolutions of float32 in a frozen module that has not run yet.

    A ReLU that alone sees a convolution's output goes into it.

    Args:
        dtype: What they compute in and give; their inputs are converted.

    Raises:
        RuntimeError: this processor has no convolutions in `dtype`.
    """
    graph: Any = module.graph  # PyTorch's stubs leave out much of it
    convolutions = [node for kind in _CONVOLUTIONS for node in graph.findAllNodes(kind, True)]
    for node in convolutions:
        settings = _constants(node)
        if settings is None:
            continue
        uses = list(node.output().uses())
        has_relu = len(uses) == 1 and uses[0].user.kind() in _ACTIVATIONS
        replaced = uses[0].user if has_relu else node
        layer = FastConvolution(
            settings["weight"],
            settings["bias"],
            _pair(settings["padding"]),
            _pair(settings["stride"]),
            _pair(settings["dilation"]),
            settings["groups"],
            relu=has_relu,
            dtype=dtype,
        )
        _layers.append(layer)
        with graph.insert_point_guard(replaced):
            number = graph.insertConstant(len(_layers) - 1)
            fast = graph.create("kit::fast_convolution", [node.inputsAt(0), number], 1)
            output = graph.insertNode(fast).output()
        replaced.output().replaceAllUsesWith(output)
        if replaced is not node:
            replaced.destroy()
        node.destroy()


def _constants(node: torch._C.Node) -> dict[str, Any] | None:
    """All arguments but the maps by name, if each is known and there is a fast form of these."""
    names = [argument.name for argument in torch._C.parse_schema(node.schema()).arguments]
    values = dict(zip(names, node.inputs(), strict=True))
    del values["input"]
    if any(value.node().kind() != "prim::Constant" for value in values.values()):
        return None
    settings: dict[str, Any] = {name: value.toIValue() for name, value in values.items()}
    weight = settings["weight"]
    is_ours = weight.ndim == 4 and weight.dtype == torch.float32
    is_plain = not settings.get("transposed") and not isinstance(settings["padding"], str)
    return settings if is_ours and is_plain else None


def _pair(sizes: list[int]) -> list[int]:
    return sizes * 2 if len(sizes) == 1 else sizes
