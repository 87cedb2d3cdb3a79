"""What a participant handed in, as something that gives codes."""

from contextlib import ExitStack
from types import TracebackType

from numpy.typing import NDArray

from evaluation.common.devices import Placement, Precision
from evaluation.common.errors import KitError, require
from evaluation.common.images import CHALLENGE, ImageFormat, shape_in_words
from evaluation.representation.finding import Found
from evaluation.representation.finite import first_nonfinite_row
from evaluation.representation.limits import ENCODING_BATCH, Limits
from evaluation.representation.loading import BF16, PLAIN
from evaluation.representation.order import Order
from evaluation.representation.staging import copy_aside, private_folder
from evaluation.representation.supervisor import Worker
from evaluation.representation.watching import Use

_NEEDS = {"torchscript": "torch", "dill": "dill", "savedmodel": "tensorflow"}
"""The package that runs each kind."""


CPU = Placement()


class RunningRepresentation:
    """A representation that runs, for the time of a `with` block.

    What is run is a private copy, whose hash `sha256` is. Its form is PLAIN until somebody sets
    another one of `forms`.

    Args:
        found: Where it is.
        placement: Where; bf16 is for the fast form of TorchScript.
        limits: What it may use.
        images: The format of the images that it will be given.
    """

    def __init__(
        self,
        found: Found,
        placement: Placement = CPU,
        limits: Limits | None = None,
        images: ImageFormat = CHALLENGE,
    ) -> None:
        self.found = found
        self.placement = placement
        self.limits = limits or Limits()
        self.images = images
        self.form = PLAIN
        self.code_shape: tuple[int, ...] | None = None
        self.batch = ENCODING_BATCH[placement.kind]
        self._exit = ExitStack()

    def __enter__(self) -> "RunningRepresentation":
        require(_NEEDS[self.found.kind])
        with ExitStack() as stack:
            stage = stack.enter_context(private_folder())
            copy, self.sha256 = copy_aside(self.found.path, stage, self.limits)
            work = stage / "work"
            work.mkdir()
            self._worker = stack.enter_context(
                Worker(
                    Order(
                        path=copy,
                        kind=self.found.kind,
                        work=work,
                        shown=self.found.shown,
                        placement=self.placement,
                        batch=self.batch,
                        images=self.images,
                    ),
                    self.limits,
                )
            )
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def used_precision(self) -> Precision:
        """What codes are computed in: bf16 may have been asked for and not be had."""
        return "bf16" if self.form == BF16 else "float32"

    @property
    def token_shape(self) -> tuple[int, int] | None:
        """Tokens and their width; None if it gives numbers, or has not encoded yet."""
        shape = self.code_shape
        return (shape[0], shape[1]) if shape is not None and len(shape) == 2 else None

    @property
    def forms(self) -> list[str]:
        """Names of the forms in which it runs."""
        return self._worker.forms

    @property
    def missing_isolation(self) -> list[str]:
        """What of the sandbox could not be had here, a phrase each."""
        return self._worker.missing

    @property
    def used(self) -> Use:
        """The most that it used so far, as its worker was watched."""
        return self._worker.used

    def encode(self, images: NDArray) -> NDArray:
        """Codes (n, dims) of at most `batch` images (n, height, width, channels) of its format.

        Of a representation that gives tokens, all numbers of an image's are its dims here.

        Raises:
            KitError: it failed, broke a limit, or returned something else than finite codes; it is
                of no further use then.
        """
        self._worker.pixels[: len(images)] = images
        codes = self._worker.encode(len(images), self.form)
        self.code_shape = self.code_shape or codes.shape[1:]
        if codes.shape[1:] != self.code_shape:
            shapes = (shape_in_words(shape) for shape in (codes.shape[1:], self.code_shape))
            raise KitError(
                "REPRESENTATION-SHAPE",
                f"{self.found.shown} returns {' dims after '.join(shapes)} before",
                "Return the same number of dims for every batch",
            )
        codes = codes.reshape(len(codes), -1)
        row = first_nonfinite_row(codes)
        if row is not None:
            raise KitError(
                "REPRESENTATION-NONFINITE",
                f"{self.found.shown} returns NaN, infinity or what float32 cannot hold, first for "
                f"image {row} of a batch of {len(images)}",
                "Look for divisions by zero, logarithms and overflows",
            )
        return codes
