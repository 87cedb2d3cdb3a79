"""Reads a package's configurables from its source text, without importing the package.

Importing a package with networks imports torch, which takes seconds. A check of the names in a
config needs only names, annotations and base classes, and the syntax tree has them.
"""

import ast
import builtins
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import gin
from gin.selector_map import SelectorMap

_LIGHT = {*sys.stdlib_module_names, "evaluation", "gin"}
"""Top-level packages that are quick to import, so annotations get their real classes."""


@contextmanager
def stand_ins(package: str) -> Iterator[None]:
    """Within the block, gin knows stand-ins for the configurables of `package`.

    A stand-in has the name, parameters, annotations and base classes of the real configurable.
    When the block ends, all bindings are removed.
    """
    known = gin.config._REGISTRY
    others = SelectorMap()
    for selector, configurable in known.items():
        if not selector.startswith(f"{package}."):
            others[selector] = configurable
    gin.config._REGISTRY = others
    try:
        _Sources(package).register()
        yield
    finally:
        gin.config._REGISTRY = known
        gin.clear_config()


class _Sources:
    """The modules of a package. Each is parsed when it is first needed."""

    def __init__(self, package: str) -> None:
        self._package = package
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations
        self._folder = Path(next(iter(spec.submodule_search_locations)))
        self.module = cache(self._module)

    def register(self) -> None:
        """Registers a stand-in for each class and function decorated by `gin.configurable`."""
        for path in sorted(self._folder.rglob("*.py")):
            if "@gin.configurable" in path.read_text(encoding="utf-8"):
                parts = path.relative_to(self._folder).with_suffix("").parts
                self.module(".".join((self._package, *parts))).register()

    def resolve(self, module: str, name: str) -> Any:
        """What `from module import name` gives, or its stand-in."""
        top = module.partition(".")[0]
        if top == self._package:
            return self.module(module).resolve(name)
        if top in _LIGHT:
            return getattr(importlib.import_module(module), name)
        return _external(f"{module}.{name}")

    def _module(self, name: str) -> "_Module":
        path = self._folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
        return _Module(name, ast.parse(path.read_text(encoding="utf-8")), self)


class _Module:
    """The names at the top level of a module."""

    def __init__(self, name: str, tree: ast.Module, sources: _Sources) -> None:
        self._name = name
        self._sources = sources
        self._nodes: dict[str, Any] = {}
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                self._nodes[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._nodes[node.targets[0].id] = node.value
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    origin = getattr(node, "module", None)
                    self._nodes[alias.asname or alias.name] = (origin, alias.name)
        self.resolve = cache(self._resolve)

    def register(self) -> None:
        for name, node in self._nodes.items():
            for decorator in getattr(node, "decorator_list", ()):
                if ast.unparse(decorator).startswith("gin.configurable"):
                    arguments: Callable[..., Any] = gin.configurable
                    if isinstance(decorator, ast.Call):
                        arguments = eval(_compiled(decorator), {"gin": gin})  # our own source
                    arguments(self.resolve(name))

    def _resolve(self, name: str) -> Any:
        node = self._nodes[name]
        if isinstance(node, ast.ClassDef):
            return self._class(node)
        if isinstance(node, ast.FunctionDef):
            return self._function(node.name, _parameters_of(node))
        if isinstance(node, tuple):
            module, imported = node
            if module is None:
                top = imported.partition(".")[0]
                return importlib.import_module(imported) if top in _LIGHT else _external(imported)
            return self._sources.resolve(module, imported)
        return self._evaluated(node)

    def _class(self, node: ast.ClassDef) -> type:
        bases = tuple(self._evaluated(base) for base in node.bases)
        constructor = next(
            (
                _parameters_of(member)[1:]
                for member in node.body
                if isinstance(member, ast.FunctionDef) and member.name == "__init__"
            ),
            None,
        )
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            constructor = [
                (member.target.id, member.annotation, member.value)
                for member in node.body
                if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name)
            ]
        members: dict[str, Any] = {"__module__": self._name}
        if constructor is not None:
            itself = ("self", None, None)
            members["__init__"] = self._function("__init__", [itself, *constructor])
        return types.new_class(node.name, bases, exec_body=lambda body: body.update(members))

    def _function(self, name: str, parameters: list["_Parameter"]) -> Callable[..., None]:
        def stand_in(*arguments: Any, **named: Any) -> None:
            pass

        hints = {
            parameter: self._evaluated(annotation)
            for parameter, annotation, _ in parameters
            if annotation is not None
        }
        kind, required = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        stand_in.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(parameter, kind, default=required if value is None else None)
                for parameter, _, value in parameters
            ]
        )
        stand_in.__annotations__ = hints
        stand_in.__name__ = stand_in.__qualname__ = name
        stand_in.__module__ = self._name
        return stand_in

    def _evaluated(self, expression: ast.expr) -> Any:
        return eval(_compiled(expression), {"__builtins__": builtins}, _Names(self))


_Parameter = tuple[str, ast.expr | None, ast.expr | None]
"""Name, annotation, default."""


def _parameters_of(function: ast.FunctionDef) -> list[_Parameter]:
    plain, named = function.args.args, function.args.kwonlyargs
    first = len(plain) - len(function.args.defaults)
    defaults = [*[None] * first, *function.args.defaults, *function.args.kw_defaults]
    return [
        (argument.arg, argument.annotation, default)
        for argument, default in zip([*plain, *named], defaults, strict=True)
    ]


def _compiled(expression: ast.expr) -> types.CodeType:
    return compile(ast.Expression(expression), "<annotation>", "eval")


class _Names(dict[str, Any]):
    """A module's names, looked up when an expression asks for them."""

    def __init__(self, module: _Module) -> None:
        self._module = module

    def __missing__(self, name: str) -> Any:
        return self._module.resolve(name)


class _External(type):
    """The metaclass of stand-ins for modules and classes of packages that are not imported."""

    known: ClassVar[dict[str, "_External"]] = {}

    def __getattr__(cls, name: str) -> "_External":
        if name.startswith("_"):
            raise AttributeError(name)
        return _external(f"{cls.__name__}.{name}")

    def __getitem__(cls, item: Any) -> "_External":
        return cls


def _external(name: str) -> _External:
    if name not in _External.known:
        _External.known[name] = _External(name, (), {})
    return _External.known[name]
