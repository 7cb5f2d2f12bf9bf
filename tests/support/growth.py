"""How a task's cost grows with its size, told without a clock on the wall."""

import gc
import time
from collections.abc import Callable


def growth(work: Callable[[int], object]) -> float:
    """How many times the CPU time of one part sixteen parts take: 16 where it is linear, or 256.

    CPU time, because whatever else the machine does counts in the other; and a part takes what
    it takes at best, because of what happens to run in this process. Less than a millisecond
    isn't told apart: what is quadratic takes more for one part of some ten thousand bytes.
    """
    gc.disable()
    try:
        one = min(_seconds(work, 1) for _ in range(3))
        return _seconds(work, 16) / max(one, 1e-3)
    finally:
        gc.enable()


def _seconds(work: Callable[[int], object], parts: int) -> float:
    began = time.process_time()
    work(parts)
    return time.process_time() - began
