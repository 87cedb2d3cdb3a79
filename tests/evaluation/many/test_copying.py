"""A node of a Ray cluster that sees none of the files, which `--sync` copies there and back."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation import __main__ as grader
from evaluation.codes import ledger
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.many.copying import Sent, missing, write

APART = ("unshare", "--user", "--map-root-user", "--mount")
"""Begins a command that has mounts of its own."""

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is missing: pip install ray")


def can_be_apart() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*APART, "true"], check=False, capture_output=True).returncode == 0


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A cluster of which the only node with a CPU sees an empty folder in place of `tmp_path`/seen.

    Its own copies end with it.
    """
    if not can_be_apart():
        pytest.skip("this machine gives no mount namespace: unshare --user --mount")
    (tmp_path / "seen").mkdir()
    made: Any = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    ray = f"{sys.executable} -m ray.scripts.scripts start --address={made.address}"
    hidden = f"mount -t tmpfs none {tmp_path / 'seen'} && exec {ray} --num-cpus=1 --block"
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    node = subprocess.Popen(
        [*APART, "sh", "-c", hidden], env=variables, stdout=subprocess.DEVNULL, cwd=REPOSITORY
    )
    try:
        deadline = time.monotonic() + 120
        while len(made.global_state.node_table()) < 2:
            assert node.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield made.address
    finally:
        node.terminate()
        made.shutdown()
        node.wait()


@pytest.fixture
def words(tmp_path: Path) -> list[str | Path]:
    """Two tables of codes of data of the user's own, one of which was graded before."""
    seen = tmp_path / "seen"
    seen.mkdir(exist_ok=True)
    rows = np.stack(np.unravel_index(np.arange(120), (4, 5, 6)), axis=1)
    np.savetxt(seen / "factors.csv", rows, "%d", ",", header="a,b,c", comments="")
    for number in range(2):
        np.save(seen / f"{number}.npy", np.random.RandomState(number).rand(120, 3))
    shown = ("--factors", seen / "factors.csv", "--metrics", "mig", "--no-page", "--quiet")
    return [*shown, "--codes", seen / "0.npy", seen / "1.npy", "--output"]


def graded(words: list[str | Path], *further: str | Path) -> int:
    return grader.main(list(map(str, [*words, *further])))


def test_a_node_without_the_files(address: str, words: list[str | Path], tmp_path: Path) -> None:
    together = ("--cluster", address)
    with pytest.raises(KitError, match=r"does not see the output folder .*--sync") as refusal:
        graded(words, tmp_path / "seen/out", *together)
    assert refusal.value.code == "CLUSTER-FOLDER"
    assert graded(words, tmp_path / "seen/out", *together, "--sync") == 0
    assert graded(words, tmp_path / "alone") == 0
    of_node, own = (tmp_path / folder / "all_scores.json" for folder in ("seen/out", "alone"))
    assert of_node.read_bytes() == own.read_bytes()
    assert all(map(ledger.has, (tmp_path / "seen/out").glob("*/scores.json")))
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "seen/out").glob("*/*.json")}
    assert len(left) == 2
    assert graded(words, tmp_path / "seen/out", *together, "--sync") == 0
    assert {path: path.stat().st_mtime_ns for path in left} == left  # found again over there


def test_without_a_cluster(words: list[str | Path], tmp_path: Path) -> None:
    with pytest.raises(KitError) as refusal:
        graded(words, tmp_path / "out", "--sync")
    assert refusal.value.code == "SYNC-CLUSTER"


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    file = Sent(tmp_path / "folder/table", 6, 1_000_000_000)
    assert missing([file]) == {0}
    assert write(file, 0, b"abc") == "" and not file.path.exists()
    assert write(file, 3, b"def") == "" and file.path.read_bytes() == b"abcdef"
    assert missing([file, file._replace(size=7), file._replace(changed=2)]) == {1, 2}
    assert "File exists" in write(Sent(file.path / "below", 1, 1), 0, b"a")
