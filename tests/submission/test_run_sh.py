"""run.sh as AIcrowd's evaluator starts it."""

from pathlib import Path

import pytest

from tests.checkouts import bundle_encoder, kit, make_checkout

EVENT = 'event {"event_type": "disentanglement_challenge:'


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_checkout(tmp_path_factory.mktemp("checkout"))
    bundle_encoder(folder, tmp_path_factory.mktemp("shared"))
    return folder


def events(log: str) -> list[str]:
    return [
        line.removeprefix(EVENT).partition('"')[0]
        for line in log.splitlines()
        if line.startswith(EVENT)
    ]


def test_the_bundled_encoder_goes_where_the_evaluator_says(checkout: Path, tmp_path: Path) -> None:
    result = kit(
        checkout,
        "./run.sh",
        AICROWD_OUTPUT_PATH=str(tmp_path),
        AICROWD_EVALUATION_NAME="round 2",
    )
    assert result.returncode == 0, result.stderr
    assert events(result.stdout) == ["execution_started", "submit"]
    bundled = checkout / "submission/bundle/representation/pytorch_model.pt"
    exported = tmp_path / "round 2/representation/pytorch_model.pt"
    assert exported.read_bytes() == bundled.read_bytes()


def test_it_runs_from_any_folder_and_through_a_link(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "start").symlink_to(checkout / "run.sh")
    result = kit(tmp_path, "./start", AICROWD_OUTPUT_PATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "experiment/representation/pytorch_model.pt").is_file()


def test_a_spoiled_bundle_is_an_event_and_a_failure(checkout: Path, tmp_path: Path) -> None:
    config = checkout / "submission/bundle/config.gin"
    kept = config.read_bytes()
    config.write_bytes(b"main.seed = 2\n")
    try:
        result = kit(checkout, "./run.sh", AICROWD_OUTPUT_PATH=str(tmp_path))
    finally:
        config.write_bytes(kept)
    assert result.returncode == 2
    assert "error[BUNDLE-DIFFERS]" in result.stderr
    assert events(result.stdout) == ["execution_started", "execution_error"]
    assert not (tmp_path / "experiment").exists()


def test_one_argument_is_refused(checkout: Path) -> None:
    result = kit(checkout, "./run.sh", "submission/configs/quick.gin")
    assert result.returncode == 2
    assert "error[USAGE]" in result.stderr
