"""How long trees will take to grow, said where it is long."""

import time
from collections.abc import Callable

from evaluation.common.terminal import console

_SECONDS_TO_FORETELL = 10
_STAGES_TIMED = 2
_FAR_OFF = 1.5


class Forecast:
    """Says after a few stages how long all will take, and again where that was far off.

    It is far off where other programs begin to take the processor, or end.

    Args:
        trees: What grows, as a sentence has it.
        stages: Number of stages.
        clock: Gives the time in seconds.

    Example:
        >>> times = iter([0.0, 6.0, 12.0, 300.0])
        >>> forecast = Forecast("its trees", 100, lambda: next(times))
        >>> for done in (1, 3, 5, 35):
        ...     forecast.after(done)
        DCI grows its trees in about 291 s.
        DCI grows its trees in about 574 s more: the machine is slower than it was.
    """

    def __init__(
        self, trees: str, stages: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trees = trees
        self._stages = stages
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._told_end: float | None = None

    def after(self, done: int) -> None:
        """To be called when so many stages are done.

        The first call begins to time: what came before may have loaded compiled code.
        """
        now = self._clock()
        if self._first is None:
            self._first = done, now
            return
        timed = done - self._first[0]
        if timed < _STAGES_TIMED:
            return
        left = (now - self._first[1]) / timed * (self._stages - done)
        if self._told_end is None:
            note = ""
        elif 1 / _FAR_OFF <= left / max(self._told_end - now, 1e-9) <= _FAR_OFF:
            return
        else:
            slower = now + left > self._told_end
            note = f" more: the machine is {'slower' if slower else 'faster'} than it was"
        if left > _SECONDS_TO_FORETELL:
            console.print(f"DCI grows {self._trees} in about {left:.0f} s{note}.")
        self._told_end = now + left
