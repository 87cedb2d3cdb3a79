"""Reads configs in gin, and checks each name and value before anything runs.

A binding is refused, with its file and line, if no configurable has that name or if the value does
not fit the type annotation. Otherwise gin's own rules apply: the last of two bindings wins, and
macros, scopes, `import` and `include` work.
"""

import difflib
import importlib
import inspect
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import gin
from gin.config import ParserDelegate
from gin.config_parser import BindingStatement, ConfigParser, ImportStatement

from evaluation.common.errors import KitError
from evaluation.common.gin_types import choices, describe, is_of_kind, without_ranges


def load(path: Path | None, bindings: Sequence[str] = ()) -> None:
    """Replaces the whole configuration by a gin file and then `bindings`.

    The modules that define the file's configurables must be imported before.

    Args:
        path: The file; None for none.
        bindings: Each of the form "name.parameter = value".

    Raises:
        KitError: unreadable file, wrong syntax, unknown name, or value of the wrong kind. The
            message gives the file, the line and the nearest name that exists.
    """
    gin.clear_config()
    found = [] if path is None else list(_file_bindings(path))
    for text in bindings:
        found += _bindings(text, f"--binding '{text}'")
    kinds = _kinds()
    for binding in found:
        binding.bind(kinds)
    # A file may set a macro after it uses it, so values are checked when everything is bound.
    for binding in found:
        binding.check(kinds)


def effective() -> str:
    """The current configuration as gin text; loading it gives the same configuration again."""
    return gin.config_str()


def sets(configurable: str) -> bool:
    """Whether the current configuration binds any parameter of `configurable`."""
    return any(selector.split(".")[-1] == configurable for _, selector in gin.config._CONFIG)


def imported_modules(path: Path, bindings: Sequence[str]) -> list[str]:
    """The modules that a gin file, the files that it includes, and `bindings` import.

    Raises:
        KitError: unreadable file or wrong syntax, as in `load`.
    """
    parsed = [
        _file_statements(path),
        *(_statements(each, f"--binding '{each}'") for each in bindings),
    ]
    return [
        statement.module
        for part in parsed
        for _, statement in part
        if isinstance(statement, ImportStatement)
    ]


@gin.configurable
def get_eval_metrics(metrics: Sequence[str] | None = None) -> list[str] | None:
    """Names of the metrics to grade with; None means the challenge's five.

    Args:
        metrics: Keys of `evaluation.metrics.METRICS`.
    """
    return None if metrics is None else list(metrics)


@dataclass(frozen=True)
class _Binding:
    """One `scope/selector.parameter = value`; without a parameter it sets a macro."""

    scope: str
    selector: str
    parameter: str
    value: Any
    where: str

    @property
    def name(self) -> str:
        """`configurable.parameter`, without a module path before it."""
        found = gin.config._REGISTRY.matching_selectors(self.selector)
        short = gin.config._REGISTRY.minimal_selector(found[0]) if found else self.selector
        return f"{short}.{self.parameter}"

    def bind(self, kinds: dict[str, Any]) -> None:
        if not self.parameter:
            macro = "/".join(filter(None, (self.scope, self.selector)))
            gin.bind_parameter((macro, "gin.macro", "value"), self.value)
            return
        if self.name not in kinds:
            _refuse_name(self.where, f"binding '{self.name}'", self.name, kinds)
        gin.bind_parameter((self.scope, self.selector, self.parameter), self.value)

    def check(self, kinds: dict[str, Any]) -> None:
        if not self.parameter:
            return
        kind = kinds[self.name]
        value = self._resolved(self.value, kinds)
        if is_of_kind(value, kind):
            return
        if is_of_kind(value, without_ranges(kind)):
            raise KitError(
                "CONFIG-RANGE",
                f"{self.where}: binding '{self.name}' is {value!r}, and must be {describe(kind)}",
                f"Give '{self.name}' a value in that range",
            )
        allowed = choices(kind)
        nearest = f" (nearest: {_nearest(repr(value), allowed)})" if allowed else ""
        raise KitError(
            "CONFIG-VALUE",
            f"{self.where}: binding '{self.name}' is {value!r}, not {describe(kind)}{nearest}",
            f"Give '{self.name}' a value of that kind",
        )

    def _resolved(self, value: Any, kinds: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
        """`value` with its macros replaced, after a check that every reference exists.

        Args:
            within: The macros whose values hold `value`.
        """
        if isinstance(value, list | tuple):
            return type(value)(self._resolved(item, kinds, within) for item in value)
        if isinstance(value, dict):
            return {key: self._resolved(item, kinds, within) for key, item in value.items()}
        if not hasattr(value, "selector"):
            return value
        if not hasattr(value, "configurable"):
            references = choices(kinds[self.name]) or [f"@{name.split('.')[0]}" for name in kinds]
            what = f"binding '{self.name}' is '@{value.selector}', which"
            _refuse_name(self.where, what, f"@{value.selector}", references)
        if value.configurable.selector != "gin.macro":
            return value
        macro = "/".join(value.scopes)
        if macro in within:
            raise KitError(
                "CONFIG-VALUE",
                f"{self.where}: binding '{self.name}' uses the macro '%{macro}', whose value is "
                "that macro itself",
                f"Give '{macro}' a value without '%{macro}'",
            )
        try:
            held = gin.query_parameter(f"{macro}/gin.macro.value")
        except ValueError:
            raise KitError(
                "CONFIG-NAME",
                f"{self.where}: binding '{self.name}' uses the macro '%{macro}', which is not set",
                f"Add a line '{macro} = VALUE'",
            ) from None
        return self._resolved(held, kinds, (*within, macro))


def _file_bindings(path: Path) -> Iterator[_Binding]:
    return _bound_by(_file_statements(path))


def _bindings(text: str, origin: str) -> Iterator[_Binding]:
    return _bound_by(_statements(text, origin))


def _bound_by(statements: Iterable[tuple[str, Any]]) -> Iterator[_Binding]:
    """The bindings among statements. Import statements are run in between."""
    for where, statement in statements:
        if isinstance(statement, ImportStatement):
            _import(statement.module, where)
        else:
            scope, selector, parameter, value, _ = statement
            yield _Binding(scope, selector, parameter, value, where)


def _file_statements(path: Path, within: tuple[Path, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The statements of a file, which those `within` include, one in the other."""
    if path.resolve() in within:
        raise KitError(
            "CONFIG-FILE", f"the config {path} includes itself", "Remove one of its includes"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(
            "CONFIG-FILE", f"cannot read the config {path}: {error}", "Give the path of a gin file"
        ) from None
    return _statements(text, path, (*within, path.resolve()))


def _statements(
    text: str, origin: Path | str, within: tuple[Path, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """Yields (place, statement) for each binding and import in gin text and in its includes.

    Paths of included files are relative to the folder of the file that includes them.
    """
    line = 0
    try:
        # `skip_unknown` accepts unknown references here; `_Binding` reports them later.
        for statement in ConfigParser(text, ParserDelegate(skip_unknown=True)):
            line = statement.location[1]
            where = f"{origin}:{line}" if isinstance(origin, Path) else origin
            if isinstance(statement, BindingStatement | ImportStatement):
                yield where, statement
            else:
                yield from _file_statements(Path(origin).parent / statement.filename, within)
    except (SyntaxError, tokenize.TokenError) as error:
        place = error.lineno if isinstance(error, SyntaxError) else line + 1
        raise KitError(
            "CONFIG-SYNTAX",
            f"{origin}:{place}: not a gin statement: {error.args[0].rstrip('.')}",
            "Write lines of the form name.parameter = value",
        ) from None


def _import(module: str, where: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise KitError(
            "CONFIG-IMPORT",
            f"{where}: cannot import {module}: {error}",
            "Name a module that Python can import from this folder",
        ) from None


def _kinds() -> dict[str, Any]:
    """`configurable.parameter` -> its type annotation, for all that a config may set."""
    # gin 0.4.0, the version that requirements.txt pins, has no public list of configurables.
    kinds = {}
    for selector, configurable in gin.config._REGISTRY.items():
        if selector.startswith("gin."):
            continue
        target = configurable.fn_or_cls
        hints = get_type_hints(
            target.__init__ if inspect.isclass(target) else target, include_extras=True
        )
        short = gin.config._REGISTRY.minimal_selector(selector)
        for parameter in inspect.signature(target).parameters:
            if parameter not in (configurable.denylist or ()):
                kinds[f"{short}.{parameter}"] = hints.get(parameter, Any)
    return kinds


def _nearest(name: str, names: Sequence[str]) -> str:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]


def _refuse_name(where: str, what: str, name: str, known: Iterable[str]) -> NoReturn:
    owner = name.rpartition(".")[0]
    names = [other for other in known if other.rpartition(".")[0] == owner] or list(known)
    raise KitError(
        "CONFIG-NAME",
        f"{where}: {what} does not exist; the nearest name is '{_nearest(name, names)}'",
        "Correct the name or remove the line",
    )
