"""Memory that two processes share, and neither can make larger or smaller."""

import fcntl
import os


def sealed_memory(name: str, size: int) -> int:
    """The handle of `size` bytes of shared memory.

    Were its size not sealed, who cuts it would end the other process, by SIGBUS.
    """
    memory = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, size)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
    return memory
