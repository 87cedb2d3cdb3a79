"""Which node of a tree each point has come to.

All points are gone through, which vector instructions do faster than lists of a node's members.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import subroutine


@subroutine
def part(
    values: NDArray[np.float32], cut: np.float32, number: np.uint8, node_of: NDArray[np.uint8]
) -> None:
    """Moves the members of a node to its children; what lies below the cut goes left."""
    left = np.uint8(2 * number + 1)
    for point in range(node_of.size):
        child = np.uint8(left + np.uint8(values[point] >= cut))
        node_of[point] = child if node_of[point] == number else node_of[point]


@subroutine
def find_members(
    node_of: NDArray[np.uint8], number: np.uint8, members: NDArray[np.uint32]
) -> np.int64:
    """Fills in the members of a node, ascending, and says how many they are."""
    count = np.uint64(0)
    for point in range(node_of.size):  # without a branch, as members cannot be predicted
        members[count] = point
        count += np.uint64(node_of[point] == number)
    return np.int64(count)
