"""Writes a representation in a format of the challenge: TorchScript, or a function with dill.

The file can be loaded without this kit. To export your own network:

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
"""The largest difference, relative to the largest code. TorchScript may fuse operations, and so
round differently."""


def export(
    module: nn.Module, path: Path, image_shape: Sequence[int] = CHALLENGE.channels_first
) -> None:
    """Writes `module` as TorchScript, and prints the SHA-256 of the file.

    The module is written in evaluation mode: scripted if TorchScript understands its code, else
    traced. The file is loaded again and compared with `module` at several batch sizes. The same
    module gives the same bytes on every machine. If the file holds the module already, it is not
    written again.

    Args:
        module: Maps images (N, channels, height, width) in [0, 1] to codes (N, D).
        path: The file to write.
        image_shape: Channels, height and width of its images.

    Raises:
        KitError: `EXPORT-COMPILE`, TorchScript can neither script nor trace it; `EXPORT-CODES`, its
            result is not a finite table of codes; `EXPORT-DEVICE`, it would run on one device
            only; `EXPORT-DIFFERS`, the file computes other codes. Also if the folder holds a
            representation of another kind.
    """
    refuse_others(path.parent, {path.name})
    with torch.no_grad():  # otherwise a copied ScriptModule keeps autograd links to the original
        module = copy.deepcopy(module).cpu().eval()
    images = _images(image_shape)
    expected = _checked_codes(_run(module, images), len(images))
    compiled = _compile(module, images)
    _refuse_pinned_devices(compiled)
    # Saved to a buffer, because saving to a path writes the temporary name into the file.
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
    """Writes a function of NumPy arrays with dill.

    dill stores the code of a function that the main script defines. Of a function in an imported
    module it stores only the name.

    Args:
        function: Maps images (N, channels, height, width) in [0, 1] to codes (N, D).
        path: The file to write.
        image_shape: Channels, height and width of its images.

    Raises:
        KitError: `EXPORT-DILL`, dill cannot store it; `EXPORT-CODES`, its result is not a finite
            table of codes; `EXPORT-DIFFERS`, the file computes other codes. Also if the folder
            holds a representation of another kind.
    """
    import dill

    refuse_others(path.parent, {path.name})
    images = _images(image_shape)
    expected = _checked_codes(torch.as_tensor(function(images.numpy())), len(images))
    with whole_file(path) as temporary:
        try:
            temporary.write_bytes(dill.dumps(function, recurse=True))
            loaded = dill.loads(temporary.read_bytes())
        except Exception as error:  # the stored objects may raise exceptions of any kind
            raise KitError(
                "EXPORT-DILL",
                f"dill cannot store the function: {error}",
                "Remove objects such as open files and locks from the function",
            ) from error
        _compare(lambda batch: torch.as_tensor(loaded(batch.numpy())), images, expected)
    _announce(path, expected)


def _images(image_shape: Sequence[int]) -> Tensor:
    shape = (max(_BATCH_SIZES), *image_shape)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _run(module: Any, images: Tensor) -> Any:
    with torch.inference_mode():
        # A module may change its input in place, so it gets a copy.
        return module(images.clone())


def _checked_codes(codes: Any, count: int) -> Tensor:
    if not isinstance(codes, Tensor) or codes.ndim != 2 or len(codes) != count:
        shape = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
        raise KitError(
            "EXPORT-CODES",
            f"{count} images give {shape}, not a tensor of shape ({count}, D)",
            "Flatten the codes to one row for each image",
        )
    if not codes.isfinite().all():
        raise KitError(
            "EXPORT-CODES", "some codes are NaN or infinite", "Look at the losses of the training"
        )
    return codes


def _compile(module: nn.Module, images: Tensor) -> torch.jit.ScriptModule:
    if isinstance(module, torch.jit.ScriptModule):
        return module
    try:
        return _quietly(torch.jit.script, module)
    except Exception as refusal:  # the compiler raises exceptions of many kinds
        try:
            return _quietly(torch.jit.trace, module, images)
        except Exception as error:
            raise KitError(
                "EXPORT-COMPILE",
                f"TorchScript can neither script the module ({refusal}) nor trace it ({error})",
                "Write its forward in the subset of Python that TorchScript supports",
            ) from error


def _refuse_pinned_devices(compiled: torch.jit.ScriptModule) -> None:
    """Refuses a graph with a fixed device: tracing stores the device of each new tensor.

    Raises:
        KitError: `EXPORT-DEVICE`.
    """
    graph: Any = compiled.inlined_graph
    constants = graph.findAllNodes("prim::Constant", recurse=True)
    if any(str(node.output().type()) == "Device" for node in constants):
        raise KitError(
            "EXPORT-DEVICE",
            "the module makes a tensor on a fixed device, so the file would run only there",
            "Make the tensor a buffer, compute it from the input (`x - x + 1`), or make the module "
            "scriptable and use the device of the input",
        )


def _compare(represent: Callable[[Tensor], Any], images: Tensor, expected: Tensor) -> None:
    for size in _BATCH_SIZES:
        codes = _checked_codes(represent(images[:size]), size)
        difference = float((codes - expected[:size]).abs().max())
        if difference > _TOLERANCE * float(expected.abs().max()):
            raise KitError(
                "EXPORT-DIFFERS",
                f"the file's codes of {size} images differ from the module's by {difference:.2g}",
                "Make each code depend only on its own image, and use no random numbers",
            )


def _quietly(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls `function` without PyTorch's warning that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return function(*arguments, **options)


def _announce(path: Path, codes: Tensor) -> None:
    dims = codes.shape[1]
    size = readable_size(path.stat().st_size)
    console.print(
        f"Exported {path} ({dims} codes, {size}, SHA-256 {sha256_of(path)})", markup=False
    )
