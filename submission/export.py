"""Writes a representation as the challenge takes it: TorchScript, or a function through dill.

The file needs nothing of this kit to be loaded. With a network of your own:

    from submission.export import export
    export(my_network, Path("scratch/shared/mine/representation/pytorch_model.pt"))
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.errors import KitError
from evaluation.common.files import readable_size, sha256_of, whole_file
from evaluation.common.images import CHALLENGE
from evaluation.common.terminal import console
from evaluation.representation.finding import refuse_others
from submission.canonical_torchscript import canonical, same_module

_BATCH_SIZES = (1, 2, 7)
_TOLERANCE = 1e-4
"""Of the largest code; TorchScript may join operations, which rounds differently."""


def export(
    module: nn.Module, path: Path, image_shape: Sequence[int] = CHALLENGE.channels_first
) -> None:
    """Writes `module`, images (N, 3, 64, 64) in [0, 1] to codes (N, D), and prints its SHA-256.

    It is written in evaluation mode: scripted if TorchScript understands its code, else traced.
    What was written is loaded again and compared with `module` at several batch sizes. The same
    module gives the same bytes everywhere, and a file that holds it already is left as it is.

    Args:
        module: The representation.
        path: Where to write it.
        image_shape: Channels, height and width of its images, if they are not the challenge's.

    Raises:
        KitError: it can be neither scripted nor traced, does not give such codes, the file
            computes something else or would do so on one device only, or a representation of
            another kind lies beside it.
    """
    refuse_others(path.parent, {path.name})
    with torch.no_grad():  # or the copies of a ScriptModule's parameters remember the originals
        module = copy.deepcopy(module).cpu().eval()
    images = _images(image_shape)
    expected = _checked_codes(_run(module, images), len(images))
    compiled = _compile(module, images)
    _refuse_pinned_devices(compiled)
    # By way of a buffer: saving to a path writes the temporary name into the file.
    content = canonical(compiled.save_to_buffer())
    if path.is_file() and same_module(path.read_bytes(), content):
        console.print(f"Reusing {path}", markup=False)
        return
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
        loaded = _quietly(torch.jit.load, str(temporary), map_location="cpu")
        _compare(lambda batch: _run(loaded, batch), images, expected)
    _announce(path, expected)


def export_function(
    function: Callable[[NDArray], NDArray],
    path: Path,
    image_shape: Sequence[int] = CHALLENGE.channels_first,
) -> None:
    """Writes a function, images (N, 3, 64, 64) in [0, 1] to codes (N, D), as NumPy arrays.

    A function of the script that runs is stored whole, one of an imported module by its name.

    Args:
        function: The representation.
        path: Where to write it.
        image_shape: Channels, height and width of its images, if they are not the challenge's.

    Raises:
        KitError: it cannot be stored, does not give such codes, the file computes something
            else, or a representation of another kind lies beside it.
    """
    import dill

    refuse_others(path.parent, {path.name})
    images = _images(image_shape)
    expected = _checked_codes(torch.as_tensor(function(images.numpy())), len(images))
    with whole_file(path) as temporary:
        try:
            temporary.write_bytes(dill.dumps(function, recurse=True))
            loaded = dill.loads(temporary.read_bytes())
        except Exception as error:  # dill raises whatever the objects that it meets do
            raise KitError(
                "EXPORT-DILL",
                f"the function cannot be stored by dill: {error}",
                "Keep open files, locks and the like out of it",
            ) from error
        _compare(lambda batch: torch.as_tensor(loaded(batch.numpy())), images, expected)
    _announce(path, expected)


def _images(image_shape: Sequence[int]) -> Tensor:
    shape = (max(_BATCH_SIZES), *image_shape)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _run(module: Any, images: Tensor) -> Any:
    with torch.inference_mode():
        # A copy, since a module may change its input in place.
        return module(images.clone())


def _checked_codes(codes: Any, count: int) -> Tensor:
    if not isinstance(codes, Tensor) or codes.ndim != 2 or len(codes) != count:
        shape = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise KitError(
            "EXPORT-CODES",
            f"{count} images give {shape}, not a tensor of ({count}, D)",
            "Flatten the codes",
        )
    if not codes.isfinite().all():
        raise KitError(
            "EXPORT-CODES", "some codes are NaN or infinite", "Look at the training's losses"
        )
    return codes


def _compile(module: nn.Module, images: Tensor) -> torch.jit.ScriptModule:
    if isinstance(module, torch.jit.ScriptModule):
        return module
    try:
        return _quietly(torch.jit.script, module)
    except Exception as refusal:  # the compiler has many ways to refuse
        try:
            return _quietly(torch.jit.trace, module, images)
        except Exception as error:
            raise KitError(
                "EXPORT-COMPILE",
                f"TorchScript can neither script the module ({refusal}) nor trace it ({error})",
                "Write its forward in the subset of Python that TorchScript knows",
            ) from error


def _refuse_pinned_devices(compiled: torch.jit.ScriptModule) -> None:
    """Tracing writes into the graph, as a constant, the device that a new tensor was put on."""
    graph: Any = compiled.inlined_graph
    constants = graph.findAllNodes("prim::Constant", recurse=True)
    if any(str(node.output().type()) == "Device" for node in constants):
        raise KitError(
            "EXPORT-DEVICE",
            "the module makes a tensor on a fixed device, so the file would run only there",
            "Make it a buffer, derive it from the input by arithmetic (`x - x + 1`), or take the "
            "device from the input in a module that TorchScript can script",
        )


def _compare(represent: Callable[[Tensor], Any], images: Tensor, expected: Tensor) -> None:
    for size in _BATCH_SIZES:
        codes = _checked_codes(represent(images[:size]), size)
        difference = float((codes - expected[:size]).abs().max())
        if difference > _TOLERANCE * float(expected.abs().max()):
            raise KitError(
                "EXPORT-DIFFERS",
                f"the file's codes of {size} images differ from the module's by {difference:.2g}",
                "Make the module's result independent of chance and of the batch's other images",
            )


def _quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls without PyTorch's advice against TorchScript, which is what the challenge takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return function(*arguments, **options)


def _announce(path: Path, codes: Tensor) -> None:
    dims = codes.shape[1]
    size = readable_size(path.stat().st_size)
    console.print(
        f"Exported {path} ({dims} codes, {size}, SHA-256 {sha256_of(path)})", markup=False
    )
