"""Drawings of the networks of both stages, with the widths that the configs give them."""

import ast
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from docs.made.figures import INK, as_svg
from evaluation.common.environment import REPOSITORY

CONFIGS = REPOSITORY / "submission" / "configs"
Step = tuple[str, str]
"""What a step is, and the shape of what it gives."""


def settings(config: str) -> dict[str, Any]:
    """The literal values of a gin config, by name."""
    found = {}
    for line in (CONFIGS / config).read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("#")[0].partition(" = ")
        if equals and not value.startswith("@"):
            found[name.strip()] = ast.literal_eval(value.strip())
    return found


def shown(config: str) -> str:
    """A config as it stands in its file."""
    text = (CONFIGS / config).read_text(encoding="utf-8")
    return f"`submission/configs/{config}`\n\n```python\n{text}```\n"


def stage1() -> str:
    given = settings("stage1.gin")
    size = given["get_feature_extractor.interpolation_size"][0]
    steps = [
        ("image", "3 x 64 x 64"),
        (f"scale to {size}, normalise as for ImageNet", f"3 x {size} x {size}"),
        ("VGG19, batch norm, ImageNet's weights", "512 x 7 x 7"),
        (f"RMAC {given['RMACTransform.config']}, length 1", "512"),
        *_vae(given, 512),
    ]
    return _draw(steps, "Stage 1: image, VGG19, RMAC, encoder, latents, decoder.")


def stage2() -> str:
    given = settings("stage2_vae.gin")
    size = given["get_feature_extractor.interpolation_size"][0]
    steps = [
        ("image", "3 x 64 x 64"),
        ("normalise as for ImageNet", f"3 x {size} x {size}"),
        ("VGG19, batch norm, fine-tuned", "512 x 2 x 2"),
    ]
    side = 2
    blocks = ("features", "kernel_sizes", "strides", "paddings")
    lists = (given[f"AggregatedFeatureExtractor.{name}"] for name in blocks)
    for width, kernel, stride, padding in zip(*lists, strict=True):
        side = (side + 2 * padding - kernel) // stride + 1
        steps.append(
            (f"convolution {kernel}x{kernel}, batch norm, ReLU", f"{width} x {side} x {side}")
        )
    vector = width * side * side
    steps += [("flatten, length 1", f"{vector}"), *_vae(given, vector)]
    return _draw(steps, "Stage 2: image, VGG19, learned aggregation, encoder, latents, decoder.")


def _vae(given: dict[str, Any], features: int) -> list[Step]:
    latents = given["train_vae.latent_dims"]
    hidden = "linear, batch norm, ReLU"
    encoder = given["Encoder.features_per_layer"]
    decoder = given["Decoder.features_per_layer"]
    return [
        (f"encoder: {hidden}", _widths(encoder)),
        ("posterior mean (the representation)", f"{latents}"),
        (f"decoder: {hidden}", _widths(decoder)),
        ("mean of the features", f"{features}"),
    ]


def _widths(layers: list[int]) -> str:
    if len(layers) > 1 and len(set(layers)) == 1:
        return f"{len(layers)} times {layers[0]}"
    return " - ".join(map(str, layers))


def _draw(steps: list[Step], says: str) -> str:
    figure = Figure(figsize=(4.4, 0.5 * len(steps)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 4.4), ylim=(-len(steps) + 0.2, 0.8))
    axes.axis("off")
    for row, (what, shape) in enumerate(steps):
        learned = what.startswith(("encoder", "decoder", "convolution")) or "tuned" in what
        box = FancyBboxPatch(
            (0.1, -row - 0.16),
            3.1,
            0.5,
            boxstyle="round,pad=0.04",
            facecolor="#00897b33" if learned else "none",
            edgecolor="#00897b" if "representation" in what else INK,
            linewidth=2 if "representation" in what else 0.8,
        )
        axes.add_patch(box)
        axes.text(1.65, -row + 0.08, what, ha="center", va="center", fontsize=9)
        axes.text(3.35, -row + 0.08, shape, ha="left", va="center", fontsize=9)
        if row:
            arrow = {"arrowstyle": "->", "color": INK, "linewidth": 0.8}
            axes.annotate("", (1.65, -row + 0.4), (1.65, -row + 0.78), arrowprops=arrow)
    return as_svg(figure, says)
