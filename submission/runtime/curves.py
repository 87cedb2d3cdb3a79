"""The curves of a training, one row an epoch: stats.csv, and TensorBoard."""

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from evaluation.common.files import whole_file
from submission.runtime import distributed

Row = Mapping[str, float]


@contextmanager
def recording(folder: Path, rows: Sequence[Row]) -> Iterator[Callable[[], None]]:
    """Yields a function to call whenever `rows` has got one more row, the losses of an epoch.

    `rows` holds those of earlier runs already; what an interrupted run wrote beyond them goes.
    Of several processes only the first records.
    """
    if not distributed.is_main():
        yield lambda: None
        return
    # TensorBoard imports all of TensorFlow where it is installed, ten seconds for a few file
    # operations, unless a module of this name exists: its own way to ask for a stand-in.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=len(rows))

    def record() -> None:
        epoch = len(rows) - 1
        for name, value in rows[-1].items():
            writer.add_scalar(name, value, epoch)
        writer.flush()
        _write_csv(folder / "stats.csv", rows)

    try:
        yield record
    finally:
        writer.close()


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Semicolons between columns, `epochs` counted from 0, the others by name: the original's."""
    names = sorted(rows[0])
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, delimiter=";", lineterminator="\n")
        lines.writerow(["epochs", *names])
        lines.writerows([epoch, *(row[name] for name in names)] for epoch, row in enumerate(rows))
