"""The events that AIcrowd's evaluator listens for: start, progress, submission, crash.

Off the grader (`AICROWD_IS_GRADING` unset, 0 or false) each event is checked as on it and goes to
the log. On it aicrowd-api puts the event on a Redis list, where the evaluator picks it up. That
package retries for ever, in silence, while the server is absent or refuses the password, and takes
over root logging when imported; here every call ends within a set time and logging stays as it was.

run.sh sends an event by `python -m submission.aicrowd EVENT [MESSAGE]`.
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
"""How long one try to reach the evaluator's Redis may take; there are three."""

ACKNOWLEDGE_SECONDS = 600.0
"""How long the evaluator may take to acknowledge an event that asks for it."""

_highest_progress = 0.0

Kind = Literal["AICROWD_EVENT_INFO", "AICROWD_EVENT_SUCCESS", "AICROWD_EVENT_ERROR"]


def execution_started() -> None:
    """Reports that run.sh has begun."""
    _send("AICROWD_EVENT_INFO", "execution_started")


def register_progress(fraction: float) -> None:
    """Reports how much of the training is done.

    Args:
        fraction: In [0, 1]. A value below an earlier one is sent as the earlier one, since the
            evaluator shows a bar that only grows.

    Raises:
        KitError: `EVENTS-PAYLOAD` for a value outside [0, 1] or NaN.
    """
    global _highest_progress  # noqa: PLW0603 - the evaluator, too, has one bar for the process
    fraction = float(fraction)  # aicrowd-api would fail on NumPy's own float, but only when grading
    if not 0 <= fraction <= 1:
        raise KitError(
            "EVENTS-PAYLOAD",
            f"training progress is {fraction}, which does not lie in [0, 1]",
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
            "Look at the evaluator's log, or set AICROWD_IS_GRADING=0 to do without it",
        ) from silence


@cache
def _evaluator() -> Any:
    """aicrowd-api's sender, once its Redis has answered with the settings that it will use."""
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
            "Set AICROWD_REDIS_HOST and AICROWD_REDIS_PORT, or AICROWD_IS_GRADING=0 to do without",
        ) from silence
    finally:
        probe.close()
    return events


class _NoAnswerError(Exception):
    pass


def _within(seconds: float, function: Callable[..., object], *arguments: object) -> None:
    """Calls `function`, and stops waiting for it after `seconds`.

    aicrowd-api has no limit of its own. A call that is given up goes on in a thread that does not
    keep the process alive.
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
