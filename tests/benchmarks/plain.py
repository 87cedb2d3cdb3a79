"""The process that plain loops run in: without the large pages that the kit has PyTorch take."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from evaluation.common.environment import HUGE_PAGES


@contextmanager
def plain_process() -> Iterator[Callable[..., Any]]:
    """Yields what calls a function, with its arguments, in that process.

    To be entered after `environment.use_huge_pages`.
    """
    ours = os.environ[HUGE_PAGES]
    os.environ[HUGE_PAGES] = "0"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(int).result()  # starts the process
        os.environ[HUGE_PAGES] = ours
        yield lambda *call: pool.submit(*call).result()
