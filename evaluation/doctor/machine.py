"""Python, processor, memory and disk."""

import os
import platform
import sys
from pathlib import Path

from evaluation.common import environment
from evaluation.common.devices import cores
from evaluation.common.files import free_bytes, readable_size
from evaluation.doctor.finding import Finding

_AREA = "Machine"
_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "BF16",
}
"""Flag in /proc/cpuinfo -> name. Those that decide how fast networks run on a CPU."""

_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}

_LEAST_MEMORY = 4 * 2**30
_LEAST_DISK = 4 * 2**30
"""What the main job takes on a mini: about 2 GB of memory and 1 GB of files."""


def findings() -> list[Finding]:
    return [python(), *processor(_cpuinfo()), memory(), disk()]


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    shown = ".".join(map(str, version))
    if (3, 10) <= version[:2] <= (3, 13):
        return Finding(_AREA, "Python", f"{shown} in {sys.prefix}")
    return Finding(
        _AREA,
        "Python",
        shown,
        "broken",
        "everything",
        "Install Python 3.10 to 3.13 or uv, remove .venv, and run ./local_eval.sh setup",
    )


def processor(cpuinfo: str) -> list[Finding]:
    """The processor's name, the cores that this process may use, and its instructions.

    Args:
        cpuinfo: The content of /proc/cpuinfo.
    """
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in reversed(lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    has = [name for flag, name in _INSTRUCTIONS.items() if flag in flags]
    name = fields.get("model name", platform.machine())
    shown = Finding(
        _AREA, "Processor", f"{name}, {cores()} cores, {', '.join(has) or 'no vectors'}"
    )
    if flags & _BF16:
        return [shown, Finding(_AREA, "bf16 on the CPU", "the processor has instructions for it")]
    return [
        shown,
        Finding(
            _AREA,
            "bf16 on the CPU",
            "no instructions for it",
            "absent",
            "--precision bf16 without a GPU",
            "Use float32 here; bf16 takes a processor with AVX-512 BF16 or AMX, or a GPU",
        ),
    ]


def memory() -> Finding:
    """The machine's memory, or the container's limit if that is lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.exists() else "max"
    total = min(total, int(text)) if text.isdecimal() else total
    found = readable_size(total)
    if total >= _LEAST_MEMORY:
        return Finding(_AREA, "Memory", found)
    return Finding(
        _AREA,
        "Memory",
        found,
        "absent",
        "training, and grading of large networks",
        f"Give this machine or container at least {readable_size(_LEAST_MEMORY)}",
    )


def disk(folder: Path = environment.SCRATCH) -> Finding:
    """The free space where results and rendered data are written."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = free_bytes(there)
    found = f"{readable_size(free)} free for {folder}"
    if free >= _LEAST_DISK:
        return Finding(_AREA, "Disk", found)
    return Finding(
        _AREA,
        "Disk",
        found,
        "broken",
        "data, features and checkpoints",
        f"Free at least {readable_size(_LEAST_DISK)} there",
    )


def _cpuinfo() -> str:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8")
