"""All of a dataset compared with its digests, block by block."""

from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.terminal import console, progress
from evaluation.data import find_dataset
from evaluation.data.storage.blocks import StoredImages
from evaluation.data.storage.records import folders
from evaluation.data.storage.stored import recorded

_SHOWN = 4
"""Most stretches of damaged images that a line names."""


def verify(name: str, root: Path) -> None:
    """Reads all images of a dataset, and says that they are what they were.

    What was given to the kit and has no record yet is read, and gets one. Nothing is rendered.

    Raises:
        KitError: some images are not what they were, or there is nothing to compare.
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
            f"{name} lies, with a record of its digests, neither in {beside} nor in {outputs}",
            f"Render it: python -m evaluation.data render {name}",
        )
    for images in files:
        damaged = _damaged(images)
        if damaged:
            raise KitError(
                "DATA-CHANGED",
                f"{images.path}: {damaged} are not what they were when they were"
                f" {'rendered' if dataset.rendered else 'first read'}",
                f"Render it again: python -m evaluation.data render {name}"
                if dataset.rendered
                else "Download it again, or, if you meant to change it, remove its record"
                f" {name}.json",
            )
        console.print(f"{images.path}: all {len(images):,} images are good", markup=False)


def _damaged(images: StoredImages) -> str:
    """The images of all blocks that are damaged, in words; empty if there are none."""
    stretches: list[tuple[int, int]] = []
    size = images.array.block
    with progress(f"Verifying {images.path.name}", len(images)) as advance:
        for block in range(images.num_blocks):
            if not images.is_good(block):
                if stretches and stretches[-1][1] == block - 1:
                    stretches[-1] = (stretches[-1][0], block)
                else:
                    stretches.append((block, block))
            advance(min(size, len(images) - block * size))
    shown = [images.array.images_of(*stretch) for stretch in stretches[:_SHOWN]]
    if len(stretches) > _SHOWN:
        shown.append(f"{len(stretches) - _SHOWN} more stretches")
    return ", ".join(shown)
