"""The parent of all that a representation runs: it ends them together."""

import os
import signal
from contextlib import suppress

from evaluation.representation.resources import processes
from evaluation.representation.sandbox.kernel import PR_SET_PDEATHSIG, set_process_option

_PR_SET_CHILD_SUBREAPER = 36


def fork(grader: int) -> None:
    """Forks: the child goes on, the parent waits for it and leaves nothing of its behind.

    Args:
        grader: Process id of the parent's parent, at whose death all is to end.
    """
    set_process_option(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    os.closerange(3, 256)  # the pipes are the child's; their end must be its end
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != grader:  # it died before it could be heard
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # at one blow: who forks may be faster than a list
    # Where there is no namespace, what the child started came to us, and may still be starting.
    while processes.kill_descendants(os.getpid()):
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    os._exit(status if status >= 0 else 128 - status)
