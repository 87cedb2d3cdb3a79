"""e to the power of many numbers at once, to the last bit what the C library's `exp` gives.

glibc's `exp` (2.28 and later, from ARM's optimized-routines) is a polynomial of degree 5 around the
nearest of 128 powers of two a step. Compiled for vectors of numbers the same steps take half the
time. Other C libraries have other steps, so `tables` looks first whether all bits agree.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from evaluation.common.compiled import njit, subroutine

_STEPS = 128
_PER_STEP = float.fromhex("0x1.71547652b82fep0") * _STEPS  # log2(e) steps
_TO_WHOLE = float.fromhex("0x1.8p52")  # what is added to this is rounded to a whole number
_MINUS_STEP = float.fromhex("-0x1.62e42fefa0000p-8"), float.fromhex("-0x1.cf79abc9e3b39p-47")
_POLYNOMIAL = tuple(
    map(
        float.fromhex,
        (
            "0x1.ffffffffffdbdp-2",
            "0x1.555555555543cp-3",
            "0x1.55555cf172b91p-5",
            "0x1.1111167a4d017p-7",
        ),
    )
)
_LEAST = -512.0
"""Below, the C library takes other steps, as results may be too small for all their bits."""


class Tables(NamedTuple):
    """Powers of two from 0 to 1 in 128 steps, or of no length where vectors are not to be used.

    Args:
        bits: Of the nearest float, less the step times 2^45.
        rest: What the power is more, as a share of that float.
    """

    bits: NDArray[np.int64]
    rest: NDArray[np.float64]


@cache
def tables() -> Tables:
    """What `exponentials` needs on this machine."""
    found = _powers()
    numbers = np.random.default_rng(0).uniform(-1.0, 0.0, 40_000) * np.repeat(
        (1e-3, 1, 30, 512), 10_000
    )
    by_vectors, by_library = np.empty((2, len(numbers)))
    exponentials(numbers, by_vectors, found)
    nothing = Tables(np.empty(0, np.int64), np.empty(0))
    exponentials(numbers, by_library, nothing)
    return found if np.array_equal(by_vectors, by_library) else nothing


def _powers() -> Tables:
    powers = Tables(np.empty(_STEPS, np.int64), np.empty(_STEPS))
    with localcontext() as context:
        context.prec = 50
        for step in range(_STEPS):
            power = Decimal(2) ** (Decimal(step) / _STEPS)
            powers.bits[step] = np.float64(power).view(np.int64) - (step << 45)
            powers.rest[step] = float(power / Decimal(float(power)) - 1)
    return powers


@intrinsic
def _fused(context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001 - numba's signature
    """a b + c, rounded once."""
    double = ir.DoubleType()

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(double, [double] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.f64"), arguments
        )

    return types.float64(types.float64, types.float64, types.float64), code


fused: Callable[[float, float, float], float] = cast(Any, _fused)


@subroutine
def add_exponentials(
    numbers: NDArray[np.float64],
    largest: NDArray[np.float64],
    found: NDArray[np.float64],
    total: NDArray[np.float64],
    scratch: NDArray[np.float64],
    tables: Tables,
) -> None:
    """Computes powers of e of differences, and adds them up.

    Args:
        numbers: (m,).
        largest: What is taken away from them, no less than they are (m,).
        found: e to the powers of the differences (m,), filled; other memory than the numbers'.
        total: To which `found` is added (m,).
        scratch: (2 or more, m or more), overwritten.
        tables: What `tables` returns.
    """
    bits, rest = tables.bits, tables.rest
    steps, scales = scratch[0][: numbers.size], scratch[1][: numbers.size]
    steps_bits, scale_bits = steps.view(np.int64), scales.view(np.int64)
    too_low = 0
    for k in range(numbers.size):
        difference = numbers[k] - largest[k]
        steps[k] = fused(_PER_STEP, difference, _TO_WHOLE)
        too_low += 0 if difference >= _LEAST else 1
    if bits.size == 0 or too_low > 0:
        for k in range(numbers.size):
            found[k] = np.exp(numbers[k] - largest[k])
            total[k] += found[k]
        return
    # Loops that read and write few arrays each, as LLVM makes vectors only of such.
    for k in range(numbers.size):
        scale_bits[k] = bits[np.uint64(steps_bits[k]) & np.uint64(127)] + (steps_bits[k] << 45)
    for k in range(numbers.size):
        found[k] = rest[np.uint64(steps_bits[k]) & np.uint64(127)]
    for k in range(numbers.size):
        step = steps[k] - _TO_WHOLE
        difference = numbers[k] - largest[k]
        steps[k] = fused(step, _MINUS_STEP[1], fused(step, _MINUS_STEP[0], difference))
    for k in range(numbers.size):
        r = steps[k]
        square = r * r
        low = fused(r, _POLYNOMIAL[1], _POLYNOMIAL[0])
        high = fused(r, _POLYNOMIAL[3], _POLYNOMIAL[2])
        more = fused(square * square, high, fused(square, low, found[k] + r))
        found[k] = fused(scales[k], more, scales[k])
    for k in range(numbers.size):
        total[k] += found[k]


@njit
def exponentials(numbers: NDArray[np.float64], found: NDArray[np.float64], tables: Tables) -> None:
    """`add_exponentials` of the numbers themselves, none above 0, for callers in Python."""
    nothing, total = np.zeros((2, numbers.size))
    add_exponentials(numbers, nothing, found, total, np.empty((2, numbers.size)), tables)
