"""The kinds of layers in a network, and the result of each kind in a precision.

Whether a processor computes a layer correctly depends on the layer's settings and on the shape of
its input, not on the numbers. So each kind of layer is tested once in a process, with random
numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerKind:
    """A convolution or a linear layer, together with the shape of its input.

    Args:
        input_shape: (n, channels, height, width) for a convolution, (n, dims) for a linear layer.
        outputs: Number of output channels or dims.
        geometry: Kernel, stride, padding, dilation and groups of a convolution; empty for a linear
            layer.
        bias: Whether the layer has a bias.
        transposed: Whether a convolution is a transposed one.
    """

    input_shape: tuple[int, ...]
    outputs: int
    geometry: tuple
    bias: bool
    transposed: bool = False

    def __str__(self) -> str:
        inputs, *sizes = self.input_shape[1:]
        if not self.geometry:
            return f"linear layers of {inputs} to {self.outputs} dims"
        kernel, stride = self.geometry[:2]
        what = "transposed convolutions" if self.transposed else "convolutions"
        return (
            f"{what} of {inputs} to {self.outputs} channels, kernel {_times(kernel)}, "
            f"stride {_times(stride)}, on {_times(sizes)} maps"
        )

    def build(self, device: str) -> nn.Conv2d | nn.ConvTranspose2d | nn.Linear:
        """A layer of this kind, with random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if not self.geometry:
                return nn.Linear(self.input_shape[1], self.outputs, self.bias).to(device)
            kernel, stride, padding, dilation, groups = self.geometry
            layer = (nn.ConvTranspose2d if self.transposed else nn.Conv2d)(
                self.input_shape[1],
                self.outputs,
                kernel,
                stride,
                padding,
                dilation=dilation,
                groups=groups,
                bias=self.bias,
            )
            return layer.to(device).to(memory_format=torch.channels_last)

    def inputs(self, device: str) -> Tensor:
        """A random input (*input_shape), the same in each call."""
        random = torch.randn(self.input_shape, generator=torch.Generator().manual_seed(1))
        if not self.geometry:
            return random.to(device)
        return random.to(device, memory_format=torch.channels_last)


def kinds_of(network: nn.Module, *input_shapes: Sequence[int]) -> list[tuple[nn.Module, LayerKind]]:
    """The layers of `network` with their kinds, in the order in which they run.

    Nothing is computed.

    Args:
        network: The network.
        input_shapes: The shape of each of its arguments, batch included.
    """
    kinds: list[tuple[nn.Module, LayerKind]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kinds.append((layer, _kind(layer, tuple(inputs[0].shape))))

    hooks = [layer.register_forward_pre_hook(note) for layer in _layers(network)]
    named = (*network.named_parameters(), *network.named_buffers())
    state = {name: tensor.to("meta") for name, tensor in named}
    batches = tuple(torch.empty(*shape, device="meta") for shape in input_shapes)
    try:
        torch.func.functional_call(network, state, batches)
    finally:
        for hook in hooks:
            hook.remove()
    return kinds


def results(kind: LayerKind, dtype: torch.dtype, device: str, *, learning: bool) -> list[Tensor]:
    """Runs a layer in `dtype`, on random operands that bf16 can hold exactly.

    Returns:
        The output in float32. With `learning`, also the gradients of input, weight and bias.
    """
    layer = kind.build(device)
    operands = [kind.inputs(device), *layer.parameters()]
    operands = [_as(tensor, dtype).requires_grad_(learning) for tensor in operands]
    names = [name for name, _ in layer.named_parameters()]
    named = dict(zip(names, operands[1:], strict=True))
    with torch.set_grad_enabled(learning), torch.autocast(device.partition(":")[0], enabled=False):
        output = torch.func.functional_call(layer, named, (operands[0],))
        if not learning:
            return [output.float()]
        generator = torch.Generator().manual_seed(2)
        gradient = torch.randn(output.shape, generator=generator).to(device)
        gradients = torch.autograd.grad(output, operands, _as(gradient, dtype))
    return [tensor.detach().float() for tensor in (output, *gradients)]


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor` rounded to bf16, and stored as `dtype`."""
    return tensor.detach().bfloat16().to(dtype)


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield module


def _kind(layer: nn.Module, input_shape: tuple[int, ...]) -> LayerKind:
    if isinstance(layer, nn.Linear):
        return LayerKind(input_shape, layer.out_features, (), layer.bias is not None)
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    geometry = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups)
    return LayerKind(
        input_shape,
        layer.out_channels,
        geometry,
        layer.bias is not None,
        isinstance(layer, nn.ConvTranspose2d),
    )


def _times(sizes: Sequence[int]) -> str:
    return "x".join(str(size) for size in sizes)
