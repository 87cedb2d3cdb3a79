"""Files that are whole or not there, and sizes as people read them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.common.files import readable_size, whole_file


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_300, "20 kB"),
        (999_700, "1.0 MB"),
        (5_000_000, "5.0 MB"),
        (2_123_366_400, "2.1 GB"),
        (12_740_198_528, "13 GB"),
        (4e15, "4000 TB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert readable_size(number) == text


WRITER = """
import sys, time
from pathlib import Path
from evaluation.common.files import whole_file
with whole_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


def test_a_folder_that_took_the_place_meanwhile_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with (
        pytest.raises(KitError, match=r"OUTPUT-OCCUPIED.*scores\.json"),
        whole_file(path) as temporary,
    ):
        temporary.write_text("{}")
        path.mkdir()
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_holds_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "result[1].txt"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    left, held = [Path(writer.stdout.readline().strip()) for writer in writers if writer.stdout]
    writers[0].kill()
    writers[0].communicate()
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert not left.exists() and held.exists()
    writers[1].kill()
    writers[1].communicate()
    with pytest.raises(InterruptedError), whole_file(path):
        raise InterruptedError
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "whole"


def test_a_pipe_among_the_temporary_files_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".scores.abcdefgh.json")
    with whole_file(tmp_path / "scores.json") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "scores.json").read_text() == "whole"
