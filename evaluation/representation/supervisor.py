"""Starts the worker, asks it for codes, and ends it when it takes more than it may.

Nothing that comes back is trusted: types are checked, texts are cut and cleaned, sizes are checked
before they are read, and codes are raw bytes of numbers, never pickles.
"""

import json
import math
import mmap
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.common.escaping import visible
from evaluation.common.terminal import console
from evaluation.representation.limits import Limits
from evaluation.representation.loading import PLAIN
from evaluation.representation.order import Order
from evaluation.representation.refusals import REMEDIES
from evaluation.representation.resources import memory_group, processes
from evaluation.representation.resources.sealed_memory import sealed_memory
from evaluation.representation.watching import WATCH_SECONDS, Use, Watch

_LONGEST_LINE = 1 << 16
_LONGEST_TEXT = 300
_DTYPES = ("float16", "float32", "float64")


class Worker:
    """One representation in a process of its own, for the time of a `with` block.

    Args:
        order: What it is to run.
        limits: What that may use.

    Attributes:
        missing: What of the sandbox could not be had, a phrase each.
        forms: Names of the forms in which the representation runs.
    """

    def __init__(self, order: Order, limits: Limits) -> None:
        self._order = order
        self._limits = limits
        self._busy_seconds = 0.0
        self._told_parts = False
        self.missing: list[str] = []
        self.forms: list[str] = []

    def __enter__(self) -> "Worker":
        memory = sealed_memory("images", self._order.batch * self._order.images.nbytes)
        self._mapped = mmap.mmap(memory, 0)
        shape, dtype = self._order.images
        self.pixels = np.frombuffer(self._mapped, dtype).reshape(-1, *shape)
        their_requests, self._requests = os.pipe()
        os.set_blocking(self._requests, False)  # nobody waits for one who does not read
        self._answers, their_answers = os.pipe()
        theirs = {"requests": their_requests, "answers": their_answers, "images": memory}
        self._group = memory_group.make(self._limits.memory_bytes)
        group = None if self._group is None else str(self._group.folder)
        supervision = {"grader": os.getpid(), "group": group}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "evaluation.representation.worker",
                json.dumps({**self._order.instructions(), **supervision, **theirs}),
            ],
            cwd=self._order.work,
            env=environment.of_worker(self._order.work),
            pass_fds=theirs.values(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for handle in theirs.values():
            os.close(handle)
        self._received = bytearray()
        self._has_refused = False
        self._watch = Watch(
            self._process.pid, self._order.work, self._limits, self._group, self._kill
        )
        try:
            self._begin(self._limits.load_seconds, "loading")
            self.missing = self._texts("missing")
            self.forms = self._texts("forms")
            self._count_time()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if error is None and not self._has_refused:
            self._require_no_breach()

    @property
    def used(self) -> Use:
        """The most that the representation used so far; all that it used once it has ended."""
        return replace(self._watch.used, wall_seconds=self._busy_seconds)

    def encode(self, images: int, form: str = PLAIN) -> NDArray:
        """Codes (images, dims), or (images, tokens, width), of the first rows of `pixels`.

        They are finite or not.

        Raises:
            KitError: the representation failed, broke a limit, or answered with anything but one
                row of floating-point numbers an image; the worker is of no further use then.
        """
        self._begin(self._limits.answer_seconds, f"encoding {images} images")
        request = json.dumps({"images": images, "form": form})
        try:
            os.write(self._requests, request.encode() + b"\n")
        except BrokenPipeError:
            raise self._refusal("REPRESENTATION-DIED", self._death()) from None
        except BlockingIOError:
            problem = "answers what it has not read"
            raise self._refusal("REPRESENTATION-DIED", problem) from None
        about = self._answer("shape", "dtype")
        shape, dtype = about["shape"], about["dtype"]
        at_once = about.get("at_once")
        if type(at_once) is int and 0 < at_once < images:
            self._tell_parts(at_once)
        if not _all_are(shape, int) or not isinstance(dtype, str):
            raise self._garbled()
        if len(shape) not in (2, 3) or shape[0] != images:
            problem = f"returns an array of shape {tuple(shape)} for {images} images"
            raise self._refusal("REPRESENTATION-SHAPE", problem)
        if dtype not in _DTYPES:
            problem = f"returns {dtype}, not {', '.join(_DTYPES)}"
            raise self._refusal("REPRESENTATION-DTYPE", problem)
        most, unit = self._limits.dims, "dims" if len(shape) == 2 else "tokens"
        if not 2 <= shape[1] <= most:
            problem = f"returns {shape[1]:,} {unit}; 2 to {most:,} are allowed"
            raise self._refusal("REPRESENTATION-DIMS", problem)
        if len(shape) == 3:
            self._require_width(shape[1], shape[2])
        payload = self._receive(math.prod(shape) * np.dtype(dtype).itemsize)
        self._count_time()
        self._require_no_breach()
        return np.frombuffer(payload, dtype=dtype).reshape(shape)

    def _tell_parts(self, at_once: int) -> None:
        if not self._told_parts:
            console.print(
                f"The GPU's memory takes {at_once} images of {self._order.shown} at once, so "
                "batches are cut to that",
                markup=False,
            )
        self._told_parts = True

    def _require_width(self, tokens: int, width: int) -> None:
        most, together = self._limits.dims, self._limits.token_numbers
        if not 1 <= width <= most or tokens * width > together:
            problem = (
                f"returns {tokens:,} tokens of {width:,} numbers; 1 to {most:,} are allowed, and"
                f" {together:,} of all tokens"
            )
            raise self._refusal("REPRESENTATION-DIMS", problem)

    def _begin(self, seconds: float, doing: str) -> None:
        left = self._limits.total_seconds - self._busy_seconds
        self._began = time.monotonic()
        self._deadline = self._began + min(seconds, left)
        if seconds <= left:
            self._late = "REPRESENTATION-SLOW", f"was after {seconds:,.3g} s still {doing}"
        else:
            total = f"{self._limits.total_seconds:,.6g} s"
            self._late = "REPRESENTATION-TIME", f"took {total} in all and was still {doing}"

    def _count_time(self) -> None:
        self._busy_seconds += time.monotonic() - self._began

    def _answer(self, *keys: str) -> dict[str, Any]:
        """The next answer, which has `keys`; a refusal in its place is raised."""
        while b"\n" not in self._received:
            self._receive_more()
            if len(self._received) > _LONGEST_LINE:
                break
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            raise self._garbled() from None
        if not isinstance(answer, dict):
            raise self._garbled()
        code, problem = answer.get("code"), answer.get("problem")
        if isinstance(code, str) and isinstance(problem, str) and code in REMEDIES:
            raise self._refusal(code, problem)
        if not all(key in answer for key in keys):
            raise self._garbled()
        return answer

    def _texts(self, key: str) -> list[str]:
        texts = self._answer(key)[key]
        if not _all_are(texts, str):
            raise self._garbled()
        return texts

    def _receive(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive_more()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _receive_more(self) -> None:
        """Waits for the next bytes, no longer than until the deadline."""
        while True:
            ready, _, _ = select.select([self._answers], [], [], WATCH_SECONDS)
            if time.monotonic() > self._deadline:
                self._count_time()
                raise self._refusal(*self._late)
            if ready:
                received = os.read(self._answers, 1 << 20)
                if not received:
                    raise self._refusal("REPRESENTATION-DIED", self._death())
                self._received += received
                return
            if self._process.poll() is not None:
                raise self._refusal("REPRESENTATION-DIED", self._death())

    def _death(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its answers and went on"
        with suppress(ValueError):
            return f"ended its process, by {signal.Signals(status - 128).name}"
        return f"ended its process, with status {status}"

    def _require_no_breach(self) -> None:
        """Refuses who broke a limit and had answered before the watch could end it."""
        if breach := self._watch.breach:
            raise self._refusal(*breach)

    def _garbled(self) -> KitError:
        return self._refusal("REPRESENTATION-DIED", "garbles its answers")

    def _refusal(self, code: str, problem: str) -> KitError:
        self._has_refused = True
        # All else may follow from the end that a breach led to.
        code, problem = self._watch.breach or (code, problem)
        remedy = REMEDIES[code].format(
            channels_first=", ".join(map(str, self._order.images.channels_first)),
            channels_last=", ".join(map(str, self._order.images.shape)),
        )
        return KitError(code, f"{self._order.shown} {self._clean(problem)}", remedy)

    @staticmethod
    def _clean(text: str) -> str:
        """One line, cut where it is long."""
        line = visible(" ".join(text.split()))
        return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + " …"

    def _end(self) -> None:
        self._watch.stop()
        os.close(self._requests)
        self._kill()
        os.close(self._answers)
        if self._group is not None:
            self._group.remove()

    def _kill(self) -> None:
        """Ends the worker and all that it started; on return none of them is left."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                while processes.kill_descendants(self._process.pid):
                    time.sleep(WATCH_SECONDS)
                self._process.kill()
                self._process.wait()


def _all_are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
