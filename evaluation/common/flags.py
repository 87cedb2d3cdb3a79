"""Kinds of command-line flags that both packages use."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Limits = TypeVar("Limits")


def positive(text: str) -> int:
    """Reads a whole number of at least 1; for argparse's `type`."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def listed(text: str) -> list[str]:
    """Names between commas, as argparse's `type`."""
    return [name.strip() for name in text.split(",")]


def factor_kinds(text: str) -> dict[str, str]:
    """Pairs of a factor and its kind, as argparse's `type`."""
    kinds = dict(pair.rpartition("=")[::2] for pair in listed(text))
    for name, kind in kinds.items():
        if not name or kind not in ("discrete", "continuous"):
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form A=discrete,B=continuous")
    return kinds


def image_size(text: str) -> tuple[int, int]:
    """Height and width, as argparse's `type`."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 64x64")
    return int(height), int(width)


def add_scheduling(parser: argparse.ArgumentParser, jobs: str, verb: str) -> None:
    """Adds `--workers` and `--cluster`, of which a command takes one.

    Args:
        jobs: What is done side by side, for the help text.
        verb: What is done on a cluster, in lower case.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help=f"number of {jobs} side by side, in processes that share the CPUs and GPUs",
    )
    where.add_argument(
        "--cluster",
        metavar="ADDRESS|local",
        help=f"{verb} on a Ray cluster: its address, auto for one that is found, local for a new "
        "one",
    )


def add_limits(parser: argparse.ArgumentParser, kind: type, helps: Mapping[str, str]) -> None:
    """Adds a flag `--max-FIELD` for each field of the dataclass `kind`, with its default.

    Args:
        helps: Field name -> the help text of its flag.
    """
    group = parser.add_argument_group("limits", kind.__doc__)
    of_kind: Any = kind
    for field in fields(of_kind):
        group.add_argument(
            f"--max-{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help=helps[field.name],
        )


def limits_from(arguments: argparse.Namespace, kind: type[Limits]) -> Limits:
    """The dataclass `kind` with the values of the flags that `add_limits` added."""
    of_kind: Any = kind
    names = [field.name for field in fields(of_kind)]
    return kind(**{name: getattr(arguments, f"max_{name}") for name in names})
