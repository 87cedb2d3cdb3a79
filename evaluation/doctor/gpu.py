"""GPUs: the driver, PyTorch's CUDA, and whether a product is really computed.

Without a GPU, PyTorch is not imported: its version and CUDA are read from its files.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from evaluation.common import devices, environment
from evaluation.common.errors import KitError
from evaluation.doctor.finding import Finding

_AREA = "Networks"
_CONTROL = Path("/dev/nvidiactl")
"""The node through which the driver is reached; a container has it only if it was given GPUs."""

_SECONDS = 20.0
_NEW_DRIVER = "Install NVIDIA's newest driver on the host, and start again"


def findings() -> list[Finding]:
    torch = pytorch()
    if torch.state != "good":
        return [torch]
    here = gpus()
    used = "cuda" if here.state == "good" else "cpu"
    if not environment.switch("AICROWD_CUDA", default=True):
        used = "cpu, because AICROWD_CUDA is off"
    return [torch, here, Finding(_AREA, "Will use", f"{used}, in float32 unless told otherwise")]


def pytorch() -> Finding:
    """PyTorch's version, and the CUDA it was built for."""
    try:
        found = f"{version('torch')}, {_built_for() or 'built without CUDA'}"
    except PackageNotFoundError:
        return Finding(
            _AREA,
            "PyTorch",
            "not installed",
            "broken",
            "training, and grading of TorchScript",
            "Run ./local_eval.sh setup",
        )
    return Finding(_AREA, "PyTorch", found)


def gpus() -> Finding:
    """The GPUs with their driver; a GPU that is there but cannot be used is "broken"."""
    listed = _listed()
    problem = usable_gpu(listed, _built_for(), _compute)
    if problem is not None:
        found = "; ".join(listed) or "a driver, and no GPU"
        return Finding(_AREA, "GPU", found, "broken", problem.problem, problem.remedy)
    if not listed:
        return Finding(
            _AREA,
            "GPU",
            "none",
            "absent",
            "stage 1 and stage 2 at full size",
            "Use a machine with an NVIDIA GPU; in a container, start it with --gpus all",
        )
    return Finding(_AREA, "GPU", "; ".join(listed))


def usable_gpu(
    listed: list[str], built_for: str | None, compute: Callable[[], None]
) -> KitError | None:
    """Why the GPUs of this machine cannot be used; None if they can, or if there are none.

    Args:
        listed: What nvidia-smi lists.
        built_for: "CUDA 13.0" and so on: what PyTorch was built for.
        compute: Computes something on a GPU; raises what PyTorch raises.
    """
    if not listed and not _CONTROL.exists():
        return None
    if not listed:
        return KitError(
            "GPU-NONE",
            "NVIDIA's driver is here, but nvidia-smi lists no GPU",
            "In a container, check --gpus and NVIDIA_VISIBLE_DEVICES; on the host, run nvidia-smi",
        )
    if built_for is None:
        return KitError(
            "GPU-BUILD",
            "PyTorch was built without CUDA",
            "Install PyTorch's CUDA wheel: ./local_eval.sh setup does, on Linux",
        )
    try:
        compute()
    except Exception as error:  # PyTorch raises errors of several kinds
        return _cause(" ".join(str(error).split()), built_for)
    return None


class _Cause(NamedTuple):
    """What may be wrong, and words of PyTorch's message that tell it."""

    code: str
    problem: str
    remedy: str
    words: tuple[str, ...]


_CAUSES = (
    _Cause("GPU-DRIVER", "the driver is too old", _NEW_DRIVER, ("is too old",)),
    _Cause(
        "GPU-LIBRARY",
        "PyTorch does not find the driver's library, libcuda",
        "In a container, set NVIDIA_DRIVER_CAPABILITIES=compute,utility; on the host, install "
        "NVIDIA's driver",
        ("no NVIDIA driver",),
    ),
    _Cause(
        "GPU-COMPAT",
        "libcuda of another CUDA, such as an image brings along, does not fit the host's driver",
        "Take CUDA's folder compat out of LD_LIBRARY_PATH, or install NVIDIA's newest driver on "
        "the host and start again",
        ("forward compatibility", "driver combination"),
    ),
    _Cause(
        "GPU-FABRIC",
        "the links between this machine's GPUs are not set up",
        "Start nvidia-fabricmanager on the host, in the version of its driver",
        ("system not yet initialized",),
    ),
    _Cause(
        "GPU-KERNEL",
        "PyTorch has no code for this GPU's architecture",
        "Install a build of PyTorch that names this GPU's compute capability, or use the CPU",
        ("no kernel image",),
    ),
    _Cause(
        "GPU-FULL",
        "another program has taken the GPU's memory",
        "End it, see nvidia-smi",
        ("out of memory",),
    ),
)


def _cause(message: str, built_for: str) -> KitError:
    for cause in _CAUSES:
        if any(words in message for words in cause.words):
            problem = f"{cause.problem} (PyTorch is built for {built_for})"
            return KitError(cause.code, problem, cause.remedy)
    return KitError("GPU-CUDA", f"CUDA does not start: {message[:200]}", _NEW_DRIVER)


def _listed() -> list[str]:
    """A GPU's name, memory and driver, for each that nvidia-smi lists."""
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            asked, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if answer.returncode != 0:
        return []
    rows = [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines()]
    return [f"{row[0]}, {row[1]}, driver {row[2]}" for row in rows if len(row) == 3]


def _built_for() -> str | None:
    """ "CUDA 13.0" and so on, from a file of PyTorch's."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", source, re.MULTILINE)
    return f"CUDA {found[1]}" if found else None


def _compute() -> None:
    import torch

    devices.start_cuda()
    ones = torch.ones(64, 64, device="cuda")
    if float((ones @ ones).sum()) != 64.0**3:
        raise RuntimeError("a product of two small matrices is wrong")
