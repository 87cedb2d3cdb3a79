"""The work that `bench_gpu` measures, and the plain loop beside each.

A plain loop is eager float32 in small batches, with TF32 off, an optimiser that is not fused, and
losses read after each batch, as the original's loops were; its images and features are in memory.
"""

import copy
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import gin
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evaluation.codes.encoding import _in_batches
from evaluation.common.devices import Placement
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.finding import Found
from evaluation.representation.loading import BF16, OPTIMISED
from evaluation.representation.running import RunningRepresentation
from submission.features.aggregation import AggregatedFeatureExtractor, MaximumTransform
from submission.features.backbones import Backbone, build_network
from submission.features.batches import image_batches
from submission.features.extraction import extract
from submission.features.inference import accelerated, batch_size_for
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import FineTuning, tune
from submission.runtime.optimizers import make_optimizer
from submission.vae.fitting import batch_losses, batches, train_epoch
from submission.vae.model import VAE
from submission.vae.rows import Rows
from submission.vae.settings import VAETraining
from tests.benchmarks.bench_vae import BATCH_SIZE, BETA, LATENTS, STAGES

PLAIN_BATCH = 64


@dataclass(frozen=True)
class Size:
    """How much work there is.

    Args:
        network, side, stage: The backbone, as in a config.
        images: Images to extract and to grade.
        tuned, batch: Images of fine-tuning, and of its batches.
        rows: Rows of features of the VAE.
        width: Hidden layers of the VAE keep at most this many values.
    """

    network: str = "VGG19"
    side: int = 64
    stage: int | None = None
    images: int = 103_680
    tuned: int = 102_400
    batch: int = 512
    rows: int = 256_000
    width: int = 4096

    @property
    def plain_images(self) -> int:
        return max(PLAIN_BATCH, self.images // 20)


SHORT = Size(images=25_600, tuned=25_600, rows=64_000)
"""For a GPU that is lent for minutes."""

TINY = Size("VGG11", 16, 2, images=64, tuned=16, batch=8, rows=1_280, width=32)
"""So little that a CPU runs all of it in seconds; the figures mean nothing."""


@dataclass
class Measured:
    """A work and its figures.

    Args:
        name: What was done, in which precision.
        unit: What is counted.
        rate: Units a second.
        plain: Units a second of the plain loop.
        flops: Floating-point operations of a unit, without those of the optimiser.
        bytes: Bytes of weights, gradients and moments that a unit moves, where that is the limit.
        phases: Phase -> seconds that the same amount takes when nothing else is done.
        peak: The most bytes of the GPU's memory at once.
    """

    name: str
    unit: str
    rate: float
    plain: float
    flops: float = 0.0
    bytes: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    peak: int = 0


def seconds(run: Callable[[], object]) -> float:
    """The time of `run`, to the end of what it has started on a GPU."""
    _wait()
    start = time.perf_counter()
    run()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def backbone(size: Size) -> Backbone:
    return copy.deepcopy(_built(size))


@cache
def _built(size: Size) -> Backbone:
    torch.manual_seed(0)
    return Backbone(size.network, build_network(size.network), (size.side, size.side), size.stage)


def forward_flops(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Operations of one image's forward pass. Nothing is computed."""
    state = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    with FlopCounterMode(display=False) as counter:
        torch.func.functional_call(network.eval(), state, (torch.empty(1, *shape, device="meta"),))
    return float(counter.get_total_flops())


def numbers(grid: ImageGrid, count: int) -> np.ndarray:
    """Numbers (count,) of images, the set again and again."""
    return np.resize(np.arange(len(grid)), count)


def extraction(grid: ImageGrid, size: Size, placement: Placement, trace: "Trace") -> Measured:
    extractor, chosen = backbone(size).eval(), numbers(grid, size.images)

    def run(count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract(
                grid,
                chosen[:count],
                extractor,
                MaximumTransform(),
                features_dir=Path(folder),
                placement=placement,
            )

    batch = batch_size_for(extractor, placement)
    run(2 * batch)
    took = seconds(partial(run, size.images))
    with trace(f"extraction-{placement.precision}"):
        run(4 * batch)

    def read() -> None:
        cut = [chosen[start : start + batch] for start in range(0, len(chosen), batch)]
        for _ in image_batches(grid.images_at, cut, placement):
            pass

    fast = accelerated(extractor, placement).to(placement.device)
    images = torch.rand(batch, 3, 64, 64, device=placement.device)

    @torch.inference_mode()
    def compute() -> None:
        for _ in range(0, size.images, batch):
            fast(images)

    compute()
    phases = {"reading": seconds(read), "computing": seconds(compute)}
    phases["stall"] = max(0.0, took - phases["computing"])
    plain = extractor.to(placement.device)

    @torch.no_grad()
    def plainly() -> None:
        for start in range(0, size.plain_images, PLAIN_BATCH):
            rows = grid.images_at(chosen[start : start + PLAIN_BATCH])
            own = torch.from_numpy(np.moveaxis(rows, 3, 1) / np.float32(255))
            MaximumTransform()(plain(own.to(placement.device))).cpu().numpy()

    plainly()
    return Measured(
        f"extraction, {placement.precision}",
        "images",
        size.images / took,
        size.plain_images / seconds(plainly),
        forward_flops(backbone(size), (3, 64, 64)),
        phases=phases,
    )


def fine_tuning(grid: ImageGrid, size: Size, placement: Placement, trace: "Trace") -> Measured:
    labelled, chosen = LabelledImages([grid]), numbers(grid, size.tuned)

    kernels = [1, 2, 1] if size.stage is None else [1, 1, 1]
    widths = [min(size.width, width) for width in (1024, 2048, 512)]
    extractor = AggregatedFeatureExtractor(
        backbone(size), widths, kernels, [1, 1, 1], [0, 0, 0], dropout=0.1, l2_normalize=True
    )
    flops = 3 * forward_flops(extractor, (3, 64, 64))  # the backward pass has two products for one
    network = FactorClassifier(extractor, grid.factor_sizes)

    def run(count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            tune(
                network,
                labelled,
                chosen[:count],
                chosen[:0],
                FineTuning(epochs=1, weight_decay=0.01, extractor_lr=1e-3),
                batch_size=size.batch,
                seed=1,
                placement=placement,
                folder=Path(folder),
                made_from={"benchmark": folder},
            )

    run(2 * size.batch)
    took = seconds(partial(run, size.tuned))  # with one checkpoint, as after an epoch
    with trace(f"fine-tuning-{placement.precision}"):
        run(4 * size.batch)

    network.set_backbone_learning(True)

    def read() -> None:
        cut = [chosen[start : start + size.batch] for start in range(0, size.tuned, size.batch)]
        for _ in image_batches(labelled.images, cut, placement):
            pass

    network.train()
    optimizer = torch.optim.RAdam(
        network.parameters(), 1e-3, weight_decay=0.01, decoupled_weight_decay=True, foreach=False
    )
    few = min(size.tuned, max(PLAIN_BATCH, size.tuned // 8))

    def plainly() -> None:
        for start in range(0, few, PLAIN_BATCH):
            batch = chosen[start : start + PLAIN_BATCH]
            own = torch.from_numpy(np.moveaxis(labelled.images(batch), 3, 1) / np.float32(255))
            values = torch.from_numpy(labelled.factors(batch)).to(placement.device)
            losses = network.losses(network(own.to(placement.device)), values)
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            losses.tolist()

    plainly()
    return Measured(
        f"fine-tuning, {placement.precision}",
        "images",
        size.tuned / took,
        few / seconds(plainly),
        flops,
        phases={"reading": seconds(read), "all": took},
    )


def vae(stage: str, size: Size, placement: Placement, trace: "Trace") -> Measured:
    gin.clear_config()
    gin.parse_config(STAGES[stage] + "Encoder.batch_norm = True\nDecoder.batch_norm = True")
    for part in ("Encoder", "Decoder"):
        widths = gin.query_parameter(f"{part}.features_per_layer")
        gin.bind_parameter(f"{part}.features_per_layer", [min(size.width, w) for w in widths])
    features = np.random.default_rng(0).random((size.rows, 512), np.float32)
    training = VAETraining(latent_dims=LATENTS)
    own = training.build((512,)).to(placement.device)
    optimizer = make_optimizer(training.optimizer_name, own.parameters(), 1e-3, beta1=0.9)
    table = Rows(features, placement)

    def run(epoch: int) -> None:
        train_epoch(
            own,
            optimizer,
            partial(batch_losses, own, own),
            batches(table, BATCH_SIZE, LATENTS, seed=1, epoch=epoch),
            {"KLD": BETA},
            clip_gradients=None,
            placement=placement,
            advance=lambda _: None,
        )

    run(0)
    took = seconds(partial(run, 1))
    with trace(f"{stage.replace(' ', '-')}-{placement.precision}"):
        run(2)

    def draw() -> None:
        for _ in batches(table, BATCH_SIZE, LATENTS, seed=1, epoch=1):
            pass

    steps = -(-size.rows // BATCH_SIZE)

    def step() -> None:
        for _ in range(steps):
            optimizer.step()

    phases = {"rows and noise": seconds(draw), "optimiser": seconds(step)}
    weights = sum(weight.numel() for weight in own.parameters())
    return Measured(
        f"VAE, {stage}, {placement.precision}",
        "rows",
        size.rows / took,
        plain_vae(training, features, placement.device),
        6.0 * weights,
        # A step reads the weights twice and writes gradients, and Adam reads four and writes three.
        10 * 4.0 * weights / BATCH_SIZE,
        phases,
    )


def plain_vae(training: VAETraining, features: np.ndarray, device: str) -> float:
    """Rows a second of a DataLoader, eager steps, and an optimiser that is not fused."""
    network: VAE = training.build((512,)).to(device).train()
    kind = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}[training.optimizer_name]
    optimizer = kind(network.parameters(), lr=1e-3, foreach=False)
    few = features[: max(2 * BATCH_SIZE, len(features) // 10)]
    loader: torch.utils.data.DataLoader[Tensor] = torch.utils.data.DataLoader(
        few,  # type: ignore[arg-type]  # an array has a length and rows, which is all it takes
        BATCH_SIZE,
        shuffle=True,
    )

    def run() -> None:
        for batch in loader:
            rows = batch.to(device)
            losses = network.losses(
                rows, *network(rows, torch.randn(len(rows), LATENTS).to(device))
            )
            optimizer.zero_grad()
            (losses["MSE"] + BETA * losses["KLD"]).backward()
            optimizer.step()
            for loss in losses.values():
                loss.item()

    run()
    return len(few) / seconds(run)


def grading(grid: ImageGrid, size: Size, placement: Placement, trace: "Trace") -> Measured:
    del trace  # the network runs in another process
    network = nn.Sequential(backbone(size), MaximumTransform()).eval()
    count = max(64, size.images // 4)
    chosen = numbers(grid, count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pytorch_model.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(network, torch.rand(2, 3, 64, 64)).save(str(path))
            plain = torch.jit.load(str(path), map_location=placement.device)
        with RunningRepresentation(Found(path, "torchscript"), placement) as running:
            running.form = BF16 if placement.in_bf16 else OPTIMISED

            def run(total: int) -> None:
                for _ in _in_batches(running, grid, chosen[:total], [running.batch], "Encoding"):
                    pass

            run(2 * running.batch if 2 * running.batch < count else count)
            took = seconds(partial(run, count))

    @torch.no_grad()
    def plainly() -> None:
        for start in range(0, size.plain_images, PLAIN_BATCH):
            rows = grid.observations_at(chosen[start % count : start % count + PLAIN_BATCH])
            plain(torch.from_numpy(np.moveaxis(rows, 3, 1)).to(placement.device)).cpu().numpy()

    plainly()
    return Measured(
        f"grading, {placement.precision}",
        "images",
        count / took,
        size.plain_images / seconds(plainly),
        forward_flops(backbone(size), (3, 64, 64)),
    )


class Trace:
    """Writes a trace of a block for Chrome's or Perfetto's viewer, if a folder is given."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with torch.profiler.profile() as profile:
            yield
        profile.export_chrome_trace(str(self._folder / f"{name}.json"))
