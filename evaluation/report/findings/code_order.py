"""One order of codes for all heat maps, in which a disentangled code shows as a diagonal."""

import numpy as np
from numpy.typing import NDArray


def carriers(relevance: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each factor a code of its own (k,), -1 where codes run out.

    Args:
        relevance: (d, k), the larger the more a code tells of a factor. The pairs are those with
            the largest sum.
    """
    from scipy.optimize import linear_sum_assignment

    codes, factors = linear_sum_assignment(np.nan_to_num(relevance), maximize=True)
    found = np.full(relevance.shape[1], -1, dtype=np.int64)
    found[factors] = codes
    return found


def order_codes(relevance: NDArray[np.float64]) -> NDArray[np.int64]:
    """The numbers (d,) of all codes: each factor's carrier in turn, then the others.

    The others come by the factor that they tell most of, and then by how much.

    Example:
        >>> order_codes(np.array([[0.1, 0.2], [0.0, 0.9], [0.8, 0.1]]))
        array([2, 1, 0])
    """
    known = np.nan_to_num(relevance)
    first = [code for code in carriers(known) if code >= 0]
    rest = [code for code in range(len(known)) if code not in set(first)]
    rest.sort(key=lambda code: (int(known[code].argmax()), -float(known[code].max())))
    return np.array([*first, *rest], dtype=np.int64)
