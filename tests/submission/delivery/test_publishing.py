"""Model cards, and their way to a Hub on loopback by the Hub's own library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from submission import __main__ as command
from submission.delivery import card
from tests.checkouts import write_encoder
from tests.submission.delivery.hub import hub

huggingface_hub = pytest.importorskip("huggingface_hub")

HOSTILE = "<script>alert(1)</script>\n---\n[x](javascript:y) | **`_"
CONFIG = "main.seed = 1\ntrain_vae.latent_dims = 18\nmain.transform_class = @RMACTransform\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The experiment `small`, exported and graded."""
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path))
    folder = tmp_path / "small"
    write_encoder(folder / "representation" / "pytorch_model.pt")
    (folder / "config.gin").write_text(CONFIG, encoding="utf-8")
    write_scores(folder)
    return folder


def write_scores(folder: Path, dataset: str = "mpi3d_real", noise: str = "noise") -> None:
    scores = {"dci": 0.25, "mig": 0.125, "irs": None}
    content = {
        "scores": scores,
        "baselines": {noise: {"dci": 0.01, "mig": 0.0, "irs": 0.5}},
        "dataset": dataset,
        "engine": "fast",
        "seed": 0,
        "representation": {
            "path": "small",
            "kind": "torchscript",
            "sha256": sha256_of(folder / "representation/pytorch_model.pt"),
            "dim": 6,
        },
    }
    (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")


def read(folder: Path) -> huggingface_hub.ModelCard:
    """The card as the Hub's library reads it."""
    assert command.main(["card", folder.name]) == 0
    return huggingface_hub.ModelCard.load(folder / "README.md")


def code(*words: str) -> str:
    with pytest.raises(KitError) as refused:
        command.main(list(words))
    return refused.value.code


def test_the_hubs_library_reads_scores_data_and_licence(folder: Path) -> None:
    made = read(folder)
    found = {result.metric_type: result.metric_value for result in made.data.eval_results}
    assert found == {"dci": 0.25, "mig": 0.125}
    assert {result.dataset_type for result in made.data.eval_results} == {"waleedgondal/mpi3d"}
    assert made.data.model_name == "small" and made.data.license == "apache-2.0"
    assert "| dci | 0.2500 | 0.0100 |" in made.text and "| irs | none | 0.5000 |" in made.text
    assert "Its licence: CC BY 4.0" in made.text
    assert "- Latents of the VAE: 18" in made.text and CONFIG.strip() in made.text
    assert sha256_of(folder / "representation/pytorch_model.pt") in made.text


def test_without_a_config_there_is_no_method(folder: Path) -> None:
    (folder / "config.gin").unlink()
    assert "## Method" not in read(folder).text


def test_names_of_others_stay_text(folder: Path) -> None:
    write_scores(folder, dataset=HOSTILE, noise=HOSTILE)
    (folder / "config.gin").write_text(f"a.b = 1\n```\n````\n{HOSTILE}\n", encoding="utf-8")
    made = read(folder)
    outside, _, config = made.text.partition("`````python\n")
    assert config.count("`````") == 1, "only the fence itself ends the config"
    assert "<script" not in outside and "[x](" not in outside
    assert r"\[x\]\(javascript:y\) \| \*\*\`\_" in outside
    assert made.data.eval_results[0].dataset_name == HOSTILE.replace("\n", "\\n")


def test_a_card_that_was_edited_is_kept(folder: Path) -> None:
    first = read(folder).content
    (folder / "README.md").write_text(f"{first}My own words.\n", encoding="utf-8")
    assert read(folder).content == first
    (kept,) = folder.glob("README.????????.md")
    assert kept.read_text(encoding="utf-8").endswith("My own words.\n")
    assert read(folder).content == first and len(list(folder.glob("README*"))) == 2


def test_a_card_needs_the_scores_of_its_export(folder: Path) -> None:
    with (folder / "representation/pytorch_model.pt").open("ab") as stream:
        stream.write(b"\0")
    assert code("card", "small") == "CARD-STALE"
    (folder / "scores.json").write_text("{", encoding="utf-8")
    assert code("card", "small") == "CARD-SCORES"
    (folder / "scores.json").unlink()
    assert code("card", "small") == "CARD-SCORES"
    assert code("card", "absent") == "REPRESENTATION-MISSING"


def publish(
    folder: Path, endpoint: str, token: str, *flags: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own: the library reads HF_ENDPOINT once."""
    return subprocess.run(
        [sys.executable, "-m", "submission", "publish", "small", "--repo", "jane/small", *flags],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "AICROWD_OUTPUT_PATH": str(folder.parent),
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": token,
            "HF_HOME": str(folder.parent / "hf"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_export_and_card_arrive_and_nothing_else(folder: Path) -> None:
    assert command.main(["card", "small"]) == 0
    (folder / "checkpoint.pt").write_text("not for others")
    (folder / "representation/.left").write_text("not for others")
    (folder / "representation/link.txt").symlink_to("/etc/hostname")
    (folder / "representation/a[b]*.txt").write_text("a name that is a pattern")
    (folder / "representation/ab.txt").write_text("what the pattern would match")
    names = {"README.md", "config.gin", "scores.json", "representation/pytorch_model.pt"}
    names |= {"representation/a[b]*.txt", "representation/ab.txt"}
    with hub("secret") as server:
        dry = publish(folder, server.url, "secret", "--dry-run")
        assert dry.returncode == 0 and "nothing was sent to jane/small" in dry.stdout
        assert all(name in dry.stdout for name in names) and "checkpoint" not in dry.stdout
        assert server.requests == []

        done = publish(folder, server.url, "secret")
        assert done.returncode == 0, done.stderr
        assert f"Published at {server.url}/jane/small/commit/" in done.stdout
        pushed = server.repositories["jane/small"]
        assert pushed == {name: (folder / name).read_bytes() for name in names}

        refused = publish(folder, server.url, "another")
        assert refused.returncode == 2 and "error[PUBLISH-REFUSED]" in refused.stderr
        assert "Traceback" not in refused.stderr and "another" not in refused.stderr
        closed = server.url
    lost = publish(folder, closed, "secret")
    assert lost.returncode == 2 and "error[PUBLISH-LOST]" in lost.stderr


def test_what_cannot_be_published_is_refused(folder: Path) -> None:
    assert code("publish", "small", "--repo", "small", "--dry-run") == "PUBLISH-NAME"
    assert code("publish", "small", "--repo", "a/../b", "--dry-run") == "PUBLISH-NAME"
    assert code("publish", "small", "--repo", "jane/small", "--dry-run") == "PUBLISH-CARD"
    card.make("small")
    write_encoder(folder / "representation/pytorch_model.pt", dims=5)
    assert code("publish", "small", "--repo", "jane/small", "--dry-run") == "PUBLISH-CARD"
