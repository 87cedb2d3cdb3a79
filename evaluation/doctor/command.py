"""`python -m evaluation doctor`: the command."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import chain

from rich.markup import escape
from rich.table import Table

from evaluation.common.terminal import console
from evaluation.doctor import gpu, machine, parts
from evaluation.doctor.finding import Finding

BROKEN = 1
"""Exit status if something is broken."""

_MARKS = {"good": "[green]yes[/green]", "absent": "[yellow]no[/yellow]", "broken": "[red]BAD[/red]"}


def main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    found = [gpu.gpus()] if arguments.gpu else everything()
    broken = any(finding.state == "broken" for finding in found)
    if arguments.json:
        print(json.dumps({"broken": broken, "findings": list(map(asdict, found))}, indent=2))
    elif arguments.gpu:
        console.print(_in_one_line(found[0]), markup=False)
    else:
        _print(found)
    return BROKEN if broken else 0


def everything() -> list[Finding]:
    # The engine, the sandbox and nvidia-smi are processes that are waited for, so all run at once.
    asked = (
        machine.findings,
        gpu.findings,
        parts.packages,
        parts.programs,
        lambda: [parts.container_engine()],
        lambda: [parts.sandbox()],
        lambda: [parts.data()],
    )
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(chain.from_iterable(pool.map(lambda ask: ask(), asked)))


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m evaluation doctor",
        description="Says what this machine has, what the kit will use of it, and what is missing "
        "for which feature, with the command that mends it. The status is 1 if something is "
        "broken: what the main job needs, or a GPU that is there and cannot be used.",
    )
    made.add_argument("--json", action="store_true", help="print the findings as JSON")
    made.add_argument("--gpu", action="store_true", help="look at GPUs only, and print one line")
    return made


def _print(found: Sequence[Finding]) -> None:
    table = Table()
    for column in ("", "What", "Here", "Found"):
        table.add_column(column, overflow="fold")
    area = ""
    for finding in found:
        if area and finding.area != area:
            table.add_section()
        heading = "" if finding.area == area else f"[bold]{finding.area}[/bold]"
        area = finding.area
        table.add_row(heading, escape(finding.name), _MARKS[finding.state], escape(finding.found))
    console.print(table)
    lacking = [finding for finding in found if finding.state != "good"]
    if not lacking:
        console.print("Nothing is missing.")
    for finding in lacking:
        word = "Broken" if finding.state == "broken" else "Not here"
        line = f"{word}: {finding.name}, for {finding.affects}. {finding.remedy}."
        console.print(line, markup=False)


def _in_one_line(gpu: Finding) -> str:
    if gpu.state == "broken":
        return f"The GPU cannot be used, so the CPU is: {gpu.affects}. {gpu.remedy}."
    return f"GPU: {gpu.found}"
