"""TorchScript's convolutions by oneDNN, with weights laid out once as it wants them.

PyTorch's own convolution lays its weights out anew for every batch. TorchScript's
`optimize_for_inference` does not, but it brings every map into an order that is slower than
channels-last, and knows no bfloat16.
"""

from typing import Any

import torch

_CONVOLUTIONS = ("aten::_convolution", "aten::conv2d")
_ACTIVATIONS = ("aten::relu", "aten::relu_")


def pack_convolutions(module: torch.jit.ScriptModule, dtype: torch.dtype) -> None:
    """Replaces the 2-D convolutions of float32 in a frozen module that has not run yet.

    A ReLU that alone sees a convolution's output goes into it.

    Args:
        dtype: What they compute in and give; their inputs are converted.
    """
    graph: Any = module.graph  # PyTorch's stubs leave out much of it
    convolutions = [node for kind in _CONVOLUTIONS for node in graph.findAllNodes(kind, True)]
    for number, node in enumerate(convolutions):
        settings = _constants(node)
        if settings is None:
            continue
        geometry = [_pair(settings[name]) for name in ("padding", "stride", "dilation")]
        geometry.append(settings["groups"])
        weight = settings["weight"].detach().to(dtype, memory_format=torch.channels_last)
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry)
        bias = None if settings["bias"] is None else settings["bias"].detach().to(dtype)
        uses = list(node.output().uses())
        replaced, activation = node, "none"
        if len(uses) == 1 and uses[0].user.kind() in _ACTIVATIONS:
            replaced, activation = uses[0].user, "relu"
        with graph.insert_point_guard(replaced):
            maps = _insert(graph, "aten::to", node.inputsAt(0), dtype, False, False, None)
            output = _insert(
                graph,
                "mkldnn::_convolution_pointwise",
                maps,
                _attribute(module, f"packed_convolution_{number}", packed),
                bias,
                *geometry,
                activation,
                _no_scalars(graph),
                "",
            )
        replaced.output().replaceAllUsesWith(output)
        if replaced is not node:
            replaced.destroy()
        node.destroy()


def _constants(node: torch._C.Node) -> dict[str, Any] | None:
    """All arguments but the maps by name, if each is known and oneDNN has such a convolution."""
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


def _insert(graph: Any, kind: str, *arguments: Any) -> torch._C.Value:
    values = [
        argument if isinstance(argument, torch._C.Value) else graph.insertConstant(argument)
        for argument in arguments
    ]
    return graph.insertNode(graph.create(kind, values, 1)).output()


def _attribute(module: torch.jit.ScriptModule, name: str, tensor: torch.Tensor) -> torch._C.Value:
    """The tensor as an attribute: a graph holds no constants in oneDNN's layouts."""
    tensor_type = torch._C.TensorType.get()
    module._c._register_attribute(name, tensor_type, tensor)
    graph = module.graph
    node = graph.create("prim::GetAttr", [next(graph.inputs())], 1)
    node.s_("name", name)
    node.output().setType(tensor_type)
    return graph.insertNode(node).output()


def _no_scalars(graph: Any) -> torch._C.Value:
    node = graph.create("prim::ListConstruct", [], 1)
    kind = torch._C.OptionalType(torch._C.NumberType.get())
    node.output().setType(torch._C.ListType(kind))
    return graph.insertNode(node).output()
