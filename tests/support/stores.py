"""The stores under test. One line in `BACKENDS` and one fixture add another.

The line says how to open the store at an address; the fixture, ``<name>_address`` in
``tests/stores/conftest.py``, gives the address of an empty one (a path, a URL). It may
rest on a session-scoped fixture that starts a server, or skip with a reason.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field, frozen
from support.hand_clocks import HandClock, PostgresClock, RedisClock
from support.servers import open_postgres, open_redis

from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, InDoubt, MemoryStore, Store, Window
from frame_async.stores.sqlite import SQLiteStore

Now = Callable[[], float]

REAL_SERVERS: Final = "FRAME_SOAK_KILLS" in os.environ
"""Whether tests wait in real time where a server has a clock of its own."""
REAL_UNIT: Final = 0.25
"""Seconds of one unit of a test's time, where it is real."""
HAND_UNIT: Final = 60.0
"""And where it isn't: so long that how slow a machine is makes no difference."""


@frozen
class Backend:
    """How to open one kind of store."""

    open: Callable[[str, Now | None], Store]
    """Open the store at an address; it reads the clock, where it can be given one."""
    clock: Callable[[], HandClock] | None = HandClock
    """Makes a clock that stands still; if there is none, the tests wait in real time."""


def _redis(url: str, clock: Now | None) -> Store:
    return clock.open() if isinstance(clock, RedisClock) else open_redis(url)


def _postgres(url: str, clock: Now | None) -> Store:
    return open_postgres(clock.url if isinstance(clock, PostgresClock) else url)


BACKENDS: Final[Mapping[str, Backend]] = {
    "memory": Backend(lambda _, now: MemoryStore(now) if now else MemoryStore()),
    "sqlite": Backend(lambda path, now: SQLiteStore(path, now=now)),
    "redis": Backend(_redis, None if REAL_SERVERS else RedisClock),
    "postgres": Backend(_postgres, None if REAL_SERVERS else PostgresClock),
}


def store_url(kind: str, address: str) -> str:
    """What to give a client as its store, for a store at an address."""
    return f"sqlite:///{address}" if kind == "sqlite" else address


@define
class Bench:
    """One empty store on the bench, and its time."""

    kind: str
    address: str
    store: Store = field(init=False)
    other: Store = field(init=False)
    """A second handle on the same data, as another process has it (memory: the same)."""
    clock: HandClock | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        make_clock = BACKENDS[self.kind].clock
        self.clock = make_clock() if make_clock else None
        self.store = self.open()
        self.other = self.open() if self.store.shared else self.store

    def open(self) -> Store:
        """Another handle on the same data."""
        return BACKENDS[self.kind].open(self.address, self.clock)

    @property
    def unit(self) -> float:
        """Seconds of one unit: all durations of the suite are multiples of it."""
        return REAL_UNIT if self.clock is None else HAND_UNIT

    async def wait(self, units: float) -> None:
        """Let time pass."""
        if self.clock is None:
            await asyncio.sleep(units * self.unit)
        else:
            self.clock.advance(units * self.unit)

    async def aclose(self) -> None:
        """Close both handles."""
        await self.store.aclose()
        await self.other.aclose()

    async def claimed(self, key: str, fingerprint: str = "a=1", units: float = 100) -> str:
        """Claim a key that is free, and return the token."""
        answer = await self.store.claim(key, fingerprint, units * self.unit)
        assert isinstance(answer, Claimed), answer
        return answer.token

    async def lost(self, key: str, fingerprint: str = "a=1") -> tuple[str, str]:
        """Claim a key and let another call take it over: the lost token, and its own."""
        old = await self.claimed(key, fingerprint, units=1)
        await self.wait(2)
        taken = await self.other.claim(key, fingerprint, 100 * self.unit)
        assert isinstance(taken, InDoubt), taken
        return old, taken.token

    def window(self, requests: int, units: float = 4, name: str = "w") -> Window:
        """A rate window of so many requests in so many units of time."""
        return Window(name, RateLimit(requests, units * self.unit))

    async def enter(
        self, window: Window, token: str, lane: Lane = Lane.INTERACTIVE, hold: float = 100
    ) -> bool:
        """Ask for a slot, to be held for at most `hold` units; whether it was given."""
        return await self.store.enter(window, token, lane, hold * self.unit) == 0

    async def force(
        self, window: Window, token: str, lane: Lane = Lane.INTERACTIVE, hold: float = 100
    ) -> bool:
        """Ask for a slot beyond what was learned, to be held for at most `hold` units."""
        return await self.store.force(window, token, lane, hold * self.unit)
