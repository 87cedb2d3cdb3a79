"""Machine code that is kept on disk, and thrown away when any source that it comes from changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common.compiled.sources import digest_of_imports
from evaluation.common.environment import REPOSITORY

MAIN = """
from evaluation.common.compiled import njit
from toy.middle import doubled

@njit
def answer(x):
    return x + doubled(1)
"""
MIDDLE = """
from evaluation.common.compiled import njit
from .deep.constants import FACTOR

@njit
def doubled(x):
    return FACTOR * x
"""
RUN = (
    "from toy.main import answer; print(answer(1), sum(answer.stats.cache_hits.values()),"
    " answer.stats.cache_path)"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    (folder / "deep").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "main.py": MAIN,
        "middle.py": MIDDLE,
        "deep/__init__.py": "",
        "deep/constants.py": "FACTOR = 10\n",
        "unrelated.py": "",
    }.items():
        (folder / name).write_text(text)
    return folder


def start(package: Path, *before: str, **variables: str) -> subprocess.Popen[str]:
    path = f"{package.parent}:{REPOSITORY}"
    return subprocess.Popen(
        [*before, sys.executable, "-c", RUN],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **variables},
    )


def answer(package: Path, *before: str, **variables: str) -> tuple[str, str, Path]:
    """The answer, how often code was found on disk, and the folder where it is kept."""
    process = start(package, *before, **variables)
    output = process.communicate()[0].split()
    assert process.returncode == 0
    return output[0], output[1], Path(output[2])


def test_a_constant_of_another_module_is_compiled_anew(package: Path) -> None:
    assert answer(package)[:2] == ("11", "0")
    assert answer(package)[:2] == ("11", "1")
    (package / "deep" / "constants.py").write_text("FACTOR = 20\n")
    assert answer(package)[:2] == ("21", "0")
    (package / "unrelated.py").write_text("OTHER = 1\n")
    assert answer(package)[:2] == ("21", "1")


def test_folders_that_nobody_used_for_long_are_removed(package: Path) -> None:
    old = answer(package)[2]
    (package / "deep" / "constants.py").write_text("FACTOR = 20\n")
    assert answer(package)[2] != old
    assert old.is_dir(), "a process that runs now may still use it"
    os.utime(old, (0, 0))
    answer(package)
    assert not old.exists()


def test_several_processes_at_once(package: Path) -> None:
    processes = [start(package) for _ in range(3)]
    assert [process.communicate()[0].split()[0] for process in processes] == ["11"] * 3


def test_a_folder_given_by_the_user_is_taken(package: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    assert answer(package, NUMBA_CACHE_DIR=str(given))[2].is_relative_to(given)
    assert answer(package, NUMBA_CACHE_DIR=str(given))[:2] == ("11", "1")


def test_a_source_tree_that_cannot_be_written_to(package: Path, tmp_path: Path) -> None:
    (package / "__pycache__").write_text("")  # in its place nobody, root included, makes a folder
    elsewhere = {"TMPDIR": str(tmp_path)}
    assert answer(package, **elsewhere)[2].is_relative_to(tmp_path / f"numba-{os.getuid()}")
    assert answer(package, **elsewhere)[:2] == ("11", "1")


def test_code_that_came_with_an_image_is_used_where_nothing_can_be_written(package: Path) -> None:
    before = ["setpriv", "--bounding-set=-dac_override"] if os.getuid() == 0 else []
    folder = answer(package)[2]
    folder.chmod(0o555)
    assert answer(package, *before) == ("11", "1", folder)
    for code in folder.iterdir():
        code.unlink()
    assert answer(package, *before) == ("11", "0", folder), "compiled, and not kept"
    assert not list(folder.iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_code_that_another_user_may_have_put_there_is_not_run(
    package: Path, tmp_path: Path
) -> None:
    (package / "__pycache__").write_text("")
    theirs = tmp_path / f"numba-{os.getuid()}"
    theirs.mkdir()
    os.chown(theirs, 1001, 1001)
    assert not answer(package, TMPDIR=str(tmp_path))[2].is_relative_to(theirs)


def test_code_behind_a_link_that_others_may_write_to_is_not_run(
    package: Path, tmp_path: Path
) -> None:
    (package / "__pycache__").write_text("")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)  # as /tmp is, and root's like it
    (tmp_path / f"numba-{os.getuid()}").symlink_to(open_to_all)
    assert not answer(package, TMPDIR=str(tmp_path))[2].resolve().is_relative_to(open_to_all)


@pytest.mark.parametrize(
    ("changed", "matters"),
    [("deep/constants.py", True), ("deep/__init__.py", True), ("unrelated.py", False)],
)
def test_sources_that_are_imported_count(package: Path, changed: str, matters: bool) -> None:
    before = digest_of_imports("toy.main", package / "main.py")
    (package / changed).write_text("# changed\n")
    digest_of_imports.cache_clear()
    assert (digest_of_imports("toy.main", package / "main.py") != before) is matters
