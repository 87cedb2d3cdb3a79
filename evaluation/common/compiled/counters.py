"""Counters that threads of compiled code share: for what is to be done next, and what is done."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from evaluation.common.compiled import subroutine

Counters = NDArray[np.int64]


@intrinsic
def _increased(context: Any, counters: Any, number: Any) -> Any:  # noqa: ARG001 - numba's signature
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(counters, number), code


@intrinsic
def _read(context: Any, counters: Any, number: Any) -> Any:  # noqa: ARG001 - numba's signature
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature, arguments)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(counters, number), code


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array_type = signature.args[0]
    array = context.make_array(array_type)(context, builder, arguments[0])
    return cgutils.get_item_pointer(
        context, builder, array_type, array, [arguments[1]], wraparound=False
    )


increased: Callable[[Counters, int], int] = cast(Any, _increased)
"""Adds one to a counter, and says what it was before. No two threads get the same number."""

read: Callable[[Counters, int], int] = cast(Any, _read)

_let_others_run: Any = types.ExternalFunction("sched_yield", types.intc())


@subroutine
def wait_for(counters: Counters, number: int, least: int) -> None:
    """Returns when a counter has come to `least`."""
    while read(counters, number) < least:
        _let_others_run()
