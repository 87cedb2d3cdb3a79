"""The share of a machine's CPUs and GPUs that one of several workers takes."""

import os
from contextlib import suppress


def take_share(number: int, workers: int) -> None:
    """Limits this process to its share of the CPUs and GPUs, as worker `number` of `workers`.

    What it starts later inherits the limits.
    """
    cpus = sorted(os.sched_getaffinity(0))
    share = cpus[number::workers] or [cpus[number % len(cpus)]]
    os.sched_setaffinity(0, share)
    devices = _cuda_devices()
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]


def _cuda_devices() -> list[str]:
    """The names of the GPUs that this process may use, without a start of CUDA."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    # CUDA counts those that it finds: a container with nothing but /dev/nvidia3 has number 0.
    nodes = [entry.name.removeprefix("nvidia") for entry in _nodes()]
    return [str(number) for number in range(sum(map(str.isdecimal, nodes)))]


def _nodes() -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir("/dev") as entries:
        return list(entries)
    return []
