"""Every name that a config may set: what it means, its default, and what the reports used."""

import inspect
from functools import cache
from typing import Any

import gin
import griffe

from docs.made.networks import CONFIGS
from docs.made.tables import table

REPORTED = {
    "Stage 1": ("stage1.gin",),
    "Stage 2": ("stage2_finetuning.gin", "stage2_vae.gin"),
}
"""The configs that follow the reports."""

_OURS = ("evaluation.", "submission.")
"""Other packages that the same process imports register names, too."""


def by_configurable() -> str:
    """A heading for each configurable, from A to Z, and a table of its parameters."""
    reported = {stage: _settings(files) for stage, files in REPORTED.items()}
    parts = []
    for name, target in sorted(configurables().items(), key=lambda item: item[0].lower()):
        meanings = meanings_of(target)
        rows = [
            [
                f"`{parameter}`",
                meanings.get(parameter, ""),
                _default(given.default),
                *(values.get(f"{name}.{parameter}", "") for values in reported.values()),
            ]
            for parameter, given in parameters_of(name).items()
        ]
        header = ["Parameter", "Meaning", "Default", *REPORTED]
        shown = table(header, rows) if rows else "It has no parameter."
        parts.append(f"## {name}\n\n{_summary(target)}\n\n{shown}")
    return "\n\n".join(parts)


@cache
def configurables() -> dict[str, Any]:
    """The name of each configurable of the kit, and the function or class that it is."""
    from submission import config

    config.load(CONFIGS / "stage1.gin", ())  # registers all
    gin.clear_config()
    registry = gin.config._REGISTRY  # gin 0.4.0 has no public list
    return {
        registry.minimal_selector(selector): one.fn_or_cls
        for selector, one in registry.items()
        if one.fn_or_cls.__module__.startswith(_OURS)
    }


def parameters_of(name: str) -> dict[str, inspect.Parameter]:
    """What a config may set of a configurable."""
    denied = gin.config._REGISTRY.get_match(name).denylist or ()
    given = inspect.signature(configurables()[name]).parameters
    return {parameter: one for parameter, one in given.items() if parameter not in denied}


def meanings_of(target: Any) -> dict[str, str]:
    """Parameter -> what the docstring says of it, the nearest base class first."""
    owners = target.__mro__[:-1] if inspect.isclass(target) else (target,)
    found: dict[str, str] = {}
    for owner in owners:
        for text in (owner.__doc__, getattr(owner.__dict__.get("__init__"), "__doc__", None)):
            for section in griffe.Docstring(inspect.cleandoc(text or "")).parse(
                "google", warnings=False
            ):
                if section.kind is griffe.DocstringSectionKind.parameters:
                    for one in section.value:
                        for parameter in one.name.split(", "):
                            found.setdefault(parameter, " ".join(one.description.split()))
    return found


def _summary(target: Any) -> str:
    return inspect.cleandoc(target.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "must be set"
    return f"`{value.__name__ if inspect.isclass(value) else repr(value)}`"


def _settings(files: tuple[str, ...]) -> dict[str, str]:
    """What configs set, by name; two values where the steps of a stage differ."""
    found: dict[str, str] = {}
    for file in files:
        for line in (CONFIGS / file).read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("#")[0].partition(" = ")
            if equals:
                shown, name = f"`{value.strip()}`", name.strip()
                before = found.get(name)
                found[name] = shown if before in (None, shown) else f"{before}, then {shown}"
    return found
