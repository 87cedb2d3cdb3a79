"""A study on a real Ray cluster of two nodes, which are processes of this machine."""

import csv
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.submission.study.conftest import HEAD

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is missing: pip install ray")

STUDY = (
    HEAD
    + """\
"train_vae.epochs" = 2
[train]
datasets = ["mpi3d_sim_real_mini"]
seeds = [1, 2]
[grade]
metrics = ["mig"]
codes_from = "features"
"""
)


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield made
    made.shutdown()


def rows_in(folder: Path) -> list[dict[str, str]]:
    """The rows of a study's table, without times and the bytes of logs."""
    with (folder / "runs.csv").open() as stream:
        return [
            {name: cell for name, cell in row.items() if not name.startswith(("seconds", "bytes"))}
            for row in csv.DictReader(stream)
        ]


def finished(command: subprocess.Popen) -> None:
    _, errors = command.communicate()
    assert command.returncode == 0, errors


def test_a_node_is_lost_while_it_trains(
    cluster: Any, with_weights: Path, tmp_path: Path, submission: Callable
) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    file, features = with_weights / "study.toml", tmp_path / "features"
    file.write_text(STUDY)
    words = ("study", file, "--features-dir", features, "--device", "cpu", "--output")
    together, alone = tmp_path / "together", tmp_path / "alone"
    on_cluster = submission(*words, together, "--cluster", cluster.address)
    while len(list(together.glob("runs/*/log.txt"))) < 2:
        assert on_cluster.poll() is None, on_cluster.communicate()
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)
    finished(on_cluster)
    logs = [path.read_text().count(" train ") for path in together.glob("runs/*/log.txt")]
    assert sorted(logs) == [1, 2]  # what was in flight on that node is done again, on the other
    assert not list(tmp_path.rglob(".study-*")) and not list(together.rglob(".cluster-*"))

    finished(submission(*words, alone))
    assert rows_in(together) == rows_in(alone)
    assert [row["state"] for row in rows_in(alone)] == ["done", "done"]
