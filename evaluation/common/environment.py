"""The environment variables that control the kit, set by AIcrowd's evaluator or by the user.

A variable that is set wins over the kit's default. By default a checkout keeps everything under its
own `scratch/`. An installed kit writes nothing beside its code. It puts files that can be made
again into the user's cache folder, and results into `scratch/shared` of the current folder.
"""

import ctypes
import os
import sys
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.extras import KIT

REPOSITORY = Path(__file__).resolve().parent.parent.parent
"""The folder of both packages: a checkout of the kit, or the site-packages of an installed one."""

IS_CHECKOUT = (REPOSITORY / "aicrowd.json").is_file()


def _cache() -> Path:
    """The kit's cache folder, where the XDG Base Directory Specification puts it."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / KIT


SCRATCH = REPOSITORY / "scratch" if IS_CHECKOUT else _cache()
"""The folder for files that later runs use again: datasets, features, weights."""

LABELS_LINE = "# Learned the labels of: "
"""Begins the first line of an experiment's config.gin, if its training used labels of datasets."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's variable: 1 turns large pages on. PyTorch reads it once, when it first allocates."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""

_FALSE = {"", "0", "false", "no", "off"}


def _folder(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default)


def switch(variable: str, default: bool) -> bool:
    """Whether a variable is true: any value except "", "0", "false", "no" and "off"."""
    value = os.environ.get(variable)
    return default if value is None else value.strip().lower() not in _FALSE


def checkout() -> Path:
    """The folder of the repository that is submitted, and whose image is built.

    Raises:
        KitError: `CHECKOUT-MISSING`, the kit was installed from a wheel.
    """
    if not IS_CHECKOUT:
        raise KitError(
            "CHECKOUT-MISSING",
            f"{REPOSITORY} is not a checkout of the kit: it has no aicrowd.json",
            "Run this command in a clone of the kit's repository",
        )
    return REPOSITORY


def data_root() -> Path:
    """`DISENTANGLEMENT_LIB_DATA`: the folder that holds one folder for each dataset."""
    return _folder("DISENTANGLEMENT_LIB_DATA", SCRATCH / "dataset")


def output_path() -> Path:
    """`AICROWD_OUTPUT_PATH`: the folder that holds one folder for each experiment."""
    place = SCRATCH if IS_CHECKOUT else Path("scratch")
    return _folder("AICROWD_OUTPUT_PATH", place / "shared")


def evaluation_name() -> str:
    """`AICROWD_EVALUATION_NAME`: the experiment's name."""
    return os.environ.get("AICROWD_EVALUATION_NAME") or "experiment"


def dataset_name() -> str:
    """`AICROWD_DATASET_NAME`: the dataset for training without labels and for grading."""
    return os.environ.get("AICROWD_DATASET_NAME") or "mpi3d_sim_real_mini"


def torch_home() -> Path:
    """`TORCH_HOME`: the folder of torchvision's weights and of fine-tuned checkpoints."""
    return _folder("TORCH_HOME", SCRATCH / "torch_home")


def is_grading() -> bool:
    """`AICROWD_IS_GRADING`: whether AIcrowd's evaluator is listening."""
    return switch("AICROWD_IS_GRADING", default=False)


def use_huge_pages() -> None:
    """Makes PyTorch ask Linux for memory pages of 2 MiB. Call this before PyTorch allocates.

    Every batch puts its feature maps into new memory. With pages of 4 KiB the page faults take up
    to a fifth of a convolutional network's time on a CPU.
    """
    os.environ.setdefault(HUGE_PAGES, "1")


def keep_freed_memory() -> None:
    """Makes the C library keep blocks of up to 512 MiB that are freed, for the next one to ask.

    It gives those above 32 MiB back to Linux, which clears every page before somebody gets it
    again. Training frees and asks for each step's gradients: at 55 million weights that took a
    tenth to a fifth of a step on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # a C library other than glibc has no such setting
        mallopt(_M_MMAP_THRESHOLD, 2**29)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _added_package_folders() -> list[Path]:
    """The package folders outside Python's own: from PYTHONPATH, and the user's folder."""
    own = {Path(sys.prefix), Path(sys.base_prefix)}
    return [folder for folder in package_folders() if not own & set(folder.parents)]


def package_folders() -> list[Path]:
    """The folders of installed packages that this process imports from."""
    named = ("site-packages", "dist-packages")
    return [Path(entry) for entry in sys.path if entry.rstrip(os.sep).endswith(named)]


def of_worker(work: Path) -> dict[str, str]:
    """The whole environment of a process that runs a participant's code. It holds no secrets.

    Args:
        work: The folder that the process may write to.
    """
    kept = (
        "PATH",
        "LANG",
        "LC_ALL",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "ONEDNN_MAX_CPU_ISA",
    )
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONPATH": os.pathsep.join(map(str, [REPOSITORY, *_added_package_folders()])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(work),
        "TMPDIR": str(work),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        HUGE_PAGES: "1",
    }
