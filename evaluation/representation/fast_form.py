"""Chooses the fastest form of a representation that gives its codes on this machine.

A processor may get a form wrong and say nothing (docs/known-issues.md), so each is compared with
the form that was handed in, once, on images of the dataset.
"""

from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from evaluation.representation.contract import differ
from evaluation.representation.loading import BF16, OPTIMISED, PLAIN
from evaluation.representation.running import RunningRepresentation


def use_fastest_form(representation: RunningRepresentation, images: NDArray) -> None:
    """Sets the form in which the representation runs; a line says if a faster one is left out.

    Args:
        images: At most `representation.batch` of them, (n, height, width, channels).

    Raises:
        KitError: as `RunningRepresentation.encode`, of the form that was handed in.
    """
    codes = representation.encode(images)
    wanted = (BF16, OPTIMISED) if representation.placement.precision == "bf16" else (OPTIMISED,)
    for form in wanted:
        fault = _fault_of(form, representation, images, codes)
        if fault is None:
            return
        # Of the kinds only TorchScript has fast forms: that others have none is no news.
        if form == BF16 or form in representation.forms:
            console.print(
                f"{representation.found.shown} is graded without its {_NAMES[form]}: {fault}",
                markup=False,
            )


_NAMES = {BF16: "form in bf16", OPTIMISED: "form for fast inference"}


def _fault_of(
    form: str, representation: RunningRepresentation, images: NDArray, codes: NDArray
) -> str | None:
    """Why the form cannot be used; if it can, it is set."""
    if form not in representation.forms:
        return (
            "it has none on this machine; only TorchScript in evaluation mode may, and the "
            "processor must have bf16"
        )
    representation.form = form
    try:
        again = representation.encode(images)
    except KitError as error:  # a failure of the optimiser is not the representation's
        representation.form = PLAIN
        return f"there it {error.problem.removeprefix(representation.found.shown).strip()}"
    difference = differ(codes, again, representation.used_precision)
    if difference is None:
        return None
    representation.form = PLAIN
    return f"there its codes differ by up to {difference:.3g} on this machine"
