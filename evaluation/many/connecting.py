"""The connection to a Ray cluster, and a cluster that is started for one command."""

import logging
import os
import platform
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evaluation.common.devices import cores
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError, first_line

_VERSION = re.compile(r"^\s*(Ray|Python): (\S+)", re.MULTILINE)
"""As Ray lists the versions of the cluster, and then those of this process."""

LOCAL = "local"
"""In place of an address: a cluster of this machine, for this command."""

_KEEP_GPUS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Else Ray hides all GPUs from processes that ask it for none, as those that share them do here."""

# When a node is lost, Ray prints the last lines of that node's log to the standard output, where
# `--json` writes. It reads this as it is imported; what a user has set stays.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")


@contextmanager
def connected(address: str, cpus: int | None = None) -> Iterator[Any]:
    """Ray's module, connected to a cluster within the block.

    Args:
        address: As `ray.init` takes it, or `LOCAL`.
        cpus: How many jobs at once a cluster of this machine does; None takes one a CPU.

    Raises:
        KitError: `CLUSTER-UNREACHABLE`, no cluster answers; `CLUSTER-VERSIONS`, it has another
            version of Ray or Python; `CLUSTER-START`, Ray does not start on this machine.
    """
    import ray

    _require_answer(address)
    os.environ.update(_KEEP_GPUS)  # Ray warns where it is not set here, too
    own: dict[str, Any] = {}
    if address == LOCAL:
        own = {"num_cpus": cpus or cores(), "include_dashboard": False}
    try:
        ray.init(
            address=address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY), **_KEEP_GPUS}},
            **own,
        )
    except Exception as error:  # Ray raises plain ones, such as for a start that took too long
        ray.shutdown()
        raise refusal_of(address, ray.__version__, error) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def cpus_of(address: str) -> int:
    """The number of CPUs of a cluster, each of which does one job at a time.

    Raises:
        KitError: as `connected`.
    """
    if address == LOCAL:
        return cores()
    with connected(address) as ray:
        return cpus_in(ray.cluster_resources())


def cpus_in(resources: Mapping[str, float]) -> int:
    """The number of CPUs among Ray's resources."""
    return int(resources.get("CPU", 0))


def _require_answer(address: str) -> None:
    """Checks that an address HOST:PORT answers at all; Ray itself tries for minutes.

    Raises:
        KitError: it does not.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def refusal_of(address: str, version: str, error: Exception) -> KitError:
    """What Ray's error means, of a process with this version of Ray."""
    if "ersion mismatch" in str(error):
        here = f"Ray {version}, Python {platform.python_version()}"
        there = ", ".join(f"{name} {found}" for name, found in _VERSION.findall(str(error))[:2])
        return KitError(
            "CLUSTER-VERSIONS",
            f"the cluster at {address!r} has {there or 'other versions'}, and this process {here}",
            "Install the same versions everywhere",
        )
    if address == LOCAL:
        return KitError(
            "CLUSTER-START",
            f"Ray does not start on this machine: {first_line(error).rstrip('.')}",
            "Try again when it is less busy and has memory free",
        )
    return _unreachable(address, error)


def _unreachable(address: str, error: Exception) -> KitError:
    return KitError(
        "CLUSTER-UNREACHABLE",
        f"no Ray cluster answers at {address!r}: {first_line(error).rstrip('.')}",
        f"Start one with `ray start --head` and give its address, or choose {LOCAL}",
    )
