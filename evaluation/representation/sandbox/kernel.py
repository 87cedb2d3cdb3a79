"""Calls of the Linux kernel that Python has no function for."""

import ctypes
import os

PR_SET_PDEATHSIG = 1
"""Option of `set_process_option`: the signal that the parent's death sends."""

libc = ctypes.CDLL(None, use_errno=True)
"""The C library that this process runs with."""


def check(result: int) -> int:
    """The result of a call of `libc`.

    Raises:
        OSError: the call failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(number: int, *arguments: object) -> int:
    """Makes the system call `number`, for which `libc` has no function of its own.

    Raises:
        OSError: the call failed.
    """
    return check(libc.syscall(number, *arguments))


def set_process_option(option: int, value: object) -> None:
    """`prctl(2)` with one value.

    Raises:
        OSError: the call failed.
    """
    check(libc.prctl(option, value, 0, 0, 0))
