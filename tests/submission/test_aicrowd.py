"""The events against a real Redis server and a grader of its own process."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.errors import KitError
from submission import aicrowd
from tests import real_parts

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct horse"

GRADER = """
import json, sys, time
from aicrowd_api.events import AIcrowdEvents

grader = AIcrowdEvents()
for event in grader:
    name = event["message"]
    if name in ("submit", "execution_error"):
        time.sleep(6)  # redis 8 would have broken the sender's blocking call after 5 s
        grader.send_blocking_call_response({"status": "noted"})
    print(json.dumps(event), flush=True)
    if name in ("submit", "execution_error"):
        break
"""

SUBMISSION = """
from submission import aicrowd
aicrowd.execution_started()
for fraction in (0.0, 0.25, 0.2, 1.0):
    aicrowd.register_progress(fraction)
aicrowd.submit()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if not real_parts.is_there("redis-server"):
        pytest.skip(real_parts.why_skipped("redis-server"))
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    settings = f"--port {port} --bind 127.0.0.1 --save  --dir {folder}"
    server = subprocess.Popen(
        ["redis-server", *settings.split(" "), "--requirepass", PASSWORD], stdout=subprocess.DEVNULL
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    server.terminate()
    server.wait()


def evaluator(port: int, **settings: str) -> dict[str, str]:
    """The environment of a run that AIcrowd grades."""
    return {
        **os.environ,
        "AICROWD_IS_GRADING": "True",
        "AICROWD_REDIS_HOST": "127.0.0.1",
        "AICROWD_REDIS_PORT": str(port),
        "AICROWD_REDIS_PASSWORD": PASSWORD,
        **settings,
    }


def send(event: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "submission.aicrowd", event],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_submission_tells_the_grader_its_start_its_progress_and_its_end(redis_port: int) -> None:
    environment = evaluator(redis_port)
    grader = subprocess.Popen(
        [sys.executable, "-c", GRADER], env=environment, stdout=subprocess.PIPE, text=True
    )
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", SUBMISSION], cwd=REPOSITORY, env=environment, check=True, timeout=60
    )
    waited = time.monotonic() - began
    events = [json.loads(line) for line in grader.communicate(timeout=30)[0].splitlines()]

    assert grader.returncode == 0
    assert waited > 6, "submit returned before the grader had acknowledged it"
    kinds = [(event["event_type"], event["payload"].pop("event_type")) for event in events]
    assert kinds == [
        ("AICROWD_EVENT_INFO", "disentanglement_challenge:execution_started"),
        *[("AICROWD_EVENT_INFO", "disentanglement_challenge:register_progress")] * 4,
        ("AICROWD_EVENT_SUCCESS", "disentanglement_challenge:submit"),
    ]
    progress = [event["payload"].get("training_progress") for event in events]
    assert progress == [None, 0.0, 0.25, 0.25, 1.0, None]


def test_a_wrong_password_is_an_error_at_once(redis_port: int) -> None:
    result = send("submit", evaluator(redis_port, AICROWD_REDIS_PASSWORD="wrong"))
    assert result.returncode == 2
    assert result.stderr.startswith("error[EVENTS-REFUSED]")


def test_an_absent_server_is_an_error_within_seconds() -> None:
    result = send("execution_error", evaluator(free_port()))
    assert result.returncode == 2
    assert result.stderr.startswith("error[EVENTS-UNREACHABLE]")


def test_a_server_that_accepts_and_says_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name, value in evaluator(silent.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(aicrowd, "CONNECT_SECONDS", 0.2)
        with pytest.raises(KitError, match="EVENTS-UNREACHABLE"):
            aicrowd.execution_started()


def test_an_acknowledgement_that_never_comes_is_an_error(
    redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in evaluator(redis_port, AICROWD_REDIS_DB="1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aicrowd, "ACKNOWLEDGE_SECONDS", 0.5)
    monkeypatch.setattr(aicrowd, "CONNECT_SECONDS", 0.5)
    aicrowd._evaluator.cache_clear()
    with pytest.raises(KitError, match="EVENTS-UNANSWERED"):
        aicrowd.submit()
    aicrowd._evaluator.cache_clear()


@pytest.mark.parametrize("word", ["0", "false", "False", ""])
def test_these_values_mean_that_nobody_grades(word: str) -> None:
    result = send("submit", evaluator(free_port(), AICROWD_IS_GRADING=word))
    assert result.returncode == 0
    assert "disentanglement_challenge:submit" in result.stdout


@pytest.mark.parametrize("fraction", [np.float32(0.5), np.float64(1), np.int64(0), 1])
def test_numpy_scalars_reach_the_log_as_plain_numbers(
    fraction: float, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AICROWD_IS_GRADING", raising=False)
    monkeypatch.setattr(aicrowd, "_highest_progress", 0.0)
    aicrowd.register_progress(fraction)
    logged = json.loads(capsys.readouterr().out.removeprefix("event "))
    assert logged["training_progress"] == float(fraction)


@pytest.mark.parametrize("fraction", [float("nan"), np.nan, np.inf, -0.01, 1.01])
def test_progress_outside_0_to_1_is_refused_off_the_grader_too(
    fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AICROWD_IS_GRADING", raising=False)
    with pytest.raises(KitError, match="EVENTS-PAYLOAD"):
        aicrowd.register_progress(fraction)


def test_root_logging_stays_as_it_was(redis_port: int) -> None:
    check = (
        "import logging; from submission import aicrowd; aicrowd.execution_started();"
        "root = logging.getLogger(); assert (root.handlers, root.level) == ([], logging.WARNING)"
    )
    subprocess.run(
        [sys.executable, "-c", check],
        cwd=REPOSITORY,
        env=evaluator(redis_port, AICROWD_REDIS_DB="2"),
        check=True,
        timeout=60,
    )
