"""A callback of Lightning that logs the scores of the codes of the validation set."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.common.errors import missing_extra
from evaluation.metrics.tables.running import RunningScores

try:
    from lightning.pytorch.callbacks import Callback
except ModuleNotFoundError:
    raise missing_extra("lightning") from None

CodesOf = Callable[[Any, Any], tuple[Any, Any]]
"""Given the module and a batch of the validation set, gives codes (n, d) and factors (n, k)."""


class LogScores(Callback):
    """Logs the scores of all validation batches together, as `disentanglement/<metric>`.

    Args:
        codes_of: Makes codes; it runs in evaluation mode and without gradients.
        metrics: Names in `registry.METRICS`, or "all"; the challenge's five if None.
        every_n_epochs: Epochs from one time to the next.
        kinds: What some of the factors are: see `tables.functions`.

    Raises:
        ValueError: there is no metric of a name, or `every_n_epochs` is not 1 or more.
    """

    def __init__(
        self,
        codes_of: CodesOf,
        metrics: Sequence[str] | str | None = None,
        *,
        every_n_epochs: int = 1,
        kinds: Mapping[str, Any] | None = None,
    ) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs is {every_n_epochs}; it must be 1 or more.")
        self._codes_of = codes_of
        self._every = every_n_epochs
        self._scores = RunningScores(metrics, kinds=kinds)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._scores.reset()

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx == 0 and self._is_due(trainer):
            self._scores.update(*self._codes_of(pl_module, batch))

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._is_due(trainer):
            scores = self._scores.compute()
            pl_module.log_dict({f"disentanglement/{name}": one for name, one in scores.items()})
            self._scores.reset()

    def _is_due(self, trainer: Any) -> bool:
        return not trainer.sanity_checking and (trainer.current_epoch + 1) % self._every == 0
