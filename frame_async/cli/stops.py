"""Signals: the first asks for an orderly end, the second for one now."""

import asyncio
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from attrs import define

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")


Stop = Callable[[float | None], None]


@define
class Stops:
    """Which signal came, if any, and who is to be stopped."""

    say: Callable[[str], None]
    signal: int | None = None
    _stop: Stop | None = None

    def attach(self, stop: Stop) -> None:
        """From here on, this is what is stopped; at once, if a signal came before."""
        self._stop = stop
        if self.signal is not None:
            stop(None)

    def heard(self, number: int) -> None:
        """A signal came."""
        first, self.signal = self.signal is None, self.signal or number
        self.say(
            "stopping: what is on the wire may finish; once more to stop now"
            if first
            else "stopping now"
        )
        if self._stop is not None:
            self._stop(None if first else 0.0)


@contextmanager
def listening(say: Callable[[str], None]) -> Generator[Stops]:
    """Stop what is attached: with None at the first signal, with 0.0 s of grace at later ones."""
    stops = Stops(say)
    before = {number: signal.getsignal(number) for number in _numbers()}
    loop = asyncio.get_running_loop()
    for number in before:
        _listen(loop, number, stops)
    try:
        yield stops
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            # Whoever has been heard gets the summary, however often they ask.
            signal.signal(number, handler if stops.signal is None else signal.SIG_IGN)


def _numbers() -> Iterator[signal.Signals]:
    """The signals to heed: not those that whoever started us told us to ignore, as nohup does."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            yield number


def _listen(loop: asyncio.AbstractEventLoop, number: signal.Signals, stops: Stops) -> None:
    try:
        loop.add_signal_handler(number, stops.heard, number)
    except NotImplementedError:  # Windows

        def heard(number: int, _: object) -> None:
            loop.call_soon_threadsafe(stops.heard, number)

        signal.signal(number, heard)
