"""Arrays: from what other libraries hold numbers in, and numbers that a mask lacks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(values: Any) -> NDArray:
    """What an array, a tensor, a frame or nested lists hold, not copied where that can be.

    A tensor of PyTorch may lie on any device, belong to a graph, and be bfloat16, which NumPy does
    not know and which becomes float32. Of a frame the names of its columns are lost.

    Raises:
        ValueError: rows of a list differ in length.

    Example:
        >>> as_array([[1, 2], [3, 4]])
        array([[1, 2],
               [3, 4]])
    """
    if _is_tensor(values):
        return _of_tensor(values)
    if isinstance(values, list | tuple) and values and all(map(_is_tensor, values)):
        return np.stack([_of_tensor(value) for value in values])
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError("The rows of a list must all have the same length.") from None


def not_filled(filled: NDArray[np.bool_], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the numbers (n,) that the mask does not mark, each once, in rising order."""
    wanted = np.zeros_like(filled)
    wanted[indices] = True
    return np.flatnonzero(wanted & ~filled)


def _is_tensor(values: Any) -> bool:
    """Whether it is a tensor of PyTorch, which need not be installed."""
    return hasattr(values, "detach") and hasattr(values, "cpu")


def _of_tensor(tensor: Any) -> NDArray:
    import torch

    tensor = tensor.detach().cpu()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())
