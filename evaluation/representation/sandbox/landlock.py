"""Rules about files and signals that a process can never lift again (`landlock(7)`)."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from evaluation.representation.sandbox.kernel import call

_SYS_CREATE_RULESET = 444
_SYS_ADD_RULE = 445
_SYS_RESTRICT_SELF = 446
_ASK_FOR_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))  # remove and make entries of all kinds
_REFER = 1 << 13  # move between folders; from version 2
_TRUNCATE = 1 << 14  # from version 3

_SCOPE_ABSTRACT_SOCKETS = 1 << 0
_SCOPE_SIGNALS = 1 << 1


def restrict_files(work: Path, readable: Sequence[Path], devices: Sequence[Path]) -> None:
    """Leaves `work` to write to, `readable` to read and `devices` for both; nothing else.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = call(_SYS_CREATE_RULESET, None, 0, _ASK_FOR_VERSION)
    read_folder = _EXECUTE | _READ_FILE | _READ_DIR
    write_file = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    everything = read_folder | write_file | _CHANGE_FOLDER | (_REFER if version >= 2 else 0)
    handled = struct.pack("=Q", everything)
    ruleset = call(_SYS_CREATE_RULESET, handled, len(handled), 0)
    try:
        _allow(ruleset, work, everything)
        for path in readable:
            _allow(ruleset, path, read_folder if path.is_dir() else _EXECUTE | _READ_FILE)
        for node in devices:
            _allow(ruleset, node, _READ_FILE | write_file)
        call(_SYS_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def restrict_signals() -> None:
    """Keeps signals, and connections to abstract sockets, from leaving this process's children.

    Raises:
        OSError: the kernel is older than 6.12.
    """
    no_files = no_network = 0
    attributes = struct.pack("=3Q", no_files, no_network, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    ruleset = call(_SYS_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        call(_SYS_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        call(_SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)
