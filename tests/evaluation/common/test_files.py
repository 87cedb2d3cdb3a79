"""Sizes as people read them."""

import pytest

from evaluation.common.files import readable_size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_300, "20 kB"),
        (999_700, "1.0 MB"),
        (5_000_000, "5.0 MB"),
        (2_123_366_400, "2.1 GB"),
        (12_740_198_528, "13 GB"),
        (4e15, "4000 TB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert readable_size(number) == text
