"""Starts the worker, asks it for codes, and ends it when it takes more than it may.

Nothing that comes back is trusted: types are checked, texts are cut and cleaned, sizes are checked
before they are read, and codes are raw bytes of numbers, never pickles.
"""

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.common.images import IMAGE_SHAPE
from evaluation.representation import processes
from evaluation.representation.limits import ANSWER_BATCH, Limits
from evaluation.representation.loading import PLAIN

_WATCH_SECONDS = 0.05
_LONGEST_LINE = 1 << 16
_LONGEST_TEXT = 300
_DTYPES = ("float16", "float32", "float64")

REMEDIES = {
    "REPRESENTATION-LOAD": "Export it anew and load it once yourself before handing it in",
    "REPRESENTATION-MODULE": "Install that module here, or pickle its code by value",
    "REPRESENTATION-SIGNATURE": "Save it with a signature 'representation' of one input 'images'",
    "REPRESENTATION-RAISES": "It must take float images (n, 3, 64, 64) in [0, 1] (TensorFlow: "
    "(n, 64, 64, 3)) for any n",
    "REPRESENTATION-FORBIDDEN": "A representation may not open sockets, nor write outside its "
    "temporary folder",
    "REPRESENTATION-SHAPE": "Return one row of numbers for each image: (n, dims)",
    "REPRESENTATION-DTYPE": "Convert the codes to one of these",
    "REPRESENTATION-DIMS": "The challenge's metrics compare dims, so return 2 or more; --max-dims "
    "raises the other end",
    "REPRESENTATION-SLOW": "Make it faster, or raise --max-answer-seconds or --max-load-seconds",
    "REPRESENTATION-MEMORY": "Make it smaller, or raise --max-memory-gib",
    "REPRESENTATION-PROCESSES": "Start fewer, or raise --max-processes or --max-threads",
    "REPRESENTATION-DIED": "Load and run it once yourself to see why",
}
"""What to do about each refusal that a worker or its supervision may end in."""


class Worker:
    """One representation in a process of its own, for the time of a `with` block.

    Args:
        path: The file or folder to load; it must not change while the worker lives.
        kind: "torchscript", "dill" or "savedmodel".
        work: An empty folder, the only one that the representation may write to.
        shown: What the user calls the representation, for errors.
        device: "cpu" or "cuda".
        precision: "float32" or "bf16".
        batch: Most images a request.

    Attributes:
        missing: What of the sandbox could not be had, a phrase each.
        forms: Names of the forms in which the representation runs.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        work: Path,
        shown: str,
        device: str,
        precision: str,
        batch: int,
        limits: Limits,
    ) -> None:
        self._order = {"path": str(path), "kind": kind, "work": str(work)}
        self._order |= {"device": device, "precision": precision}
        self._work = work
        self._shown = shown
        self._batch = batch
        self._limits = limits
        self.missing: list[str] = []
        self.forms: list[str] = []

    def __enter__(self) -> "Worker":
        memory = os.memfd_create("images", os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, self._batch * int(np.prod(IMAGE_SHAPE)))
        _seal_size(memory)
        self._mapped = mmap.mmap(memory, 0)
        self.pixels = np.frombuffer(self._mapped, dtype=np.uint8).reshape(-1, *IMAGE_SHAPE)
        their_requests, self._requests = os.pipe()
        self._answers, their_answers = os.pipe()
        theirs = {"requests": their_requests, "answers": their_answers, "images": memory}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "evaluation.representation.worker",
                json.dumps({**self._order, **theirs}),
            ],
            cwd=self._work,
            env=environment.of_worker(self._work),
            pass_fds=theirs.values(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for handle in theirs.values():
            os.close(handle)
        self._received = bytearray()
        self._breach: tuple[str, str] | None = None
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        try:
            self._begin(self._limits.load_seconds, "loading")
            self.missing = self._texts("missing")
            self.forms = self._texts("forms")
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

    def encode(self, images: int, form: str = PLAIN) -> NDArray:
        """Codes (images, dims), finite or not, of the first rows of `pixels`, which hold images.

        Raises:
            KitError: the representation failed, broke a limit, or answered with anything but one
                row of floating-point numbers an image; the worker is of no further use then.
        """
        batches = max(1.0, images / ANSWER_BATCH)
        self._begin(self._limits.answer_seconds * batches, f"encoding {images} images")
        request = json.dumps({"images": images, "form": form})
        try:
            os.write(self._requests, request.encode() + b"\n")
        except BrokenPipeError:
            raise self._refusal("REPRESENTATION-DIED", self._death()) from None
        about = self._answer("shape", "dtype")
        shape, dtype = about["shape"], about["dtype"]
        if not _all_are(shape, int) or not isinstance(dtype, str):
            raise self._garbled()
        if len(shape) != 2 or shape[0] != images:
            problem = f"returns an array of shape {tuple(shape)} for {images} images"
            raise self._refusal("REPRESENTATION-SHAPE", problem)
        if dtype not in _DTYPES:
            problem = f"returns {dtype}, not {', '.join(_DTYPES)}"
            raise self._refusal("REPRESENTATION-DTYPE", problem)
        if not 2 <= shape[1] <= self._limits.dims:
            problem = f"returns {shape[1]:,} dims; 2 to {self._limits.dims:,} are allowed"
            raise self._refusal("REPRESENTATION-DIMS", problem)
        payload = self._receive(shape[0] * shape[1] * np.dtype(dtype).itemsize)
        return np.frombuffer(payload, dtype=dtype).reshape(shape)

    def _begin(self, seconds: float, doing: str) -> None:
        self._deadline = time.monotonic() + seconds
        self._doing = f"after {seconds:,.0f} s still {doing}"

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
            ready, _, _ = select.select([self._answers], [], [], _WATCH_SECONDS)
            if time.monotonic() > self._deadline:
                raise self._refusal("REPRESENTATION-SLOW", f"was {self._doing}")
            if ready:
                received = os.read(self._answers, 1 << 20)
                if not received:
                    raise self._refusal("REPRESENTATION-DIED", self._death())
                self._received += received
                return
            if self._process.poll() is not None:
                raise self._refusal("REPRESENTATION-DIED", self._death())

    def _watch(self) -> None:
        """Ends the worker when it first takes too much, also while nobody asks it anything."""
        while self._breach is None and not self._ending.wait(_WATCH_SECONDS):
            self._breach = self._broken_limit()
        if self._breach is not None:
            self._kill()

    def _broken_limit(self) -> tuple[str, str] | None:
        """Code and problem of the limit that the worker is beyond now, if it is."""
        used = processes.usage(processes.descendants(self._process.pid))
        limits = self._limits
        if used.resident_bytes > limits.memory_bytes:
            problem = f"uses more than {limits.memory_gib:g} GiB of memory"
            return "REPRESENTATION-MEMORY", problem
        if used.processes > limits.processes or used.threads > limits.threads:
            problem = f"runs {used.processes} processes with {used.threads} threads; "
            problem += f"{limits.processes} and {limits.threads} are allowed"
            return "REPRESENTATION-PROCESSES", problem
        return None

    def _death(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its answers and went on"
        with suppress(ValueError):
            return f"ended its process, by {signal.Signals(status - 128).name}"
        return f"ended its process, with status {status}"

    def _garbled(self) -> KitError:
        return self._refusal("REPRESENTATION-DIED", "garbles its answers")

    def _refusal(self, code: str, problem: str) -> KitError:
        if self._breach is not None:  # all else may follow from the end that it led to
            code, problem = self._breach
        return KitError(code, f"{self._shown} {self._clean(problem)}", REMEDIES[code])

    @staticmethod
    def _clean(text: str) -> str:
        """One line of printable characters, cut where it is long."""
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + " …"

    def _end(self) -> None:
        self._ending.set()
        self._watcher.join()
        os.close(self._requests)
        self._kill()
        os.close(self._answers)

    def _kill(self) -> None:
        """Ends the worker and all that it started; on return none of them is left."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                while processes.kill_descendants(self._process.pid):
                    time.sleep(_WATCH_SECONDS)
                self._process.kill()
                self._process.wait()


def _all_are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _seal_size(memory: int) -> None:
    """Keeps the worker from cutting the memory under our mapping, which would be our SIGBUS."""
    import fcntl

    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
