"""What a config and further bindings add up to, read without importing torch."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin

from evaluation.common import gin_config
from evaluation.common.errors import KitError
from evaluation.common.gin_sources import stand_ins
from submission import config

Place = tuple[str, str, str]
"""The scope of a binding, the whole name of its configurable, and its parameter."""

Bindings = Mapping[Place, str]
"""All bindings of a configuration, and their values as gin writes them."""


@dataclass(frozen=True)
class Config:
    """A gin file as it was when it was read.

    Args:
        bindings: Its bindings.
        places: Where each name leads that the study binds.
        text: The file with all that it includes, as one gin text.
    """

    bindings: Bindings
    places: Mapping[str, Place]
    text: str

    def with_bindings(self, own: Mapping[str, str]) -> Bindings:
        """Its bindings, and others by name that replace them."""
        return {**self.bindings, **{self.places[name]: text for name, text in own.items()}}


def read_config(path: Path, own: Collection[tuple[str, str]], study: Path) -> Config:
    """Reads a config, and checks it with each binding that a study adds.

    Args:
        path: The gin file.
        own: Names and values of all bindings of the study.
        study: The study's file, for messages.

    Raises:
        KitError: as in `gin_config.load`.
    """
    texts = [f"{name} = {value}" for name, value in own]
    names = dict.fromkeys(name for name, _ in own)
    imports = gin_config.imports_modules(path, ())
    if imports:
        config.load(path)  # the user's modules may need our own
    with nullcontext() if imports else stand_ins("submission"):
        try:
            gin_config.load(path, texts)
        except KitError as error:
            problem = error.problem.replace("--binding ", f"{study}: ")
            raise KitError(error.code, problem, error.remedy) from None
        places = {name: _place_of(name, dict(own)[name]) for name in names}
        gin_config.load(path)
        return Config(dict(_bound()), places, _imports(path) + gin_config.effective())


def _place_of(name: str, value: str) -> Place:
    gin_config.load(None, [f"{name} = {value}"])
    return next(place for place, _ in _bound() if place[1] != "gin.macro")


def _bound() -> Iterable[tuple[Place, str]]:
    for (scope, selector), parameters in gin.config._CONFIG.items():
        for parameter, value in parameters.items():
            yield (scope, selector, parameter), _text(value)


def _text(value: Any) -> str:
    return repr(value)


def _imports(path: Path) -> str:
    """The lines of a gin file that import the user's modules."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(("import ", "from ")))
