"""What a representation may read: the interpreter, its libraries, the kit's code and itself."""

import os
import sys
from pathlib import Path

from evaluation.common import environment

_LIBRARIES = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
)

_PLACE_AND_TIME = (
    "/etc/localtime",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
)

_MACHINE = (
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
)

_GPU = (
    "/proc/devices",
    "/proc/driver/nvidia",
    "/proc/modules",
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/class/kfd",
    "/sys/devices",
    "/sys/module/nvidia",
    "/sys/module/nvidia_uvm",
    "/opt/rocm",
    "/usr/local/nvidia",
    "/usr/share/nvidia",
)

_PARTS_OF_A_PREFIX = ("bin", "lib", "lib32", "lib64", "pyvenv.cfg")

_DEVICES = ("null", "full", "random", "urandom")
# Not /dev/zero: a shared mapping of it is memory that can be held unseen.

_GPU_DEVICES = ("nvidia*", "nvidia-caps/*", "dri/*", "kfd", "dxg")


def readable_paths(copy: Path, device: str) -> list[Path]:
    """Files and folders that may be read, links unresolved, none of them inside another.

    Args:
        copy: The representation.
        device: "cpu", or one of the GPUs.
    """
    gpu = [*map(Path, _GPU), *Path("/usr/local").glob("cuda*")] if device != "cpu" else []
    listed = map(Path, (*_LIBRARIES, *_PLACE_AND_TIME, *_MACHINE))
    own = (environment.REPOSITORY / "evaluation", copy)
    paths = {Path(os.path.normpath(path)) for path in (*listed, *gpu, *_interpreter(), *own)}
    there = {path for path in paths if os.path.exists(path)}  # noqa: PTH110 - no error if barred
    return sorted(path for path in there if not there & set(path.parents))


def devices(device: str) -> list[Path]:
    """Device nodes that may be read and written."""
    patterns = _DEVICES + (_GPU_DEVICES if device != "cpu" else ())
    found = (node for pattern in patterns for node in Path("/dev").glob(pattern))
    return sorted(node for node in found if not node.is_dir())


def _interpreter() -> list[Path]:
    """Python and the packages installed for it, by the names that it looks them up under."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    # Python's own folder may lie behind links: a virtual environment's, for one.
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    parts = [Path(prefix, part) for prefix in prefixes for part in _PARTS_OF_A_PREFIX]
    return parts + environment.package_folders() + _linker_folders()


def _linker_folders() -> list[Path]:
    """Folders of LD_LIBRARY_PATH that are called a library's: others may hold anything."""
    folders = map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    return [path for path in folders if path.is_absolute() and path.name.startswith("lib")]
