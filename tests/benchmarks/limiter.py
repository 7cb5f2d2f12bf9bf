"""What the rate limiter makes of its places, in simulated time, beside one without its rules.

Run it with ``PYTHONPATH=tests:. python tests/benchmarks/limiter.py [overload|payers|hour]``.
Seeds are fixed, so that every run gives the same figures.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from support.beside_bulk import Hasty, beside_bulk, percentile_99
from support.overload import overload

SEEDS = range(10)


def of_overload() -> None:
    """Payers for one and a half windows: who is served, and when the others hear it."""
    for what, quantile in (("any time left", 0.0), ("enough time left", 0.99)):
        crowds = [overload(seed, quantile=quantile) for seed in SEEDS]
        served = [crowd.served for crowd in crowds]
        print(
            f"{what:17} served {min(served)} to {max(served)}, "
            f"unknown {sum(crowd.unknown for crowd in crowds)}, refused within a tenth of the "
            f"timeout {min(crowd.at_once(5.0) for crowd in crowds):.1%} at least"
        )


def of_payers(minutes: int = 5) -> None:
    """Payers beside bulk: the 99th percentile of their wait in each minute."""
    for a_minute in (8, 16, 24, 48):
        rows: dict[str, int] = {}
        for what in ("at once", "paced"):
            towns = []
            for seed in SEEDS:
                options: dict[str, Any] = {"store": Hasty()} if what == "at once" else {}
                towns.append(beside_bulk(seed, a_minute, minutes, None, **options))
            waits = [[w for t in towns for w in t.of_minute(m)] for m in range(minutes)]
            rows[what] = sum(town.rows for town in towns)
            if minutes <= 10:
                p99 = ", ".join(f"{percentile_99(minute):.1f}" for minute in waits)
                print(f"{a_minute:2} payers a minute, bulk {what:7}: {p99} s")
        print(f"{a_minute:2} payers a minute: rows {rows['paced'] / rows['at once']:.1%}")


PARTS: dict[str, Callable[[], None]] = {
    "overload": of_overload,
    "payers": of_payers,
    "hour": partial(of_payers, 60),
}

if __name__ == "__main__":
    logging.disable()
    for part in sys.argv[1:] or ("overload", "payers"):
        PARTS[part]()
