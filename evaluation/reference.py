"""disentanglement_lib as the other engine: its own functions under the challenge's protocol."""

import inspect
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import gin
import numpy as np
from numpy.random import RandomState

from evaluation.common.errors import KitError
from evaluation.metrics import Metric

# disentanglement_lib uses `gin.tf` only as gin, and gin's own needs a part of TensorFlow that is no
# more.
sys.modules.setdefault("gin.tf", gin)
gin.tf = gin

_BINDINGS = """
prune_dims.threshold = 0.05
discretizer.discretizer_fn = @histogram_discretizer
discretizer.num_bins = 20
"""


def load(metric: Metric) -> Callable[..., dict[str, Any]]:
    """disentanglement_lib's function for `metric`, to be called as ours is.

    It takes the protocol's values, which are our function's defaults. numpy's global stream is
    seeded before it runs, since its boosting draws from that, so that a run repeats. It raises
    `KitError` `REFERENCE-FAILS` on codes that disentanglement_lib cannot score, one dim, say.
    """
    assert metric.reference is not None
    module, name = metric.reference.rsplit(".", 1)
    logging.disable(logging.WARNING)  # gin deprecates an argument that all of its modules use
    function = getattr(import_module(module), name)
    import_module("disentanglement_lib.evaluation.metrics.factor_vae")  # has prune_dims
    logging.disable(logging.NOTSET)
    with gin.unlock_config():
        gin.parse_config(_BINDINGS)
    theirs = inspect.signature(function).parameters
    protocol = {
        parameter.name: parameter.default
        for parameter in inspect.signature(metric.load()).parameters.values()
        if parameter.name in theirs and parameter.default is not parameter.empty
    }

    def compute(
        ground_truth_data: Any, codes: Any, random_state: RandomState, **settings: Any
    ) -> dict[str, Any]:
        np.random.set_state(random_state.get_state())
        try:
            return function(ground_truth_data, codes, random_state, **{**protocol, **settings})
        except (ArithmeticError, AssertionError, IndexError, ValueError) as error:
            raise KitError(
                "REFERENCE-FAILS",
                f"disentanglement_lib's {metric.name} fails on these codes: {error}",
                "Choose the engine fast, or other metrics",
            ) from error

    return compute
