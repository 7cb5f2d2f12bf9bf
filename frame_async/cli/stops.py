"""Signals: the first asks for an orderly end, the second for one now."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


@define
class Stops:
    """Which signal came, if any."""

    signal: int | None = None


@contextmanager
def listening(stop: Callable[[float | None], None], say: Callable[[str], None]) -> Iterator[Stops]:
    """Call `stop` with None at the first signal, with 0.0 seconds of grace at later ones."""
    loop = asyncio.get_running_loop()
    stops = Stops()

    def on_signal(number: int) -> None:
        if stops.signal is None:
            stops.signal = number
            say("stopping: what is on the wire may finish; once more to stop now")
            stop(None)
        else:
            say("stopping now")
            stop(0.0)

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stops
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
