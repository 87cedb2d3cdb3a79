"""Representations that the grader must refuse, each with the code that it is refused with.

All that are dangerous are bounded by themselves, so that a limit that fails harms nobody.
"""

import os
import pickle
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Build = Callable[[Path], None]
"""Puts the bad submission into a folder `representation`, which is there and empty."""


@dataclass(frozen=True)
class BadSubmission:
    code: str
    build: Build
    flags: tuple[str, ...] = ()


def dilled(source: str) -> Build:
    """A dill of the function `represent` in `source`, code and all."""

    def build(folder: Path) -> None:
        import dill

        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(textwrap.dedent(source), namespace)
        content = dill.dumps(namespace["represent"], recurse=True)
        (folder / "python_model.dill").write_bytes(content)

    return build


def scripted(source: str, training: bool = False) -> Build:
    """TorchScript of a module whose `forward` is `source`.

    It has a convolution, a batch norm, a dictionary `numbers` and a buffer `calls`.
    """

    def build(folder: Path) -> None:
        import torch

        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated")

        class Parts(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(0)
                self.conv = torch.nn.Conv2d(3, 4, 8, 8)
                self.norm = torch.nn.BatchNorm2d(4)
                self.numbers = torch.jit.Attribute({}, dict[str, int])
                self.register_buffer("calls", torch.zeros(1))

        module = torch.jit.script(Parts().train(training))
        module.define(textwrap.dedent(source) + "\n")
        module.save(str(folder / "pytorch_model.pt"))

    return build


def run_at_load(source: str) -> Build:
    """A dill that runs `source` when it is loaded."""

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, (source,)

    return lambda folder: _write(folder / "python_model.dill", pickle.dumps(Code()))


def writing_everywhere(content: str) -> str:
    """Code that writes a line to whatever is open."""
    return f"""
import os
for handle in range(3, 1000):
    try:
        os.write(handle, {content.encode()!r} + b"\\n")
    except OSError:
        pass
"""


def answering(content: str) -> Build:
    """A dill that forges an answer before it gives its own."""
    body = textwrap.indent(writing_everywhere(content), "    ")
    return dilled(f"def represent(images):\n{body}\n    return {MEAN}")


GOOD_FORWARD = """
    def forward(self, x):
        return self.norm(self.conv(x)).mean((2, 3))
"""


def _empty(folder: Path) -> None:
    (folder / "pytorch_model.pt").touch()


def _truncated(folder: Path) -> None:
    scripted(GOOD_FORWARD)(folder)
    file = folder / "pytorch_model.pt"
    file.write_bytes(file.read_bytes()[:-2000])


def _other_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "pytorch_model.pt", "w") as archive:
        archive.writestr("notes.txt", "no module")


def _weights_only(folder: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "pytorch_model.pt")


def _command_at_load(folder: Path) -> None:
    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {folder / 'ran'}",)

    (folder / "python_model.dill").write_bytes(pickle.dumps(Command()))


def _not_callable(folder: Path) -> None:
    (folder / "python_model.dill").write_bytes(pickle.dumps([1, 2, 3]))


def _saving_in_a_fork(folder: Path) -> None:
    import torch

    def save(x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "note")
        return x

    class Forking(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.jit.wait(torch.jit.fork(save, x)).mean((2, 3))

    torch.jit.script(Forking()).save(str(folder / "pytorch_model.pt"))


def _other_signature(folder: Path) -> None:
    import tensorflow as tf

    model = tf.Module()
    model.__call__ = tf.function(
        lambda images: tf.reduce_mean(images, (1, 2)),
        input_signature=[tf.TensorSpec((None, 64, 64, 3), tf.float32, name="images")],
    )
    signatures = {"serving_default": model.__call__}
    tf.saved_model.save(model, str(folder / "tfhub"), signatures=signatures)


def _no_saved_model(folder: Path) -> None:
    (folder / "tfhub").mkdir()
    (folder / "tfhub" / "saved_model.pb").write_bytes(b"no protocol buffer")


def _two_kinds(folder: Path) -> None:
    scripted(GOOD_FORWARD)(folder)
    _not_callable(folder)


def _link_out(folder: Path) -> None:
    outside = folder.parent / "elsewhere.dill"
    _not_callable(folder)
    (folder / "python_model.dill").rename(outside)
    (folder / "python_model.dill").symlink_to(outside)


def _folder_link_out(folder: Path) -> None:
    _no_saved_model(folder)
    (folder / "tfhub").rename(folder.parent / "elsewhere")
    (folder / "tfhub").symlink_to(folder.parent / "elsewhere")


def _links_in_a_circle(folder: Path) -> None:
    _no_saved_model(folder)
    (folder / "tfhub" / "a").symlink_to(".")
    (folder / "tfhub" / "b").symlink_to(".")


def _terabyte(folder: Path) -> None:
    with (folder / "pytorch_model.pt").open("wb") as stream:
        stream.truncate(1 << 40)


def _name_that_is_no_text(folder: Path) -> None:
    _no_saved_model(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/tfhub/\xff")).touch()


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "python_model.dill")


def _nothing(folder: Path) -> None:
    (folder / "README").write_text("to come\n")


MEAN = "images.mean((2, 3))"

BAD = {
    "empty": BadSubmission("REPRESENTATION-EMPTY", _empty),
    "truncated": BadSubmission("REPRESENTATION-LOAD", _truncated),
    "a zip that is no TorchScript": BadSubmission("REPRESENTATION-LOAD", _other_zip),
    "weights without a module": BadSubmission("REPRESENTATION-LOAD", _weights_only),
    "a dill that is no pickle": BadSubmission(
        "REPRESENTATION-LOAD",
        lambda folder: _write(folder / "python_model.dill", b"no pickle\n"),
    ),
    "a dill that cannot be called": BadSubmission("REPRESENTATION-LOAD", _not_callable),
    "a dill that runs a command at load": BadSubmission("REPRESENTATION-LOAD", _command_at_load),
    "a dill that needs a missing module": BadSubmission(
        "REPRESENTATION-MODULE",
        lambda folder: _write(folder / "python_model.dill", b"cno_such_module\nf\n."),
    ),
    "no SavedModel": BadSubmission("REPRESENTATION-LOAD", _no_saved_model),
    "a SavedModel without the signature": BadSubmission(
        "REPRESENTATION-SIGNATURE", _other_signature
    ),
    "two kinds at once": BadSubmission("REPRESENTATION-AMBIGUOUS", _two_kinds),
    "a link out of the folder": BadSubmission("REPRESENTATION-SYMLINK", _link_out),
    "a folder that is a link out of the folder": BadSubmission(
        "REPRESENTATION-SYMLINK", _folder_link_out
    ),
    "links in a circle": BadSubmission("REPRESENTATION-SYMLINK", _links_in_a_circle),
    "a terabyte": BadSubmission("REPRESENTATION-SIZE", _terabyte),
    "too many files": BadSubmission(
        "REPRESENTATION-SIZE", _no_saved_model, ("--max-representation-files", "1")
    ),
    "a file name that is no text": BadSubmission("REPRESENTATION-LOAD", _name_that_is_no_text),
    "a pipe": BadSubmission("REPRESENTATION-UNREADABLE", _pipe),
    "nothing": BadSubmission("REPRESENTATION-MISSING", _nothing),
    "whole numbers": BadSubmission(
        "REPRESENTATION-DTYPE",
        scripted("def forward(self, x):\n  return self.conv(x).mean((2, 3)).long()"),
    ),
    "four axes": BadSubmission(
        "REPRESENTATION-SHAPE", scripted("def forward(self, x):\n  return self.conv(x)")
    ),
    "one token": BadSubmission(
        "REPRESENTATION-DIMS",
        scripted("def forward(self, x):\n  return self.conv(x).mean((2, 3))[:, None]"),
    ),
    "tokens of more numbers than are allowed": BadSubmission(
        "REPRESENTATION-DIMS", scripted("def forward(self, x):\n  return x.flatten(2)[:, :, :3000]")
    ),
    "more tokens than are allowed": BadSubmission(
        "REPRESENTATION-DIMS",
        scripted("def forward(self, x):\n  return x.flatten(1).reshape(len(x), -1, 4)"),
    ),
    "more numbers in all tokens than are allowed": BadSubmission(
        "REPRESENTATION-DIMS",
        dilled("def represent(images):\n  return images.reshape(len(images), 64, -1).repeat(4, 2)"),
    ),
    "tokens that keep count beside their first component": BadSubmission(
        "REPRESENTATION-STATE",
        dilled(
            """
            import numpy as np
            seen = [0]
            def represent(images):
                seen[0] += len(images)
                means = images.mean((2, 3))
                beside = np.full_like(means, 0.01 * (seen[0] > 500))
                return np.stack([means, beside], axis=2)
            """
        ),
    ),
    "no tensor": BadSubmission(
        "REPRESENTATION-SHAPE", scripted("def forward(self, x):\n  return {'mean': self.conv(x)}")
    ),
    "a sparse tensor": BadSubmission(
        "REPRESENTATION-SPARSE",
        scripted("def forward(self, x):\n  return self.conv(x).mean((2, 3)).to_sparse()"),
    ),
    "a tensor with a gradient": BadSubmission(
        "REPRESENTATION-GRAD", scripted("def forward(self, x):\n  return self.conv.weight")
    ),
    "TorchScript that saves a file": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        scripted("def forward(self, x):\n  torch.save(x, 'note')\n  return x.mean((2, 3))"),
    ),
    "TorchScript that saves a file when it has seen enough": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        scripted(
            """
            def forward(self, x):
                if int(x.sum()) % 1000 == 0:
                    for _ in range(2):
                        torch.save(x, "/tmp/note")
                return x.mean((2, 3))
            """
        ),
    ),
    "TorchScript that saves a file beside its work": BadSubmission(
        "REPRESENTATION-FORBIDDEN", _saving_in_a_fork
    ),
    "TorchScript that reads a file": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        scripted("def forward(self, x):\n  return torch.from_file('note', False, 4)"),
    ),
    "another input size": BadSubmission(
        "REPRESENTATION-RAISES",
        scripted(
            "def forward(self, x):\n  return self.conv(x.reshape(-1, 3, 60, 60)).mean((2, 3))"
        ),
    ),
    "batch norm in training mode": BadSubmission(
        "REPRESENTATION-BATCH", scripted(GOOD_FORWARD, training=True)
    ),
    "one row for all": BadSubmission(
        "REPRESENTATION-SHAPE",
        dilled("def represent(images):\n  return images.mean((0, 2, 3))[None]"),
    ),
    "one axis": BadSubmission(
        "REPRESENTATION-SHAPE", dilled("def represent(images):\n  return images.mean((1, 2, 3))")
    ),
    "one dim": BadSubmission(
        "REPRESENTATION-DIMS",
        dilled("def represent(images):\n  return images.mean((1, 2, 3))[:, None]"),
    ),
    "10,000 dims": BadSubmission(
        "REPRESENTATION-DIMS",
        dilled("def represent(images):\n  return images.reshape(len(images), -1)[:, :10_000]"),
    ),
    "other dims for each batch": BadSubmission(
        "REPRESENTATION-SHAPE",
        dilled("def represent(images):\n  return images[:, 0, 0, : 2 + len(images)]"),
    ),
    "objects": BadSubmission(
        "REPRESENTATION-DTYPE",
        dilled(f"def represent(images):\n  return {MEAN}.astype(object)"),
    ),
    "NaN on some images": BadSubmission(
        "REPRESENTATION-NONFINITE",
        dilled(
            f"""
            import numpy as np
            def represent(images):
                codes = {MEAN}
                # About one image in three hundred.
                codes[(images.sum((1, 2, 3)) * 255).round() % 300 == 0] = np.nan
                return codes
            """
        ),
    ),
    "codes beyond float32": BadSubmission(
        "REPRESENTATION-NONFINITE",
        dilled(f"def represent(images):\n  return {MEAN}.astype(float) * 1e42"),
    ),
    "codes that know the batch's size": BadSubmission(
        "REPRESENTATION-BATCH",
        dilled(f"def represent(images):\n  return {MEAN} + len(images) / 64"),
    ),
    "codes that know the neighbours": BadSubmission(
        "REPRESENTATION-BATCH",
        dilled(f"def represent(images):\n  return {MEAN} - {MEAN}.mean(0)"),
    ),
    "codes that know the place in the batch": BadSubmission(
        "REPRESENTATION-BATCH",
        dilled(
            f"""
            import numpy as np
            def represent(images):
                return {MEAN} + np.arange(len(images))[:, None] * (len(images) > 4)
            """
        ),
    ),
    "random codes": BadSubmission(
        "REPRESENTATION-RANDOM",
        dilled(
            f"""
            import numpy as np
            def represent(images):
                return {MEAN} + np.random.normal(size=(len(images), 1)) / 100
            """
        ),
    ),
    "random codes so large that their squares overflow": BadSubmission(
        "REPRESENTATION-RANDOM",
        dilled(
            """
            import numpy as np
            def represent(images):
                return np.float32(1e20) * np.random.rand(len(images), 2).astype(np.float32)
            """
        ),
    ),
    "codes that change after a while": BadSubmission(
        "REPRESENTATION-STATE",
        dilled(
            f"""
            seen = [0]
            def represent(images):
                seen[0] += len(images)
                return {MEAN} + (seen[0] > 2000)
            """
        ),
    ),
    "raising": BadSubmission(
        "REPRESENTATION-RAISES",
        dilled("def represent(images):\n  raise ValueError('two\\nlines and \\x1b[31mcolour')"),
    ),
    "never returning": BadSubmission(
        "REPRESENTATION-SLOW",
        dilled("import time\ndef represent(images):\n  time.sleep(60)"),
        ("--max-answer-seconds", "1"),
    ),
    "a second and a half for each batch": BadSubmission(
        "REPRESENTATION-SLOW",
        dilled(f"import time\ndef represent(images):\n  time.sleep(1.5)\n  return {MEAN}"),
        ("--max-answer-seconds", "1"),
    ),
    "too slow in all": BadSubmission(
        "REPRESENTATION-TIME",
        dilled(f"import time\ndef represent(images):\n  time.sleep(0.5)\n  return {MEAN}"),
        ("--max-total-seconds", "8"),
    ),
    "too much of the processors' time": BadSubmission(
        "REPRESENTATION-CPU",
        dilled("def represent(images):\n  while True: pass"),
        ("--max-cpu-seconds", "2"),
    ),
    "never loaded": BadSubmission(
        "REPRESENTATION-SLOW",
        lambda folder: _write(folder / "python_model.dill", b"ctime\nsleep\n(I60\ntR."),
        ("--max-load-seconds", "2"),
    ),
    "too much memory": BadSubmission(
        "REPRESENTATION-MEMORY",
        dilled(
            """
            import time
            def represent(images):
                hoard = []
                for _ in range(64):  # 2 GiB
                    hoard.append(bytearray(b"x" * (32 << 20)))
                time.sleep(20)
            """
        ),
        ("--max-memory-gib", "1"),
    ),
    "too much memory behind answers that trickle in": BadSubmission(
        "REPRESENTATION-MEMORY",
        dilled(
            """
            import os, time
            def represent(images):
                hoard = []
                for _ in range(1000):
                    if len(hoard) < 64:  # 2 GiB
                        hoard.append(bytearray(b"x" * (32 << 20)))
                    for handle in range(3, 100):
                        try:
                            os.write(handle, b" ")
                        except OSError:
                            pass
                    time.sleep(0.02)
            """
        ),
        ("--max-memory-gib", "1"),
    ),
    "too many processes": BadSubmission(
        "REPRESENTATION-PROCESSES",
        dilled(
            """
            import os, time
            def represent(images):
                for _ in range(50):
                    if os.fork() == 0:
                        os.setsid()
                        time.sleep(20)
                        os._exit(0)
                time.sleep(20)
            """
        ),
    ),
    "too many threads": BadSubmission(
        "REPRESENTATION-PROCESSES",
        dilled(
            """
            import threading, time
            def represent(images):
                for _ in range(200):
                    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
                time.sleep(20)
            """
        ),
        ("--max-threads", "100"),
    ),
    "a process left behind": BadSubmission(
        "REPRESENTATION-RAISES",
        dilled(
            """
            import subprocess, sys
            def represent(images):
                program = "import time; time.sleep(60)"
                subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
                raise RuntimeError("and gone")
            """
        ),
    ),
    "writing outside its folder": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        dilled("import os\ndef represent(images):\n  open('../../written', 'w')"),
    ),
    "removing earlier scores": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        dilled("import os\ndef represent(images):\n  os.unlink('../../experiment/scores.json')"),
    ),
    "reading earlier scores": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        dilled("def represent(images):\n  open('../../experiment/scores.json').read()"),
    ),
    "opening a socket": BadSubmission(
        "REPRESENTATION-FORBIDDEN",
        dilled(
            """
            import socket
            def represent(images):
                socket.create_connection(("127.0.0.1", 9), timeout=5)
            """
        ),
    ),
    "leaving": BadSubmission(
        "REPRESENTATION-DIED", dilled("import os\ndef represent(images):\n  os._exit(0)")
    ),
    "leaving with a status above any signal's": BadSubmission(
        "REPRESENTATION-DIED", dilled("import os\ndef represent(images):\n  os._exit(255)")
    ),
    "leaving between two batches": BadSubmission(
        "REPRESENTATION-DIED",
        dilled(
            f"""
            import os, threading
            def represent(images):
                threading.Timer(0.05, os._exit, (7,)).start()
                return {MEAN}
            """
        ),
    ),
    "crashing": BadSubmission(
        "REPRESENTATION-DIED",
        dilled("import ctypes\ndef represent(images):\n  ctypes.string_at(0)"),
    ),
    "killing its parent": BadSubmission(
        "REPRESENTATION-DIED",
        dilled("import os\ndef represent(images):\n  os.kill(os.getppid(), 9)\n  os._exit(0)"),
    ),
    "forging answers": BadSubmission(
        "REPRESENTATION-DIED",
        answering('[[{"code": 1, "shape": "many"}]]' * 10),
    ),
    "forging a code that is no text": BadSubmission(
        "REPRESENTATION-DIED", answering('{"code": []}')
    ),
    "forging an infinite shape": BadSubmission(
        "REPRESENTATION-DIED", answering('{"shape": [Infinity, 2], "dtype": "float32"}')
    ),
    "forging a dtype that numpy trips over": BadSubmission(
        "REPRESENTATION-DTYPE", answering('{"shape": [16, 2], "dtype": "(1,,2)f4,i4"}')
    ),
    "forging forms that are no names": BadSubmission(
        "REPRESENTATION-DIED", run_at_load(writing_everywhere('{"forms": 5}'))
    ),
}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
