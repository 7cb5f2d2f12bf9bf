"""A client of an emulator for tests, closed wherever it was used."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from frame_async.calls import Attempt, Call
from frame_async.client import FrameClient
from frame_async.engine.clock import SystemClock
from frame_async.observers import Observer
from frame_async.protocol.window import RateLimit
from frame_async.stores import MemoryStore
from frame_async.testing.emulators import EmulatorThread
from frame_async.testing.loops import finish


def connect(emulator: EmulatorThread, **options: Any) -> FrameClient:
    """A client of the emulator: with its key, its rate limit and its clock.

    It remembers by itself. Use it as ``async with connect(emulator) as frame:``. Options
    are those of `FrameClient`.
    """
    clock = SystemClock() if emulator.clock is None else emulator.clock
    limit, period = emulator.emulator.limit, emulator.emulator.period
    given: dict[str, Any] = {
        "api_key": emulator.api_key,
        "base_url": emulator.base_url,
        "rate_limit": None if limit is None else RateLimit(limit, period),
        "store": MemoryStore(now=clock.monotonic),
        "clock": clock,
    }
    return FrameClient(**(given | options))


@contextmanager
def lend(emulator: EmulatorThread) -> Generator[FrameClient]:
    """A client for code that runs on event loops of its own, one after the other.

    It is closed at the end, on the loop where it was used last if that is still there.
    """
    witness = _Witness()
    client = connect(emulator, observers=[witness])
    try:
        yield client
    finally:
        if witness.loop is None or witness.loop.is_closed():
            emulator.call(lambda _: client.aclose())
        else:
            finish(client.aclose(), witness.loop)


class _Witness(Observer):
    """Notes on which event loop a client is used, because that is where it must be closed."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:  # noqa: ARG002
        self.loop = asyncio.get_running_loop()

    def call_ended(self, call: Call) -> None:  # noqa: ARG002  # as an Observer's
        self.loop = asyncio.get_running_loop()
