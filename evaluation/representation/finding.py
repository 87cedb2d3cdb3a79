"""Where the challenge's contract, or a user's path, says that a representation is."""

import errno
import os
import shlex
from collections import Counter
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.escaping import visible
from evaluation.representation.reading import unreadable

CONTRACT_NAMES = {
    "tfhub": "savedmodel",
    "pytorch_model.pt": "torchscript",
    "python_model.dill": "dill",
}
"""Names under `representation/` that the challenge looks for, and their kinds."""

_SUFFIXES = {".pt": "torchscript", ".pth": "torchscript", ".dill": "dill"}
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


@dataclass(frozen=True)
class Found:
    """A representation on disk, or a table of what one gave.

    Args:
        path: The file, or the folder of a SavedModel.
        kind: "torchscript", "dill", "savedmodel", or "codes" for a table.
    """

    path: Path
    kind: str

    @property
    def shown(self) -> str:
        """Its path on one line, whatever its maker called it."""
        return visible(str(self.path))

    @property
    def names(self) -> list[str]:
        """Ends of its path, from short to long, each without what says little and then whole.

        That is `representation/` and what follows where the path is the contract's, else a suffix.
        """
        whole = Path(os.path.normpath(self.path.absolute()))
        experiment = whole.parent.parent
        if whole.parent.name == "representation" and experiment.name:
            named = experiment
        else:
            # Of `...pt` only `..` would be left, which is no name but another folder.
            keeps_suffix = self.kind == "savedmodel" or whole.stem in (".", "..")
            named = whole if keeps_suffix else whole.with_suffix("")
        starts = reversed(range(1, len(named.parts)))
        return ["/".join(path.parts[start:]) for start in starts for path in (named, whole)]


def find(path: Path) -> list[Found]:
    """The representation at `path`, or all of them in a folder of several, in order of name.

    `path` is a file, a SavedModel's folder, a `representation/` folder, an experiment's folder that
    holds one, or a folder of any of these.

    Raises:
        KitError: nothing there, unknown kind, or two kinds in one `representation/` folder.
    """
    return [_only(group) for group in _groups(path)]


def find_all(paths: Sequence[Path]) -> tuple[list[Found], list[KitError]]:
    """What `find` finds at several paths, and what it refuses, one by one."""
    found: list[Found] = []
    refused: list[KitError] = []
    for path in paths:
        try:
            groups = _groups(path)
        except KitError as refusal:
            refused.append(refusal)
            continue
        for group in groups:
            try:
                found.append(_only(group))
            except KitError as refusal:
                refused.append(refusal)
    return found, refused


def by_name(found: Sequence[Found], taken: Collection[str] = ()) -> dict[str, Found]:
    """What was found, by the shortest name that nothing else has.

    The order does not matter, and what is there twice counts once.

    Args:
        taken: Names of files that are written there, and in the folder of each name. No name leads
            through one of them, if another is left.
    """
    distinct = {one.names[-1]: one for one in found}
    owners = Counter(name for one in distinct.values() for name in set(one.names))
    named = {}
    for path, one in distinct.items():
        own = [
            name
            for name in one.names
            if owners[name] == 1 and not set(taken) & set(name.split("/"))
        ]
        named[own[0] if own else path] = one
    return named


def only(path: Path) -> Found:
    """The one representation at `path`.

    Raises:
        KitError: as `find`, or there are several.
    """
    found = find(path)
    if len(found) > 1:
        names = ", ".join(by_name(found))
        raise KitError(
            "REPRESENTATION-AMBIGUOUS",
            f"{path} holds {len(found)} representations: {names}",
            "Give the path of one of them",
        )
    return found[0]


def given_codes(path: Path) -> Found:
    """A table of codes as what is to be graded.

    Raises:
        KitError: there is no such file.
    """
    _refuse_circle(path, "CODES-UNREADABLE")
    if not path.is_file():
        raise KitError("CODES-UNREADABLE", f"{path} is no file", "Give a table of codes")
    return Found(path, "codes")


def all_given_codes(paths: Sequence[Path]) -> tuple[list[Found], list[KitError]]:
    """What `given_codes` finds at several paths, and what it refuses, one by one."""
    found: list[Found] = []
    refused: list[KitError] = []
    for path in paths:
        try:
            found.append(given_codes(path))
        except KitError as refusal:
            refused.append(refusal)
    return found, refused


def refuse_others(folder: Path, names: Container[str]) -> None:
    """Refuses to put a representation called one of `names` beside one of another kind.

    Raises:
        KitError: `REPRESENTATION-OTHERS`: of several the evaluator might take another.
    """
    others = [folder / name for name in CONTRACT_NAMES if name not in names]
    found = [str(path) for path in others if path.exists()]
    if found:
        raise KitError(
            "REPRESENTATION-OTHERS",
            f"{folder} holds another representation already: {', '.join(found)}",
            f"Remove it: rm -r {shlex.join(found)}",
        )


def _refuse_circle(path: Path, code: str) -> None:
    """Refuses links that lead in a circle, which `is_file` and `is_dir` take for nothing.

    Raises:
        KitError: with the code `code`.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KitError(
                code,
                f"{path} is a link to itself, or leads through one",
                "Make the link anew, or give the path of the file that was meant",
            ) from None


def _groups(path: Path) -> list[list[Found]]:
    """What `path` holds, or what each member of it holds where it is a folder of several."""
    _refuse_circle(path, "REPRESENTATION-UNREADABLE")
    try:
        path.lstat()
        held = _held(path)
        if held or not path.is_dir():
            groups = [held]
        else:
            groups = [_held(member) for member in sorted(path.iterdir())]
    except FileNotFoundError:
        raise KitError(
            "REPRESENTATION-MISSING", f"{path} does not exist", "Export one, or correct the path"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
    if groups == [[]]:
        raise KitError(
            "REPRESENTATION-KIND",
            f"{path} is of no known kind; known are files ending in {', '.join(_SUFFIXES)} and "
            f"folders with a {_SAVED_MODEL[0]}",
            "Give a TorchScript file, a dill file or a SavedModel",
        )
    if not any(groups):
        raise KitError(
            "REPRESENTATION-MISSING",
            f"{path} holds no representation; looked for {', '.join(CONTRACT_NAMES)}, in it and in "
            f"a folder 'representation', and for files ending in {', '.join(_SUFFIXES)}",
            "Export one, or give its path",
        )
    return [group for group in groups if group]


def _held(path: Path) -> list[Found]:
    if not path.is_dir():
        return [Found(path, _SUFFIXES[path.suffix])] if path.suffix in _SUFFIXES else []
    if any((path / name).is_file() for name in _SAVED_MODEL):
        return [Found(path, "savedmodel")]
    held = [
        Found(path / name, kind) for name, kind in CONTRACT_NAMES.items() if (path / name).exists()
    ]
    inner = path / "representation"
    return _held(inner) if not held and inner.is_dir() else held


def _only(group: Sequence[Found]) -> Found:
    if len(group) > 1:
        names = ", ".join(found.path.name for found in group)
        raise KitError(
            "REPRESENTATION-AMBIGUOUS",
            f"{group[0].path.parent} holds {len(group)} representations: {names}",
            "Leave one of them, or give the path of the one to grade",
        )
    return group[0]
