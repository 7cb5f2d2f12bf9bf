"""How a task's cost grows with its size, told without a clock on the wall."""

import time
from collections.abc import Callable

SMALL, LARGE = 1, 16


def growth(work: Callable[[int], object]) -> float:
    """How many times the CPU time of one part sixteen parts take: 16 where it is linear, or 256.

    CPU time, because whatever else the machine does counts in the other; and the best of
    three, because of what happens to run in this process.
    """
    return _seconds(work, LARGE) / max(_seconds(work, SMALL), 1e-4)


def _seconds(work: Callable[[int], object], parts: int) -> float:
    taken: list[float] = []
    for _ in range(3):
        began = time.process_time()
        work(parts)
        taken.append(time.process_time() - began)
    return min(taken)
