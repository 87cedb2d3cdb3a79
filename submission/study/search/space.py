"""The settings that a search chooses from, as Optuna's distributions.

A parameter of Optuna is the place of a binding in the file, and a choice the place in its list: Ray
splits names at slashes, and Optuna's choices cannot be lists.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from submission.study.description import Drawn, Search
from submission.study.settings import Setting

if TYPE_CHECKING:  # an extra, which takes a second to import
    from optuna.distributions import BaseDistribution

Parameters = Mapping[str, Any]


def distributions(search: Search) -> "dict[str, BaseDistribution]":
    """A distribution for each binding that a search varies."""
    drawn = search.bindings.values()
    return {f"p{place}": _distribution(one) for place, one in enumerate(drawn)}


def setting_of(search: Search, parameters: Parameters) -> Setting:
    """The bindings that Optuna's parameters stand for."""
    return {
        name: drawn.choice[parameters[f"p{place}"]] if drawn.choice else parameters[f"p{place}"]
        for place, (name, drawn) in enumerate(search.bindings.items())
    }


def parameters_of(search: Search, setting: Setting) -> dict[str, Any] | None:
    """Optuna's parameters of a setting; None if the search cannot come to it any more."""
    if setting.keys() != search.bindings.keys():
        return None
    parameters: dict[str, Any] = {}
    for place, (name, drawn) in enumerate(search.bindings.items()):
        value = setting[name]
        if drawn.choice is not None:
            if value not in drawn.choice:
                return None
            value = drawn.choice.index(value)
        elif not _bounds(drawn)[0] <= value <= _bounds(drawn)[1]:
            return None
        parameters[f"p{place}"] = value
    return parameters


def extremes(search: Search) -> list[Setting]:
    """Settings that differ in one binding each: all its choices, or both its bounds."""
    values = {name: drawn.choice or _bounds(drawn) for name, drawn in search.bindings.items()}
    first = {name: listed[0] for name, listed in values.items()}
    return [first, *({**first, name: one} for name, all_ in values.items() for one in all_[1:])]


def _bounds(drawn: Drawn) -> tuple[Any, Any]:
    bounds = drawn.integer or drawn.uniform or drawn.log_uniform
    assert bounds is not None  # `reading` has refused it
    return bounds


def _distribution(drawn: Drawn) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if drawn.choice is not None:
        return CategoricalDistribution(tuple(range(len(drawn.choice))))
    low, high = _bounds(drawn)
    if drawn.integer is not None:
        return IntDistribution(low, high)
    return FloatDistribution(low, high, log=drawn.log_uniform is not None)
