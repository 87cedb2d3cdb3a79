"""Digests of source files together with all that they import from their own package."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def digest_of_imports(module: str, file: Path) -> str:
    """Hexadecimal SHA-256 of a module's source and of all sources that it imports.

    Imports of imports count too. Only modules of the same top-level package count, and an import
    counts at any place in a file.

    Args:
        module: Dotted name of the module.
        file: The file of the module.
    """
    depth = module.count(".") + (file.name == "__init__.py")
    root = file.resolve().parents[depth]
    package = module.partition(".")[0]
    found: set[Path] = set()
    waiting = [file.resolve()]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += _files(root, [name for name in _imports(root, source) if name[0] == package])
    digest = hashlib.sha256()
    for source in sorted(found):
        digest.update(f"{source.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()


@cache
def _imports(root: Path, file: Path) -> list[tuple[str, ...]]:
    """The dotted names that a file imports, each split at its dots. Not all are modules."""
    package = file.relative_to(root).parent.parts
    names: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = (*start, *(node.module.split(".") if node.module else ()))
            names += [base, *((*base, alias.name) for alias in node.names)]
    return [name for name in names if name]


def _files(root: Path, names: list[tuple[str, ...]]) -> Iterator[Path]:
    """The files of the names that are modules, and of the packages that contain them."""
    for name in names:
        for length in range(1, len(name) + 1):
            place = root.joinpath(*name[:length])
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    yield file
