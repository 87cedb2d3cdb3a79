"""Datasets on disk under hard conditions: killed processes, two at once, nowhere to write."""

import ctypes
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.storage import stored

NAME = "mpi3d_sim_real_mini"
SHAPE = (3, 64, 64, 3)
RENDER = [sys.executable, "-m", "evaluation.data", "render", NAME, "--data-root"]
# Opens a published set that has the layout of the mini, and says what it found.
OPEN = """
import sys
from pathlib import Path
from evaluation.data import open_dataset
from evaluation.data.sets import mpi3d
from evaluation.common.errors import run_command

mpi3d.LAYOUTS[10_368] = (4, 4, 2, 3, 3, 6, 6)

def main(argv):
    print(open_dataset("mpi3d_real", Path(sys.argv[1])).fingerprint)
    return 0

run_command(main)
"""


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)


def kill_while_writing(command: list[str], folder: Path, name: str) -> None:
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: any(folder.glob(f".{name}.*.npy")), process)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not (folder / f"{name}.npy").exists()
    assert not (folder / f"{name}.json").exists()


def test_a_killed_rendering_leaves_nothing_that_is_trusted(mini: ImageGrid, tmp_path: Path) -> None:
    folder = tmp_path / NAME
    kill_while_writing([*RENDER, str(tmp_path)], folder, NAME)
    assert len(list(folder.glob(".*.npy"))) == 1
    assert open_dataset(NAME, tmp_path).fingerprint == mini.fingerprint
    assert not list(folder.glob(".*.npy")), "what the killed process left is still there"


def test_a_rendering_without_a_record_is_made_again(mini: ImageGrid, tmp_path: Path) -> None:
    """As if killed between the file and its record."""
    folder = tmp_path / NAME
    folder.mkdir()
    np.save(folder / f"{NAME}.npy", np.zeros_like(mini.images))
    assert open_dataset(NAME, tmp_path).fingerprint == mini.fingerprint


def test_two_processes_render_once(mini: ImageGrid, tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([*RENDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("waiting for it" in output for output in outputs) == 1
    assert all(mini.fingerprint in output for output in outputs)


@pytest.fixture(scope="module")
def compressed(mini: ImageGrid, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the mini's images as a compressed mpi3d_real.npz."""
    root = tmp_path_factory.mktemp("compressed")
    (root / "mpi3d_real").mkdir()
    path = root / "mpi3d_real" / "mpi3d_real.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as stream,
    ):
        np.lib.format.write_array(stream, np.asarray(mini.images))
    return root


def test_a_killed_unpacking_leaves_nothing_that_is_trusted(
    mini: ImageGrid, compressed: Path
) -> None:
    command = [sys.executable, "-c", OPEN, str(compressed)]
    kill_while_writing(command, compressed / "mpi3d_real", "mpi3d_real")
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert mini.fingerprint in output
    for name in ("mpi3d_real.npy", "mpi3d_real.json"):
        (compressed / "mpi3d_real" / name).unlink()


@pytest.fixture
def read_only(compressed: Path) -> Iterator[Path]:
    folder = compressed / "mpi3d_real"
    folder.chmod(0o555)
    yield compressed
    folder.chmod(0o755)


def obey_permissions() -> None:
    """Takes from root the right to write where permissions say no, from the next exec on."""
    cap_dac_override, pr_capbset_drop = 1, 24
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0)


def open_obediently(root: Path, outputs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OPEN, str(root)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "AICROWD_OUTPUT_PATH": str(outputs)},
        preexec_fn=obey_permissions,
    )


def test_a_read_only_root_is_unpacked_beside_the_outputs(
    mini: ImageGrid, read_only: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        run = open_obediently(read_only, tmp_path)
        assert run.returncode == 0, run.stderr
        assert mini.fingerprint in run.stdout
    assert not list((read_only / "mpi3d_real").glob("*.npy"))
    assert (tmp_path / ".dataset" / "mpi3d_real" / "mpi3d_real.npy").is_file()


def test_nowhere_to_write_is_one_line(read_only: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    run = open_obediently(read_only, tmp_path)
    tmp_path.chmod(0o755)
    assert run.returncode == 2
    assert run.stderr.startswith("error[DATA-READ-ONLY]: ")
    assert run.stderr.count("\n") == 1


def test_a_full_disk_is_known_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "free_bytes", lambda _: 10**7)
    with pytest.raises(KitError, match=r"needs 127 MB and its disk has 10 MB free"):
        open_dataset(NAME, tmp_path)
    assert [path.name for path in (tmp_path / NAME).iterdir()] == [".lock"]


def test_a_changed_renderer_renders_anew(tmp_path: Path) -> None:
    def fill_with(value: int) -> Callable[[NDArray[np.uint8]], None]:
        return lambda images: images.fill(value)

    for version in (1, 2):
        images, _ = stored.open_made(
            "set", tmp_path, {"version": version}, SHAPE, fill_with(version)
        )
        assert (np.asarray(images) == version).all()
    images, _ = stored.open_made("set", tmp_path, {"version": 2}, SHAPE, fill_with(9))
    assert (np.asarray(images) == 2).all()
