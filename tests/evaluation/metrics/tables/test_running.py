"""Scores of codes that come batch by batch, alone, in several processes, and in Lightning."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from evaluation.metrics import RunningScores, score

_DRAWS = RandomState(0)
FACTORS = {"shape": _DRAWS.choice(["ball", "cube"], 120), "place": _DRAWS.random_sample(120)}
CODES = np.stack([FACTORS["shape"] == "cube", FACTORS["place"]], axis=1).astype(np.float32)
METRICS = ["mig", "sap_score", "beta_vae"]


def part(start: int, end: int) -> tuple[np.ndarray, dict[str, Any]]:
    return CODES[start:end], {name: column[start:end] for name, column in FACTORS.items()}


def test_batches_score_as_all_of_them_at_once() -> None:
    scores = RunningScores(METRICS)
    for start, end in ((0, 50), (50, 51), (51, 120)):
        scores.update(*part(start, end))
    assert scores.compute() == score(CODES, FACTORS, METRICS).scores
    scores.reset()
    with pytest.raises(ValueError, match=r"^There are no codes yet; call update first\.$"):
        scores.compute()


def test_what_was_given_may_change_later() -> None:
    scores, codes = RunningScores(["mig"]), torch.from_numpy(CODES.copy())
    scores.update(codes, FACTORS)
    codes.zero_()
    assert scores.compute() == score(CODES, FACTORS, "mig").scores


def test_batches_that_do_not_fit() -> None:
    scores = RunningScores("mig")
    scores.update(*part(0, 50))
    codes, factors = part(50, 60)
    with pytest.raises(ValueError, match=r"is \(9, 2\), and factors have 10 rows"):
        scores.update(codes[:9], factors)
    with pytest.raises(ValueError, match=r"is \(10, 1\), and was \(50, 2\) before"):
        scores.update(codes[:, :1], factors)
    with pytest.raises(ValueError, match=r"^Factors are place, and were shape, place before\.$"):
        scores.update(codes, {"place": factors["place"]})


def _score_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    scores = RunningScores(["mig"])
    scores.update(*part(*((0, 50), (50, 120))[rank]))
    Path(folder, f"{rank}.txt").write_text(repr(scores.compute()))
    torch.distributed.destroy_process_group()


def test_several_processes_score_together(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_score_half, (str(tmp_path),), nprocs=2)
    expected = repr(score(CODES, FACTORS, "mig").scores)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == [expected, expected]


def test_lightning_logs_the_scores_each_n_epochs(tmp_path: Path) -> None:
    reason = "lightning is missing: pip install lightning"
    lightning = pytest.importorskip("lightning.pytorch", reason=reason)
    from evaluation.metrics.tables.lightning import LogScores

    class Model(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Linear(2, 2)
            self.logged: list[tuple[int, dict[str, float]]] = []

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return self.encoder(batch[0]).square().mean()

        def validation_step(self, batch: Any, _: int) -> None:
            pass

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.01)

        def on_train_epoch_end(self) -> None:
            logged = {
                name: float(value)
                for name, value in self.trainer.callback_metrics.items()
                if name.startswith("disentanglement/")
            }
            self.logged.append((self.current_epoch, logged))

    factors = np.stack([CODES[:, 0], np.round(CODES[:, 1] * 3)], axis=1)
    data = torch.utils.data.TensorDataset(torch.from_numpy(CODES), torch.from_numpy(factors))
    loader = torch.utils.data.DataLoader(data, batch_size=50)
    callback = LogScores(
        lambda model, batch: (model.encoder(batch[0]), batch[1]), ["mig"], every_n_epochs=2
    )
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    model = Model()
    trainer.fit(model, loader, loader)
    logged = dict(model.logged)
    assert logged[0] == {}
    assert logged[1].keys() == logged[3].keys() == {"disentanglement/mig"}
    trainer.validate(model, loader, verbose=False)
    codes = model.encoder(torch.from_numpy(CODES))
    expected = score(codes, factors, "mig").scores["mig"]
    assert logged[3]["disentanglement/mig"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="every_n_epochs is 0"):
        LogScores(lambda *_: (CODES, factors), every_n_epochs=0)
