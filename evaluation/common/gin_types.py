"""Checks that a gin value fits a type annotation, and describes annotations in words.

An int is accepted as a float, but True and False are accepted only as bool. Lists and tuples are
accepted for each other. `type[X]` needs a reference such as `@Y` to a configurable subclass of X.
"""

import inspect
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import gin


@dataclass(frozen=True)
class Range:
    """In `Annotated[kind, Range(a, b)]`: numbers that are at least a and below b."""

    at_least: float
    below: float = math.inf

    def allows(self, value: Any) -> bool:
        return bool(self.at_least <= value < self.below)

    def __str__(self) -> str:
        return f"at least {self.at_least}" + (
            f" and below {self.below}" if self.below < math.inf else ""
        )


@dataclass(frozen=True)
class OneOf:
    """In `Annotated[str, OneOf(names)]`: one of these strings."""

    names: tuple[str, ...]

    def allows(self, value: Any) -> bool:
        return value in self.names

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.names))


_PLAIN = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    type(None): "None",
}


def without_ranges(kind: Any) -> Any:
    """The annotation `kind` without its `Range`s."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated and isinstance(arguments[1], Range):
        return arguments[0]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(without_ranges, arguments))]  # noqa: UP007 - made here
    return kind


def is_of_kind(value: Any, kind: Any) -> bool:  # noqa: PLR0911 - one return for each kind
    """Whether `value`, as gin parsed it, fits the annotation `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if getattr(value, "evaluate", False):
        # `@f()` is replaced by what f returns, and that is not known before the call.
        return origin is not type
    if origin is Annotated:
        kind, constraint = arguments
        return is_of_kind(value, kind) and constraint.allows(value)
    if origin in (Union, types.UnionType):
        return any(is_of_kind(value, argument) for argument in arguments)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin is type:
        known = references_to(arguments[0])
        return hasattr(value, "configurable") and value.configurable.name in known
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(
            is_of_kind(key, arguments[0]) and is_of_kind(item, arguments[1])
            for key, item in value.items()
        )
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list | tuple):
            return False
        wanted = arguments if origin is tuple else arguments * len(value)
        return len(wanted) == len(value) and all(map(is_of_kind, value, wanted))
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return kind is Any or not inspect.isclass(kind) or isinstance(value, kind)


def describe(kind: Any) -> str:  # noqa: PLR0911 - one return for each kind
    """The annotation `kind` in words, for an error message."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Annotated:
        constraint = arguments[1]
        return (
            str(constraint)
            if isinstance(constraint, OneOf)
            else (f"{describe(arguments[0])}, {constraint}")
        )
    if origin in (Literal, type):
        return "one of " + ", ".join(choices(kind))
    if origin is tuple:
        return f"a list of {len(arguments)}, each {describe(arguments[0])}"
    if origin in (list, Sequence):
        return f"a list, each {describe(arguments[0])}"
    if origin in (dict, Mapping):
        return f"a dictionary from {describe(arguments[0])} to {describe(arguments[1])}"
    return " or ".join(map(describe, arguments)) or str(kind)


def choices(kind: Any) -> list[str]:
    """The values that `kind` lists one by one, as a config writes them; empty if it lists none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [repr(choice) for choice in arguments]
    if origin is Annotated:
        constraint = arguments[1]
        return [repr(name) for name in constraint.names] if isinstance(constraint, OneOf) else []
    if origin is type:
        return [f"@{name}" for name in references_to(arguments[0])]
    return [choice for argument in arguments for choice in choices(argument)]


def references_to(base: type) -> list[str]:
    """The sorted names of the configurable classes that are `base` or a subclass of it."""
    return sorted(
        configurable.name
        for _, configurable in gin.config._REGISTRY.items()
        if inspect.isclass(configurable.fn_or_cls) and issubclass(configurable.fn_or_cls, base)
    )
