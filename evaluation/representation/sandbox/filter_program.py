"""Instructions of the small machine that seccomp's filters run on (`bpf(4)`).

Each is an operation, how far to jump where a comparison holds and where it does not, and a value.
"""

import struct
from collections.abc import Sequence

SIZE = 8
"""Bytes of an instruction."""

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_GIVE = 0x06  # BPF_RET | BPF_K

_SECCOMP_RET_ALLOW = 0x7FFF0000
_SECCOMP_RET_ERRNO = 0x00050000

# Where `struct seccomp_data` has what a filter looks at.
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16
_ARGUMENT_BYTES = 8

_AUDIT_ARCHITECTURES = {
    "x86_64": 0xC000003E,
    "aarch64": 0xC00000B7,
}
_FIRST_X32_CALL = 0x40000000  # a second set of numbers for the calls of x86_64


def _instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


ALLOW = _instruction(_GIVE, _SECCOMP_RET_ALLOW)
"""Ends a program: what nothing denied is allowed."""


def _fail(error: int) -> bytes:
    return _instruction(_GIVE, _SECCOMP_RET_ERRNO | error)


def only_architecture(machine: str, error: int) -> bytes:
    """Begins a program: calls by other numbers than those of `machine` fail with `error`."""
    return (
        _instruction(_LOAD, _ARCHITECTURE)
        + _instruction(_EQUAL, _AUDIT_ARCHITECTURES[machine], if_true=1)
        + _fail(error)
        + _instruction(_LOAD, _NUMBER)
        + _instruction(_AT_LEAST, _FIRST_X32_CALL, if_false=1)
        + _fail(error)
    )


def deny(number: int, error: int) -> bytes:
    """The system call `number` fails with `error`."""
    return _instruction(_EQUAL, number, if_false=1) + _fail(error)


def deny_but_zero(number: int, argument: int, error: int) -> bytes:
    """The system call fails where its argument, counted from 0, a process's number, is not 0."""
    return (
        _instruction(_EQUAL, number, if_false=4)
        + _instruction(_LOAD, _ARGUMENTS + _ARGUMENT_BYTES * argument)
        + _instruction(_EQUAL, 0, if_true=1)
        + _fail(error)
        + ALLOW
    )


def deny_values(number: int, argument: int, values: Sequence[int], error: int) -> bytes:
    """The system call fails where its argument, counted from 0, is one of the `values`.

    All else that it may ask for is allowed: a system call has one such rule.
    """
    compared = [
        _instruction(_EQUAL, value, if_true=len(values) - place)
        for place, value in enumerate(values)
    ]
    return (
        _instruction(_EQUAL, number, if_false=len(values) + 3)
        + _instruction(_LOAD, _ARGUMENTS + _ARGUMENT_BYTES * argument)
        + b"".join(compared)
        + ALLOW
        + _fail(error)
    )


def deny_any_flag(number: int, argument: int, flags: int, error: int) -> bytes:
    """The system call fails where its argument, counted from 0, has any of the `flags`."""
    return (
        _instruction(_EQUAL, number, if_false=4)
        + _instruction(_LOAD, _ARGUMENTS + _ARGUMENT_BYTES * argument)
        + _instruction(_ANY_BIT, flags, if_false=1)
        + _fail(error)
        + ALLOW
    )


def deny_all_flags(number: int, argument: int, flags: int, error: int) -> bytes:
    """The system call fails where its argument, counted from 0, has all of the `flags`."""
    return (
        _instruction(_EQUAL, number, if_false=5)
        + _instruction(_LOAD, _ARGUMENTS + _ARGUMENT_BYTES * argument)
        + _instruction(_AND, flags)
        + _instruction(_EQUAL, flags, if_false=1)
        + _fail(error)
        + ALLOW
    )
