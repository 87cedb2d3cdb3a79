"""Names of others do not steer a terminal, wherever they are shown."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.common.escaping import visible
from evaluation.common.terminal import console

NAME = "a\x1b[2Jb\u202ec\u2066d\x07e\x9bf\udcffg\u200bh"
SHOWN = r"a\x1b[2Jb\u202ec\u2066d\x07e\x9bf\udcffg\u200bh"


def test_what_does_not_print_is_escaped() -> None:
    assert visible(NAME) == SHOWN
    assert visible("Grüße, 世界 x²") == "Grüße, 世界 x²"


def test_errors_show_names_escaped() -> None:
    line = str(KitError("AREA-PROBLEM", f"{NAME} is\nwrong", "Mend it"))
    assert line == f"error[AREA-PROBLEM]: {SHOWN} is wrong. Mend it."


def test_the_console_shows_names_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(f"Grading {NAME}\nand more", markup=False)
    table = Table()
    table.add_column("Name")
    table.add_row("b\u202ec\x1b[31m")
    console.print(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Grading {SHOWN.replace(chr(92) + 'x07', '')}"  # a bell is left out
    assert lines[1] == "and more"
    assert all(line.isprintable() for line in lines)


def test_a_command_shows_names_escaped(tmp_path: Path) -> None:
    folder = tmp_path / NAME.replace("/", "")
    done = subprocess.run(
        [sys.executable, "-m", "evaluation", "--representation", folder],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert SHOWN in done.stderr
    assert done.stderr.strip().isprintable()
