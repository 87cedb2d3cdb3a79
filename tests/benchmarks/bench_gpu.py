"""What a GPU makes of the kit's work, beside a plain loop and the GPU's own limits.

    python -m tests.benchmarks.bench_gpu [--device cuda:1] [--trace DIR] [--output FILE.json]

It renders its own data, and takes less than ten minutes. bf16 comes first, and the file is written
after each work, so that a run that is stopped leaves what it has found. A work that fails leaves
its traceback there, and the status is 1. `--short` takes a quarter of the images and rows. The
share in the table is that of the rate
of large matrix products in the same precision, or of the rate of large copies in memory, whichever
is larger; both are measured first. `--device cpu --tiny` runs all of its code on a CPU.
"""

import argparse
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table

from evaluation.common import environment
from evaluation.common.devices import Placement, Precision, pick_device
from evaluation.common.errors import run_command
from evaluation.common.files import readable_size, write_json
from evaluation.common.terminal import console
from evaluation.data import open_dataset
from submission.runtime.distributed import process_group
from submission.runtime.precision import has_bf16
from tests.benchmarks import gpu_work
from tests.benchmarks.bench_vae import STAGES
from tests.benchmarks.gpu_work import Measured, Size, seconds
from tests.benchmarks.processor import describe

PRECISIONS: tuple[Precision, ...] = ("bf16", "float32")
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Failed(NamedTuple):
    """A work that ended with an error."""

    name: str
    trace: str


def matrix_rate(device: str, precision: Precision, side: int) -> float:
    """Floating-point operations a second of a product of two square matrices."""
    left = torch.rand(side, side, device=device).to(_DTYPES[precision])
    runs = 10

    def run() -> None:
        for _ in range(runs):
            left @ left

    run()
    return runs * 2.0 * side**3 / min(seconds(run) for _ in range(3))


def memory_rate(device: str, values: int) -> float:
    """Bytes a second that a copy of float32 values reads and writes."""
    source = torch.rand(values, device=device)
    target = torch.empty_like(source)
    runs = 10

    def run() -> None:
        for _ in range(runs):
            target.copy_(source)

    run()
    return runs * 8.0 * values / min(seconds(run) for _ in range(3))


def rates_of(device: str, tiny: bool) -> dict[str, float]:
    """What the device can do: bytes a second, and operations a second in each precision it has."""
    rates = {}
    if has_bf16(Placement(device).kind):
        rates["bf16"] = matrix_rate(device, "bf16", 256 if tiny else 8192)
    rates["float32"] = matrix_rate(device, "float32", 256 if tiny else 8192)
    return rates | {"memory": memory_rate(device, 1 << 18 if tiny else 1 << 28)}


def measure(
    device: str,
    precisions: Sequence[Precision],
    size: Size,
    data_root: Path,
    trace: gpu_work.Trace,
) -> Iterator[Measured | Failed]:
    """Every work in one precision after the other."""
    on_gpu = Placement(device).kind == "cuda"
    grid = open_dataset("mpi3d_sim_real_mini", data_root)
    works = {
        "extraction": partial(gpu_work.extraction, grid),
        "fine-tuning": partial(gpu_work.fine_tuning, grid),
        **{f"VAE, {stage}": partial(gpu_work.vae, stage) for stage in STAGES},
        "grading": partial(gpu_work.grading, grid),
    }
    for precision in precisions:
        for name, work in works.items():
            if on_gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            try:
                measured = work(size, Placement(device, precision), trace)
            except Exception:
                traceback.print_exc()
                yield Failed(f"{name}, {precision}", traceback.format_exc())
                continue
            if on_gpu:
                measured.peak = torch.cuda.max_memory_allocated(device)
            console.print(f"{measured.name}: {measured.rate:,.0f} {measured.unit}/s", markup=False)
            yield measured


def share(measured: Measured, rates: dict[str, float]) -> str:
    """The share of the device's rates that a work reaches, of the one that limits it more."""
    precision = measured.name.rpartition(", ")[2]
    of_matrix = measured.rate * measured.flops / rates[precision]
    of_memory = measured.rate * measured.bytes / rates["memory"]
    name = "products" if of_matrix >= of_memory else "memory"
    return f"{max(of_matrix, of_memory):.0%} {name}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--tiny", action="store_true", help="so little that it takes seconds")
    sizes.add_argument("--short", action="store_true", help="a quarter of the images and rows")
    parser.add_argument("--trace", type=Path, metavar="DIR", help="write a trace of each work here")
    parser.add_argument(
        "--output",
        type=Path,
        default=environment.SCRATCH / "bench_gpu.json",
        metavar="FILE",
        help="where the figures are written as JSON",
    )
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="folder of datasets, to render nothing"
    )
    arguments = parser.parse_args(argv)
    device = pick_device(arguments.device)
    size = gpu_work.TINY if arguments.tiny else gpu_work.SHORT if arguments.short else Size()
    start = time.monotonic()
    on = torch.cuda.get_device_name(device) if device != "cpu" else describe()
    found: list[Measured] = []
    failed: list[Failed] = []
    with tempfile.TemporaryDirectory() as folder, process_group(Placement(device)):
        rates = rates_of(device, arguments.tiny)
        precisions: list[Precision] = [name for name in PRECISIONS if name in rates]
        root, trace = arguments.data_root or Path(folder), gpu_work.Trace(arguments.trace)
        for one in measure(device, precisions, size, root, trace):
            if isinstance(one, Failed):
                failed.append(one)
            else:
                found.append(one)
            write_json(
                arguments.output,
                {
                    "device": on,
                    "torch": str(torch.__version__),
                    "size": asdict(size),
                    "rates": rates,
                    "work": [{**asdict(each), "share": share(each, rates)} for each in found],
                    "failed": [each._asdict() for each in failed],
                },
            )
    _print(on, size.network, rates, found)
    console.print(f"Took {time.monotonic() - start:.0f} s. Wrote {arguments.output}", markup=False)
    for each in failed:
        console.print(f"FAILED: {each.name}", markup=False)
    return 1 if failed else 0


def _print(on: str, network: str, rates: dict[str, float], found: Sequence[Measured]) -> None:
    products = ", ".join(
        f"{name} {rate / 1e12:.3g} TFLOPS" for name, rate in rates.items() if name != "memory"
    )
    console.print(f"{on}, {network}: products {products}; memory {rates['memory'] / 1e9:,.0f} GB/s")
    table = Table()
    for column in ("Work", "A second", "Plain", "Times", "Share", "Peak"):
        table.add_column(column, justify="left" if column == "Work" else "right", no_wrap=True)
    for each in found:
        table.add_row(
            each.name,
            f"{each.rate:,.0f}",
            f"{each.plain:,.0f}",
            f"{each.rate / each.plain:.1f}",
            share(each, rates),
            readable_size(each.peak) if each.peak else "",
        )
    console.print(table)
    console.print("Seconds of a phase alone, for the same amount:")
    for each in found:
        phases = ", ".join(f"{name} {took:.3g}" for name, took in each.phases.items())
        if phases:
            console.print(f"  {each.name}: {phases}", markup=False)


if __name__ == "__main__":
    run_command(main)
