"""Random changes of images: the same for a seed, bounded, and without a change of the factors."""

import numpy as np
import pytest
import torch

from evaluation.common.devices import Placement
from submission.finetuning.augmentation import Augmenter, change, draw
from submission.finetuning.loop import one_cycle

CPU = Placement("cpu")


def images() -> torch.Tensor:
    return torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_same_seed_and_epoch_give_the_same_images() -> None:
    first, second = (Augmenter(1.0, 7, 2, CPU) for _ in range(2))
    one = first(images(), 6)
    assert torch.equal(one, second(images(), 6))
    assert not torch.equal(one, first(images(), 6))
    assert not torch.equal(one, Augmenter(1.0, 7, 3, CPU)(images(), 6))
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    again = Augmenter(1.0, 7, 2, CPU)(images(), 6)
    torch.set_num_threads(threads)
    assert torch.equal(one, again)


def test_a_share_of_a_batch_is_changed_as_in_the_whole() -> None:
    changes = draw(6, (3, 64, 64), 1.0, torch.Generator().manual_seed(3))
    whole = change(images(), changes)
    part = change(images()[2:5], changes.rows(slice(2, 5)))
    torch.testing.assert_close(part, whole[2:5], rtol=0, atol=1e-6)


def test_changes_are_images_and_no_strength_changes_nothing() -> None:
    changed = Augmenter(1.0, 1, 0, CPU)(images(), 6)
    assert changed.shape == (6, 3, 64, 64)
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    assert torch.equal(Augmenter(0.0, 1, 0, CPU)(images(), 6), images())
    weak = change(images(), draw(6, (3, 64, 64), 0.0, torch.Generator().manual_seed(3)))
    torch.testing.assert_close(weak, images(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("strength", "usual", "most"), [(1.0, 1, 4), (2.0, 2, 8)])
def test_a_spot_stays_near_its_place(strength: float, usual: float, most: float) -> None:
    """Shift, zoom and turn together; a step of a coarse axis is some five pixels or more."""
    plain = torch.zeros(64, 3, 64, 64)
    plain[:, :, 28:36, 12:20] = 1
    drawn = draw(64, (3, 64, 64), strength, torch.Generator().manual_seed(5))
    others = {name: torch.zeros_like(getattr(drawn, name)) for name in drawn._fields}
    moved = change(plain, drawn._replace(**{**others, "places": drawn.places}))[:, 0].numpy()
    rows, columns = np.mgrid[:64, :64]
    total = moved.sum((1, 2))
    centres = np.stack([(moved * axis).sum((1, 2)) / total for axis in (rows, columns)], 1)
    off = np.linalg.norm(centres - [31.5, 15.5], axis=1)
    assert 0.5 < np.median(off) < usual and off.max() < most


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_light_does_not_turn_one_colour_into_another(strength: float) -> None:
    """Red stays the largest channel of red: a factor of MPI3D is the colour of the object."""
    plain = torch.full((64, 3, 64, 64), 0.2)
    plain[:, 0] = 0.8
    changed = change(plain, draw(64, (3, 64, 64), strength, torch.Generator().manual_seed(5)))
    assert bool((changed.mean((2, 3)).argmax(1) == 0).all())


@pytest.mark.parametrize(("done", "rate"), [(0, 0.1), (0.15, 1), (0.575, 0.5), (1, 0)])
def test_the_rate_rises_and_falls(done: float, rate: float) -> None:
    assert one_cycle(done) == pytest.approx(rate)


def test_things_cover_what_is_darker_than_they_are() -> None:
    drawn = draw(64, (3, 64, 64), 1.0, torch.Generator().manual_seed(3))
    assert 0.2 < float(drawn.things.max()) < 1 and float(drawn.things.min()) >= 0

    others = {name: torch.zeros_like(getattr(drawn, name)) for name in drawn._fields}
    places = torch.eye(2, 3).repeat(64, 1, 1)
    things = torch.full((64, 3, 2, 2), 0.3)
    changes = drawn._replace(**{**others, "places": places, "things": things})
    plain = torch.full((64, 3, 64, 64), 0.1)
    plain[:, 0, 32:] = 0.6  # red, which is brighter than the things in one channel
    changed = change(plain, changes)
    assert bool((changed[:, :, :30] - 0.3).abs().max() < 1e-4)
    torch.testing.assert_close(changed[:, :, 34:], plain[:, :, 34:], rtol=0, atol=1e-4)
