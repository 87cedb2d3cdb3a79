"""The three kinds of representation, loaded to functions of images. Runs in the worker only.

Nothing here imports a framework before the kind needs it.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.images import as_floats
from evaluation.common.parts import Parts
from evaluation.representation.refusals import RefusalError

Encode = Callable[[NDArray], NDArray]
"""Maps images (n, height, width, channels) to whatever the representation makes of them."""

PLAIN = "plain"
"""The representation as it was handed in, called as the challenge's kit calls it."""

OPTIMISED = "optimised"
"""The same in its fastest form in float32, where the kind has one."""

BF16 = "bf16"
"""The same in bfloat16, where that was asked for and the kind has such a form."""

_FEWEST_IMAGES = 8
"""Of a thread's part of a batch: fewer are slower, since each part reads all weights."""

SIGNATURE = "representation"
INPUT = "images"


def load(kind: str, path: Path, device: str, precision: str, parts: Parts) -> dict[str, Encode]:
    """The forms of the representation at `path`, by name; PLAIN is always among them.

    Args:
        parts: What a GPU's memory takes at once, for the kinds that can be asked.

    Raises:
        RefusalError: for what is recognised; anything that loading raises passes through.
    """
    return _LOADERS[kind](path, device, precision, parts)


def _load_torchscript(path: Path, device: str, precision: str, parts: Parts) -> dict[str, Encode]:
    import torch

    from evaluation.representation.torchscript import checks, packed
    from evaluation.representation.torchscript.threads import in_threads

    # float32 is float32: no TF32 in convolutions.
    torch.backends.cudnn.allow_tf32 = False
    try:
        module = torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        cause = str(error).partition(". ")[0]  # advice and a trace of C++ follow
        raise RefusalError(
            "REPRESENTATION-LOAD", f"is no TorchScript that loads: {cause}"
        ) from None
    checks.refuse_files(module)

    def encode(run: Any, images: NDArray, memory_format: torch.memory_format) -> NDArray:
        # NHWC bytes seen as NCHW are in channels-last order already.
        batch = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        # A copy in any case: what is handed in may change its input in place.
        batch = batch.to(torch.float32, memory_format=memory_format, copy=True)
        if images.dtype == np.uint8:
            batch.div_(255)
        with torch.inference_mode():
            codes = run(batch)
        checks.refuse_other_than_dense(codes)
        return codes.cpu().float().numpy() if codes.is_floating_point() else codes.cpu().numpy()

    forms: dict[str, Encode] = {
        PLAIN: lambda images: encode(module, images, torch.contiguous_format)
    }

    def add_fast(form: str, dtype: torch.dtype) -> None:
        try:
            # Fails for a module in training mode, which must be seen to be so.
            fast = torch.jit.freeze(torch.jit.load(str(path), map_location=device))
            if device == "cpu" and torch.backends.mkldnn.is_available():
                # Fails where the processor has no bfloat16.
                packed.pack_convolutions(fast, dtype)
        except RuntimeError:
            return

        def encode_fast(images: NDArray) -> NDArray:
            # Autocast leaves packed convolutions alone, and does the rest.
            in_bf16 = dtype == torch.bfloat16
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=in_bf16):
                return encode(fast, images, torch.channels_last)

        def encode_in_threads(images: NDArray) -> NDArray:
            parts = max(1, min(torch.get_num_threads(), len(images) // _FEWEST_IMAGES))
            split = np.array_split(images, parts)
            return np.concatenate(list(in_threads(encode_fast, split, parts)))

        forms[form] = encode_in_threads if device == "cpu" else encode_fast

    add_fast(OPTIMISED, torch.float32)
    if precision == "bf16":
        add_fast(BF16, torch.bfloat16)
    return {name: _in_parts(form, parts) for name, form in forms.items()}


def _in_parts(encode: Encode, parts: Parts) -> Encode:
    """`encode` by parts of the batch where a GPU's memory does not take the whole."""

    def encode_parts(images: NDArray) -> NDArray:
        return parts.run(
            len(images),
            lambda slices: np.concatenate([encode(images[part]) for part in slices]),
        )

    return encode_parts


def _load_dill(path: Path, *_: Any) -> dict[str, Encode]:
    import dill

    try:
        with path.open("rb") as stream:
            function = dill.load(stream)
    except ModuleNotFoundError as error:
        raise RefusalError("REPRESENTATION-MODULE", f"needs the module {error.name}") from None
    except (pickle.UnpicklingError, EOFError) as error:
        raise RefusalError("REPRESENTATION-LOAD", f"is no dill file that loads: {error}") from None
    if not callable(function):
        problem = f"holds a {type(function).__name__}, which cannot be called"
        raise RefusalError("REPRESENTATION-LOAD", problem)

    def encode(images: NDArray) -> NDArray:
        return np.asarray(function(as_floats(np.array(images.transpose(0, 3, 1, 2), order="C"))))

    return {PLAIN: encode}


def _load_saved_model(path: Path, device: str, *_: Any) -> dict[str, Encode]:
    import tensorflow as tf

    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    try:
        model = tf.saved_model.load(str(path))
    except (OSError, ValueError) as error:
        raise RefusalError("REPRESENTATION-LOAD", f"is no SavedModel that loads: {error}") from None
    if SIGNATURE not in model.signatures:
        known = ", ".join(sorted(model.signatures)) or "none"
        raise RefusalError("REPRESENTATION-SIGNATURE", f"has no signature {SIGNATURE}, but {known}")
    function = model.signatures[SIGNATURE]
    inputs = list(function.structured_input_signature[1])
    if inputs != [INPUT]:
        problem = f"has a signature with the inputs {inputs}, not [{INPUT!r}]"
        raise RefusalError("REPRESENTATION-SIGNATURE", problem)
    outputs = list(function.structured_outputs)
    if "default" not in outputs and len(outputs) != 1:
        raise RefusalError("REPRESENTATION-SIGNATURE", f"has outputs {outputs}, and no 'default'")
    output = "default" if "default" in outputs else outputs[0]

    def encode(images: NDArray) -> NDArray:
        batch = tf.constant(as_floats(images))
        # `model` stays in this closure: TensorFlow frees a signature's variables with its model.
        return (model, function(**{INPUT: batch})[output])[1].numpy()

    return {PLAIN: encode}


_LOADERS: dict[str, Callable[[Path, str, str, Parts], dict[str, Encode]]] = {
    "torchscript": _load_torchscript,
    "dill": _load_dill,
    "savedmodel": _load_saved_model,
}
