"""What one rate window costs when 1 to 10,000 workers share it, in simulated time.

Run it with ``PYTHONPATH=tests:. python tests/benchmarks/scaling.py [PART...]``. The parts
``window``, ``raised`` and ``outage`` are simulated with a fixed seed and come out the same
in every run; ``real`` has four processes before a real store and compares.

The simulation has the library's window and does what its line does; the tests hold it
against the real line, and against real processes.
"""

import sys
from collections.abc import Iterable
from statistics import median
from typing import Any

from support.fleets_real import SMALL, run_really
from support.simulated_fleets import POSTGRES, REDIS, Figures, Fleet, StoreCost, simulate

from frame_async.protocol.window import RateLimit

COSTS = {"redis": REDIS, "postgres": POSTGRES}


def fleet(workers: int, limit: int, cost: StoreCost, **more: Any) -> Fleet:
    """A fleet that always has work for twice the window, and four calls a worker at least."""
    callers = max(4, 2 * limit // workers)
    return Fleet(workers=workers, callers=callers, limit=RateLimit(limit), cost=cost, **more)


def told(found: Figures) -> str:
    return (
        f"{found.share:6.1%} of what is allowed, {found.per_call:7.1f} operations a call, "
        f"{found.per_second:7,.0f} a second, {found.peak:6,} at most; fairness "
        f"{found.fairness:.2f}, {found.idle:5,} workers without a call, {found.errors:,} errors"
    )


def compare(limit: int, kind: str, sizes: Iterable[int], *, spread: bool) -> None:
    """Print the figures of fleets of all sizes."""
    for workers in sizes:
        asked = fleet(workers, limit, COSTS[kind], spread=spread)
        found = simulate(asked, 120, 240).figures(120, 240, rounds=1)
        rhythm = "spread" if spread else "bursts"
        print(
            f"{limit:5,} a minute, {kind:8} {rhythm} {workers:6,} workers: {told(found)}",
            flush=True,
        )


def window() -> None:
    """Frame's default, 160 a minute."""
    for kind in COSTS:
        compare(160, kind, (1, 10, 100, 1_000), spread=True)
        compare(160, kind, (1, 10, 100, 1_000), spread=False)
    compare(160, "redis", (10_000,), spread=False)


def raised() -> None:
    """A limit that Frame has raised to 6,000 a minute."""
    for kind in COSTS:
        compare(6_000, kind, (1, 10, 100, 1_000), spread=True)
        compare(6_000, kind, (1, 10, 100, 1_000), spread=False)


def outage() -> None:
    """The store goes away for 30 s, in the middle of the minute's calls."""
    for kind, cost in COSTS.items():
        for workers in (1, 10, 100, 1_000):
            quiet = simulate(fleet(workers, 160, cost), 120, 300)
            begin = median(when for when in quiet.times() if 240 <= when < 300)
            gone = (begin, begin + 30)
            tally = simulate(fleet(workers, 160, cost, outage=gone), 120, 600)
            print(
                f"outage of 30 s, {kind:8} {workers:6,} workers: whole throughput "
                f"{tally.recovery(gone[1]):.0f} s after it, {tally.errors:,} calls failed",
                flush=True,
            )


def real() -> None:
    """Four processes, really and simulated."""
    found = simulate(SMALL, 3.0, 8.0).figures(3.0, 8.0)
    print(f"simulated: {found.share:.1%}, {found.per_call:.1f} operations a call")
    share, per_call = run_really("redis", SMALL, 3.0, 8.0)
    print(f"really:    {share:.1%}, {per_call:.1f} operations a call")


PARTS = {part.__name__: part for part in (window, raised, outage, real)}


def main(wanted: Iterable[str]) -> None:
    """Print the figures of the parts that are wanted, or of all."""
    for part in list(wanted) or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
