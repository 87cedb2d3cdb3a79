"""Which packages wait until they are needed; `tests/test_structure.py` says who imports whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common import environment


def imported_by(source: Path) -> set[str]:
    """Top-level packages that a source file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_only_the_reference_and_saved_models_import_tensorflow() -> None:
    heavy = {"tensorflow", "disentanglement_lib"}
    sources = (environment.REPOSITORY / "evaluation").rglob("*.py")
    users = {source.name for source in sources if imported_by(source) & heavy}
    assert users <= {"reference.py", "loading.py"}


@pytest.mark.parametrize("module", ["evaluation.__main__", "evaluation.representation.worker"])
def test_heavy_packages_wait_until_they_are_needed(module: str) -> None:
    heavy = ["torch", "tensorflow", "sklearn", "scipy", "numba", "disentanglement_lib"]
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
