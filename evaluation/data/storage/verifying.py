"""Compares all images of a dataset with their digests, block by block."""

from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.terminal import console, progress
from evaluation.data import find_dataset
from evaluation.data.storage.blocks import StoredImages
from evaluation.data.storage.records import folders
from evaluation.data.storage.stored import recorded

_SHOWN = 4
"""The most ranges of damaged images that a message names."""


def verify(name: str, root: Path) -> None:
    """Reads all images of a dataset, and prints that they have not changed.

    A file of the user that has no record yet gets one. Nothing is rendered.

    Raises:
        KitError: `DATA-CHANGED`, some images changed; `DATA-MISSING`, there is nothing to compare.
    """
    dataset = find_dataset(name)
    if dataset.rendered:
        files = recorded(name, root)
    else:
        images = dataset.open(name, root).images
        files = [images] if isinstance(images, StoredImages) else []
    if not files:
        beside, outputs = folders(name, root)
        raise KitError(
            "DATA-MISSING",
            f"neither {beside} nor {outputs} holds {name} and a record of its digests",
            f"Render it: python -m evaluation.data render {name}",
        )
    for images in files:
        damaged = _damaged(images)
        if damaged:
            raise KitError(
                "DATA-CHANGED",
                f"{images.path}: {damaged} have changed since they were"
                f" {'rendered' if dataset.rendered else 'first read'}",
                f"Render it again: python -m evaluation.data render {name}"
                if dataset.rendered
                else "Download it again, or, if you changed it on purpose, remove its record"
                f" {name}.json",
            )
        console.print(f"{images.path}: all {len(images):,} images are good", markup=False)


def _damaged(images: StoredImages) -> str:
    """The images of all damaged blocks, in words; empty if there are none."""
    ranges: list[tuple[int, int]] = []
    size = images.array.block
    with progress(f"Verifying {images.path.name}", len(images)) as advance:
        for block in range(images.num_blocks):
            if not images.is_good(block):
                if ranges and ranges[-1][1] == block - 1:
                    ranges[-1] = (ranges[-1][0], block)
                else:
                    ranges.append((block, block))
            advance(min(size, len(images) - block * size))
    shown = [images.array.images_of(*blocks) for blocks in ranges[:_SHOWN]]
    if len(ranges) > _SHOWN:
        shown.append(f"{len(ranges) - _SHOWN} more ranges")
    return ", ".join(shown)
