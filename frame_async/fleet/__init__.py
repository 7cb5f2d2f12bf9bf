"""Runs of files that any number of hosts work off, as jobs of procrastinate.

`open_fleet` gives a fleet on a database; `register` adds our task to an app of your own.
Needs the extra ``procrastinate``, from the first of these names that is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frame_async.fleet.queue import TASK, Fleet, open_fleet, register
    from frame_async.fleet.results import FleetResult
    from frame_async.fleet.runs import Enqueued

__all__ = ["TASK", "Enqueued", "Fleet", "FleetResult", "open_fleet", "register"]

_ELSEWHERE = {"Enqueued": "runs", "FleetResult": "results"}

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        # Only `queue` needs procrastinate, and a command line's --help does without.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _ELSEWHERE.get(name, "queue")
        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
