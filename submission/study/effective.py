"""What a config and further bindings add up to, read without importing torch."""

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import gin

from evaluation.common import gin_config
from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.common.gin_sources import stand_ins
from submission import config

Place = tuple[str, str, str]
"""The scope of a binding, the whole name of its configurable, and its parameter."""

Bindings = Mapping[Place, str]
"""All bindings of a configuration, and their values as gin writes them."""

_MACRO = "gin.macro"
_OF_MACRO = re.compile(r"%([\w./]+)")


@dataclass(frozen=True)
class Config:
    """A gin file as it was when it was read.

    Args:
        bindings: Its bindings.
        places: Where each name leads that the study binds.
        text: The file with all that it includes, as one gin text.
        modules: The hashes of the user's modules that it imports.
    """

    bindings: Bindings
    places: Mapping[str, Place]
    text: str
    modules: tuple[str, ...]

    def with_bindings(self, own: Mapping[str, str]) -> Bindings:
        """Its bindings, and others by name that replace them. Macros are replaced by their values.

        So what differs in a macro alone has another key where the macro is used, and only there.
        """
        bound = {**self.bindings, **{self.places[name]: text for name, text in own.items()}}
        macros = {place[0]: text for place, text in bound.items() if place[1] == _MACRO}
        return {
            place: _without_macros(text, macros)
            for place, text in bound.items()
            if place[1] != _MACRO
        }


def read_config(path: Path, own: Collection[tuple[str, str]], study: Path) -> Config:
    """Reads a config, and checks it with each binding that a study adds.

    Args:
        path: The gin file.
        own: Names and values of all bindings of the study.
        study: The study's file, for messages.

    Raises:
        KitError: as in `gin_config.load`; `STUDY-TWICE`, two names are those of one binding.
    """
    texts = [f"{name} = {value}" for name, value in own]
    imports = gin_config.imported_modules(path, ())
    if imports:
        config.load(path)  # the user's modules may need our own
    with nullcontext() if imports else stand_ins("submission"):
        try:
            gin_config.load(path, texts)
        except KitError as error:
            problem = error.problem.replace("--binding ", f"{study}: ")
            raise KitError(error.code, problem, error.remedy) from None
        places = {name: _place_of(name) for name, _ in own}
        _require_distinct(places, study)
        gin_config.load(path)
        text = "".join(f"import {name}\n" for name in imports) + gin_config.effective()
        return Config(dict(_bound()), places, text, tuple(map(_digest_of_module, imports)))


def _require_distinct(places: Mapping[str, Place], study: Path) -> None:
    names: dict[Place, str] = {}
    for name, place in places.items():
        if names.setdefault(place, name) != name:
            raise KitError(
                "STUDY-TWICE",
                f"{study}: '{name}' and '{names[place]}' are one binding",
                "Leave one of them; the seeds of training are train.seeds",
            )


def _place_of(name: str) -> Place:
    scope, _, last = name.rpartition("/")
    if "." not in last:
        return name, _MACRO, "value"
    selector, _, parameter = last.rpartition(".")
    return (
        scope,
        gin.config.ParsedBindingKey((scope, selector, parameter)).complete_selector,
        parameter,
    )


def _without_macros(text: str, macros: Mapping[str, str]) -> str:
    """The text of a value with the values of macros; gin has refused macros of themselves."""
    found = _OF_MACRO.sub(lambda match: macros.get(match[1], match[0]), text)
    return text if found == text else _without_macros(found, macros)


def _digest_of_module(name: str) -> str:
    file = sys.modules[name].__file__
    return "" if file is None else sha256_of(Path(file))


def _bound() -> Iterable[tuple[Place, str]]:
    for (scope, selector), parameters in gin.config._CONFIG.items():
        for parameter, value in parameters.items():
            yield (scope, selector, parameter), repr(value)
