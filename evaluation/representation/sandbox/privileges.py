"""No capability, and none to be won by running a program (`capabilities(7)`)."""

import struct

from evaluation.representation.sandbox.kernel import check, libc, set_process_option

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_THIS_PROCESS = 0
_NO_CAPABILITIES = struct.pack("=6I", 0, 0, 0, 0, 0, 0)


def drop() -> None:
    """Gives up every capability for good.

    Raises:
        OSError: it cannot.
    """
    set_process_option(_PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, _THIS_PROCESS)
    check(libc.capset(header, _NO_CAPABILITIES))
