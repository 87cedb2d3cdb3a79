"""The process that loads and runs one representation: `python -m evaluation.representation.worker`.

It shuts itself in first (`sandbox`), loads, then answers requests until its input ends. Started
and judged by `supervisor`, which believes nothing that it says. A request is a line of JSON; the
images lie in memory that both share. An answer is a line of JSON, followed by as many raw bytes of
codes as it announces.
"""

import errno
import json
import mmap
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from evaluation.common.errors import of_device
from evaluation.representation import sandbox
from evaluation.representation.refusals import RefusalError
from evaluation.representation.resources import memory_group

_REFUSED_BY_SANDBOX = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENETUNREACH,
    errno.ENOENT,  # nothing else is there to be seen
}


def main() -> None:
    order = json.loads(sys.argv[1])
    requests = os.fdopen(order["requests"], "rb")
    answers = os.fdopen(order["answers"], "wb")
    images = mmap.mmap(order["images"], 0)
    capped = order["group"] is not None and memory_group.join(Path(order["group"]))
    work, path, device = Path(order["work"]), Path(order["path"]), order["device"]
    missing = sandbox.enter(work, path, device, order["grader"], capped=capped)
    _answer(answers, missing=missing)

    import numpy as np

    from evaluation.common.parts import Parts
    from evaluation.representation.loading import load

    parts = Parts(tell=lambda _: None)  # an answer tells it
    try:
        forms = load(order["kind"], path, device, order["precision"], parts)
    except Exception as error:
        _answer(answers, **_refusal(error, "REPRESENTATION-LOAD", "does not load"))
        return
    _answer(answers, forms=list(forms))

    shape, dtype = order["format"]
    pixels = np.frombuffer(images, dtype).reshape(-1, *shape)
    for line in requests:
        request = json.loads(line)
        try:
            codes = forms[request["form"]](pixels[: request["images"]])
            codes = np.ascontiguousarray(codes, dtype=codes.dtype.newbyteorder("="))
        except Exception as error:
            problem = f"fails on a batch of {request['images']} images"
            _answer(answers, **_refusal(error, "REPRESENTATION-RAISES", problem))
            continue
        about = {"shape": codes.shape, "dtype": codes.dtype.name, "at_once": parts.at_once}
        _answer(answers, **about, payload=codes.tobytes() if codes.dtype.kind in "fiub" else b"")


def _answer(answers: BinaryIO, payload: bytes = b"", **content: Any) -> None:
    answers.write(json.dumps(content).encode() + b"\n" + payload)
    answers.flush()


def _refusal(error: Exception, code: str, problem: str) -> dict[str, Any]:
    if isinstance(error, RefusalError):
        return {"code": error.code, "problem": error.problem}
    # TorchScript puts the cause in the last line of a long trace.
    message = str(error).strip().splitlines()
    problem += f", with {type(error).__name__}" + (f": {message[-1]}" if message else "")
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        code = "REPRESENTATION-MEMORY"
    elif of_device(error) is not None:
        code = "REPRESENTATION-DEVICE"
    elif _is_of_sandbox(error):
        code = "REPRESENTATION-FORBIDDEN"
    return {"code": code, "problem": problem}


def _is_of_sandbox(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _REFUSED_BY_SANDBOX
    # What C++ raises has the system's words only.
    return any(os.strerror(number) in str(error) for number in (errno.EACCES, errno.EROFS))


if __name__ == "__main__":
    main()
