"""Errors that a user can correct, and how a command reports them."""

import errno
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from evaluation.common.escaping import visible
from evaluation.common.extras import EXTRA_OF, KIT

BAD_INPUT = 2
"""Exit status of a command that refused its input."""

NOT_EQUAL = 3
"""Exit status of `--verify` where the engines differ by more than a tolerance."""

_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class KitError(Exception):
    """A problem with what the user gave, not a bug in the kit.

    Args:
        code: Stable identifier in capitals, `AREA-PROBLEM`, that scripts may rely on.
        problem: What is wrong, the value that is wrong, and what is allowed. No full stop.
        remedy: What to do, as an imperative. No full stop.
    """

    def __init__(self, code: str, problem: str, remedy: str) -> None:
        super().__init__(code, problem, remedy)
        self.code = code
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        line = f"error[{self.code}]: {self.problem}. {self.remedy}."
        return visible(" ".join(line.split()))


def missing_extra(module: str) -> KitError:
    """The error for a feature whose package is not installed. `module` is a key of `EXTRA_OF`."""
    extra = EXTRA_OF[module]
    return KitError(
        "EXTRA-MISSING",
        f"this needs the package {module}, which is not installed",
        f"Install the kit with its extra '{extra}', as in pip install '{KIT}[{extra}]', or in a "
        f"checkout run ./local_eval.sh setup",
    )


def require(module: str) -> None:
    """Checks at the start of a feature that its package is installed.

    Args:
        module: A key of `EXTRA_OF`.

    Raises:
        KitError: `EXTRA-MISSING`, it is not installed.
    """
    if find_spec(module) is None:
        raise missing_extra(module)


def first_line(error: Exception) -> str:
    """The first line of what another library's error says, or its type if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_FAILED_DEVICE = (
    "uncorrectable ECC",
    "unspecified launch failure",
    "no CUDA-capable device",
    "busy or unavailable",
    "unknown error",
    "system not yet initialized",
    "driver shutting down",
)
"""What CUDA says of a GPU that has failed or was taken away (`cudaGetErrorString`)."""

_NO_MEMORY = ("out of memory", "ALLOC_FAILED")


def is_full_gpu(error: BaseException) -> bool:
    """Whether an error says that a GPU has too little memory: PyTorch's, or of CUDA's libraries."""
    return any(words in _said_by_cuda(error) for words in _NO_MEMORY)


def of_device(error: BaseException) -> KitError | None:
    """The error to show for one of a GPU; None for all others, such as bugs."""
    said = _said_by_cuda(error)[:200].rstrip(".")
    if is_full_gpu(error):
        return KitError(
            "DEVICE-MEMORY",
            f"the GPU's memory does not take the smallest batch: {said}",
            "End other work on the GPU, set smaller batches, or choose --device cpu",
        )
    if any(words in said for words in _FAILED_DEVICE):
        return KitError(
            "DEVICE-LOST",
            f"the GPU does not answer any more: {said}",
            "Look at nvidia-smi, then run the same command again: finished parts are used again",
        )
    return None


def _said_by_cuda(error: BaseException) -> str:
    """The line of an error that comes from CUDA; empty for other errors.

    It is the first line, except in TorchScript, which puts a trace before it.
    """
    lines = [line.removeprefix("RuntimeError: ") for line in str(error).splitlines()]
    starts = ("CUDA out of memory", "CUDA error", "cuDNN error")
    from_cuda = [line for line in lines if line.startswith(starts)]
    return from_cuda[0] if from_cuda and isinstance(error, RuntimeError) else ""


def tell(error: KitError) -> None:
    """Prints an error as one line, below its traceback where the command line says `--debug`."""
    if "--debug" in sys.argv:
        traceback.print_exception(error)
    # gin raises a subclass whose text also names the configurables; print only our line.
    print(KitError.__str__(error), file=sys.stderr)


def run_command(command: Callable[[Sequence[str] | None], int]) -> None:
    """Runs a command line and exits with its status.

    A `KitError` prints one line. So do a full disk, a folder without write permission, a missing
    optional package, and a GPU that fails or is full. A traceback appears only for a bug. SIGTERM
    raises `SystemExit`, so the command still removes its temporary files and ends its processes.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = command(None)
    except KitError as error:
        tell(error)
        status = BAD_INPUT
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRA_OF:
            raise
        print(missing_extra(module), file=sys.stderr)
        status = BAD_INPUT
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        refusal = KitError(
            "OUTPUT-UNWRITABLE",
            f"{error.filename or 'a file could not be written'}: {error.strerror}",
            "Free some space there, or name a folder that you may write to",
        )
        print(refusal, file=sys.stderr)
        status = BAD_INPUT
    except RuntimeError as error:
        failure = of_device(error)
        if failure is None:
            raise
        tell(failure)
        status = BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
