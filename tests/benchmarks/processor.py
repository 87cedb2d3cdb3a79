"""What a benchmark's figures hold for: the processor, and whether it has bf16."""

from pathlib import Path

import torch

from evaluation.common.devices import Precision, cores
from submission.runtime.precision import has_bf16


def describe() -> str:
    """The processor's name and how many cores this process may use, for the first line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else "unknown processor"
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}), {cores()} cores"


def precisions() -> tuple[Precision, ...]:
    """Those that this processor has instructions for."""
    return ("float32", "bf16") if has_bf16("cpu") else ("float32",)
