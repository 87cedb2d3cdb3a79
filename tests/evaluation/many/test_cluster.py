"""Gradings on a real Ray cluster of two nodes, which are processes of this machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from evaluation.common.errors import KitError
from evaluation.many.cluster import on_cluster
from evaluation.many.connecting import refusal_of
from evaluation.many.jobs import Work, one_after_another
from tests.evaluation.many.work import WORK, jobs_of_their_own, measured

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is missing: pip install ray")


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield made
    made.shutdown()


def test_a_node_is_lost_half_way(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    names = [f"slow-{number}" for number in range(40)] + ["refused", "bug"]
    capsys.readouterr()
    alone = dict(one_after_another(jobs_of_their_own(tmp_path / "a", names[:41]), WORK))
    together = {}
    jobs = jobs_of_their_own(tmp_path / "b", names)
    for name, result in on_cluster(cluster.address)(jobs, WORK):
        together[name] = result
        if len(together) == 20:
            cluster.remove_node(node, allow_graceful=False)
    bug, refused, expected = together.pop("bug"), together.pop("refused"), alone.pop("refused")
    assert isinstance(bug, KitError) and bug.code == "JOB-BUG"
    assert isinstance(refused, KitError) and isinstance(expected, KitError)
    assert str(refused) == str(expected)
    assert together == alone
    tries = [len((job.folder / "tries").read_text()) for job in jobs]
    assert sum(tries) <= len(jobs) + 1  # only what was in flight on that node is done again
    assert not list((tmp_path / "b").glob(".cluster-*"))
    printed = capsys.readouterr().out
    assert "was lost with its process or its node" in printed and "aylet" not in printed


def test_a_process_ends_and_its_job_is_refused(cluster: Any, tmp_path: Path) -> None:
    jobs = jobs_of_their_own(tmp_path, ["first", "ends", "once", "last"])
    results = dict(on_cluster(cluster.address)(jobs, WORK))
    ended = results.pop("ends")
    assert isinstance(ended, KitError) and ended.code == "JOB-ENDED"
    assert results == {"first": 15, "once": 12, "last": 12}


def _visible_gpus(job: Any, shared: None) -> str | None:  # noqa: ARG001
    return os.environ.get("CUDA_VISIBLE_DEVICES")


VISIBLE = Work(lambda: None, _visible_gpus)


def test_workers_share_the_gpus_of_their_node(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two are named, as on a node that has them; there need be none to name them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    cluster = request.getfixturevalue("cluster")  # its nodes inherit the variable
    results = dict(on_cluster(cluster.address)(jobs_of_their_own(tmp_path, ["a"]), VISIBLE))
    assert results == {"a": "4"}


def _missing() -> int:
    raise KitError("DATA-MISSING", "there is no dataset at /nowhere", "Download it")


UNSEEN = Work(_missing, measured)


def test_a_node_that_does_not_see_the_data(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(KitError, match=r"node .* cannot open the data: there is no dataset"):
        list(
            on_cluster(cluster.address)(
                jobs_of_their_own(tmp_path, ["a"]), Work(_missing, measured)
            )
        )


def test_a_node_with_other_packages(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(f"{on_cluster.__module__}.versions", lambda: {"numpy": "1.0", "none": "2"})
    with pytest.raises(KitError) as refusal:
        list(on_cluster(cluster.address)(jobs_of_their_own(tmp_path, ["a"]), WORK))
    assert refusal.value.code == "CLUSTER-VERSIONS"
    assert f"numpy {numpy.__version__} instead of 1.0, none missing" in str(refusal.value)


def test_a_cluster_of_another_version() -> None:
    utils = pytest.importorskip("ray._private.utils")
    there = {"ray_version": "2.0.0", "python_version": "3.9.1", "commit": ""}
    with pytest.raises(RuntimeError) as error:
        utils.check_version_info(there, "this node", raise_on_mismatch=True)
    refusal = refusal_of("10.0.0.1:6379", "2.55.1", error.value)
    assert refusal.code == "CLUSTER-VERSIONS"
    assert "has Ray 2.0.0, Python 3.9.1, and this process Ray 2.55.1" in str(refusal)


def test_no_cluster_answers(tmp_path: Path) -> None:
    jobs = jobs_of_their_own(tmp_path, ["a"])
    with pytest.raises(KitError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        list(on_cluster("127.0.0.1:1")(jobs, WORK))
