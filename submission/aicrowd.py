"""Sends the events that AIcrowd's evaluator expects: start, progress, submission, crash.

During grading (`AICROWD_IS_GRADING` is true) aicrowd-api puts each event into a Redis list, and the
evaluator reads it there. Otherwise the event is checked in the same way, and printed to the log.

If the Redis server is absent or refuses the password, aicrowd-api retries without end and without a
message. Its import also changes the root logger. Here every call ends within a fixed time, and
logging stays as it was.

run.sh sends an event with `python -m submission.aicrowd EVENT [MESSAGE]`.
"""

import argparse
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

from evaluation.common import environment
from evaluation.common.errors import KitError, run_command
from evaluation.common.terminal import console

CONNECT_SECONDS = 10.0
"""The longest time for one attempt to reach the evaluator's Redis; there are three attempts."""

ACKNOWLEDGE_SECONDS = 600.0
"""The longest time for the evaluator to acknowledge an event that waits for it."""

_highest_progress = 0.0

Kind = Literal["AICROWD_EVENT_INFO", "AICROWD_EVENT_SUCCESS", "AICROWD_EVENT_ERROR"]


def execution_started() -> None:
    """Reports that run.sh has started."""
    _send("AICROWD_EVENT_INFO", "execution_started")


def register_progress(fraction: float) -> None:
    """Reports how much of the training is done.

    Args:
        fraction: In [0, 1]. If it is below an earlier value, the earlier value is sent, so the
            evaluator's bar never moves back.

    Raises:
        KitError: `EVENTS-PAYLOAD`, the value is outside [0, 1] or NaN; `EVENTS-UNREACHABLE`,
            `EVENTS-REFUSED` or `EVENTS-UNANSWERED`, the evaluator does not take the event.
    """
    global _highest_progress  # noqa: PLW0603 - the evaluator also has one bar for each process
    fraction = float(fraction)  # aicrowd-api would fail on NumPy's own float, but only when grading
    if not 0 <= fraction <= 1:
        raise KitError(
            "EVENTS-PAYLOAD",
            f"training progress is {fraction}, which is not in [0, 1]",
            "Give register_progress the fraction of the training that is done",
        )
    _highest_progress = max(_highest_progress, fraction)
    _send("AICROWD_EVENT_INFO", "register_progress", training_progress=_highest_progress)


def submit() -> None:
    """Submits the exported representation, and waits until the evaluator acknowledges it."""
    _send("AICROWD_EVENT_SUCCESS", "submit", blocking=True)


def execution_error(message: str) -> None:
    """Reports that run.sh failed, and waits until the evaluator acknowledges it."""
    _send("AICROWD_EVENT_ERROR", "execution_error", blocking=True, error=str(message))


def _send(kind: Kind, name: str, *, blocking: bool = False, **details: float | str) -> None:
    payload = {"event_type": f"disentanglement_challenge:{name}", **details}
    if not environment.is_grading():
        console.print(f"event {json.dumps(payload, allow_nan=False)}", markup=False)
        return

    seconds = CONNECT_SECONDS + (ACKNOWLEDGE_SECONDS if blocking else 0)
    try:
        _within(seconds, _evaluator().register_event, kind, name, payload, blocking)
    except _NoAnswerError as silence:
        raise KitError(
            "EVENTS-UNANSWERED",
            f"the evaluator did not acknowledge the event '{name}' ({silence})",
            "Look at the evaluator's log, or set AICROWD_IS_GRADING=0 to run without the evaluator",
        ) from silence


@cache
def _evaluator() -> Any:
    """aicrowd-api's sender, after a test that its Redis server answers.

    Raises:
        KitError: `EVENTS-REFUSED`, the server refuses the connection; `EVENTS-UNREACHABLE`, no
            server answers.
    """
    with _root_logging_kept():
        from aicrowd_api.events import AIcrowdEvents
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    events = AIcrowdEvents()
    address = f"{events.REDIS_HOST}:{events.REDIS_PORT}"
    probe = redis.Redis(
        host=events.REDIS_HOST,
        port=events.REDIS_PORT,
        db=events.REDIS_DB,
        password=events.REDIS_PASSWORD,
        socket_timeout=CONNECT_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(ConstantBackoff(1), retries=2),
    )
    try:
        probe.ping()
    except (redis.AuthenticationError, redis.ResponseError) as refusal:
        raise KitError(
            "EVENTS-REFUSED",
            f"the Redis server at {address} refused the connection ({refusal})",
            "Set AICROWD_REDIS_PASSWORD and AICROWD_REDIS_DB to what the server expects",
        ) from refusal
    except redis.RedisError as silence:
        raise KitError(
            "EVENTS-UNREACHABLE",
            f"no Redis server answers at {address} ({silence})",
            "Set AICROWD_REDIS_HOST and AICROWD_REDIS_PORT, or set AICROWD_IS_GRADING=0 to run "
            "without the evaluator",
        ) from silence
    finally:
        probe.close()
    return events


class _NoAnswerError(Exception):
    pass


def _within(seconds: float, function: Callable[..., object], *arguments: object) -> None:
    """Calls `function` in a thread, and waits at most `seconds` for it.

    aicrowd-api has no time limit. After the limit here, the call still runs in its thread, but the
    thread does not keep the process alive.

    Raises:
        _NoAnswerError: the call failed, or did not end in time.
    """
    failures: list[Exception] = []

    def call() -> None:
        try:
            function(*arguments)
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise _NoAnswerError(failures[0]) from failures[0]
    if thread.is_alive():
        raise _NoAnswerError(f"no answer within {seconds:g} s")


@contextmanager
def _root_logging_kept() -> Iterator[None]:
    """Restores the root logger's handlers and level after the block."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m submission.aicrowd", description=__doc__)
    parser.add_argument("event", choices=("execution_started", "submit", "execution_error"))
    parser.add_argument("message", nargs="?", default="", help="what went wrong (execution_error)")
    arguments = parser.parse_args(argv)
    if arguments.event == "execution_error":
        execution_error(arguments.message)
    else:
        {"execution_started": execution_started, "submit": submit}[arguments.event]()
    return 0


if __name__ == "__main__":
    run_command(main)
