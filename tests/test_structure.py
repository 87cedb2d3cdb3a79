"""The walls of the house, read from the syntax trees: who may import whom, and run what."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter

from evaluation.common.environment import REPOSITORY
from evaluation.common.extras import EXTRA_OF

MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for house in ("evaluation", "submission")
    for path in sorted((REPOSITORY / house).rglob("*.py"))
}

GRADING_FOR_SUBMISSION = {
    "evaluation.codes.store",
    "evaluation.many.cluster",
    "evaluation.many.connecting",
    "evaluation.many.jobs",
    "evaluation.many.nodes",
    "evaluation.many.processes",
    "evaluation.metrics",
    "evaluation.origin",
    "evaluation.outputs",
    "evaluation.report.heat_maps",
    "evaluation.report.page",
    "evaluation.report.runs.reading",
    "evaluation.report.runs.tables",
    "evaluation.report.summary",
    "evaluation.report.violins",
    "evaluation.representation.contract",
    "evaluation.representation.finding",
    "evaluation.representation.resources.processes",
    "evaluation.representation.running",
    "evaluation.representation.torchscript.convolution",
    "evaluation.representation.torchscript.threads",
}
"""What the participant's side takes of the grader's beside `common` and `data`: to refuse what the
grader would refuse, to try a bundled encoder as the grader runs it, its fast convolutions for
extraction, and for studies its scheduler, what it has written, and its pages."""

CHECKS_ITS_OWN_EXPORT = "submission.export"
"""It loads again what it has written from the participant's own objects, in their own process."""

BASE = {"llvmlite", "msgspec", "numba", "numpy", "rich", "scipy", "sklearn"}
"""Packages that every installed kit has: the wheel's dependencies, and numba's llvmlite, whose
version numba fixes."""

LOADERS = {
    "dill.load",
    "dill.loads",
    "joblib.load",
    "pickle.Unpickler",
    "pickle.load",
    "pickle.loads",
    "tf.saved_model.load",
    "tensorflow.saved_model.load",
    "torch.jit.load",
}
"""Calls that run what a file holds, or may."""


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every module or `module.name` that a source imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def module_of(name: str) -> str:
    """The longest part of a dotted name that is a module of the kit; empty for other packages."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


@cache
def imports_of(module: str) -> set[str]:
    """The kit's modules that one of them imports."""
    return {module_of(name) for name in imported_names(tree_of(module))} - {"", module}


def room_of(module: str) -> str:
    """The folder directly under a house that a module lies in, or the module itself if in none."""
    parts = module.split(".")
    is_room = (REPOSITORY / "/".join(parts[:2])).is_dir()
    return ".".join(parts[:2]) if is_room else module


def test_evaluation_never_imports_submission() -> None:
    for module in MODULES:
        if module.startswith("evaluation"):
            assert not any(name.startswith("submission") for name in imports_of(module)), module


def test_what_both_stand_on_imports_neither() -> None:
    for module in MODULES:
        if module.startswith("evaluation.common"):
            outside = {
                name for name in imports_of(module) if not name.startswith("evaluation.common")
            }
            assert not outside, module


def test_what_the_participants_side_takes_of_the_graders() -> None:
    taken = {
        name
        for module in MODULES
        if module.startswith("submission")
        for name in imports_of(module)
        if name.startswith("evaluation")
        and room_of(name) not in ("evaluation.common", "evaluation.data")
    }
    assert taken == GRADING_FOR_SUBMISSION


def test_only_the_sandboxed_room_runs_what_a_file_holds() -> None:
    for module in MODULES:
        if room_of(module) == "evaluation.representation" or module == CHECKS_ITS_OWN_EXPORT:
            continue
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Attribute | ast.Name):
                assert ast.unparse(node) not in LOADERS, f"{module}:{node.lineno}"
        named = set(imported_names(tree_of(module)))
        assert not named & (LOADERS | {"pickle", "dill", "joblib"}), module


def test_weights_and_arrays_are_read_without_running_code() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(module)):
            if not isinstance(node, ast.Call):
                continue
            flags = {
                flag.arg: ast.unparse(flag.value) for flag in node.keywords if flag.arg is not None
            }
            where = f"{path}:{node.lineno}"
            if ast.unparse(node.func) == "torch.load":
                assert flags.get("weights_only") == "True", where
            if ast.unparse(node.func) == "np.load":
                assert flags.get("allow_pickle", "False") == "False", where


def test_no_import_runs_in_a_circle() -> None:
    """Between modules, and between the rooms: the folders directly under a house."""
    list(TopologicalSorter({module: imports_of(module) for module in MODULES}).static_order())
    rooms: dict[str, set[str]] = {}
    for module in MODULES:
        if room_of(module) != module:
            others = {room_of(name) for name in imports_of(module) if room_of(name) != name}
            rooms.setdefault(room_of(module), set()).update(others - {room_of(module)})
    list(TopologicalSorter(rooms).static_order())


def test_every_package_is_a_dependency_of_the_wheel_or_of_an_extra() -> None:
    for module in MODULES:
        packages = {name.partition(".")[0] for name in imported_names(tree_of(module))}
        packages -= {"evaluation", "submission"} | set(sys.stdlib_module_names)
        assert packages <= BASE | EXTRA_OF.keys(), module


def test_files_and_folders_stay_readable() -> None:
    """A file holds one idea, in 50 to 200 lines for most; no folder grows beyond today's."""
    lengths = sorted(
        len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES.values()
    )
    assert lengths[len(lengths) // 2] <= 120
    assert lengths[len(lengths) * 9 // 10] <= 230
    for folder in {path.parent for path in MODULES.values()}:
        members = [member for member in folder.iterdir() if member.name != "__pycache__"]
        assert len(members) <= 18, folder
