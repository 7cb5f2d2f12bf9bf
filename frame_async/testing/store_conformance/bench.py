"""What the tests work with: two handles on one empty store, and its time."""

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import define, field

from frame_async.protocol.window import Lane, RateLimit, RollingWindow
from frame_async.stores import Claimed, InDoubt, Store, Window

REAL_UNIT: Final = 0.25
"""Seconds of one unit of a test's time, where it is real."""
HAND_UNIT: Final = 60.0
"""And where it isn't: so long that how slow a machine is makes no difference."""

EVERY_BYTE: Final = bytes(range(256))

HOSTILE_KEYS: Final = [
    "a",
    "A",
    "a ",
    " a",
    "a\n",
    "a\x00",
    "a\x00b",
    "\x00",
    "'; DROP TABLE keys; --",
    '"quoted"',
    "`tick`",
    "back\\slash",
    "a%b",
    "a_b",
    "a*",
    "a?b",
    "{a}",
    "a:b",
    "a=b,c=d",
    "%s %(key)s $1 ?1 :key {0}",
    "']) redis.call('FLUSHALL') --[[",
    "é",
    "e\u0301",
    "日本語",
    "😀",
    "\u202eright to left",
    "0",
    "1e3",
    "null",
    "x" * 255,
    "y" * 254 + "z",
]


@define
class HandClock:
    """A clock that stands still until it is moved; called, it says its seconds."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Its time in seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move it."""
        self.seconds += seconds


@define
class StoreBench:
    """One empty store on the bench, and its time."""

    open: Callable[[], Store]
    """Opens another handle on the same data, as another process has it."""
    clock: HandClock | None = None
    """What the store reads the time from; without it, the tests wait in real time."""
    rules: Callable[[RateLimit], RollingWindow] | None = RollingWindow
    """What the store's windows are held against, where it reads the clock; None for not at all."""
    store: Store = field(init=False)
    other: Store = field(init=False)
    """A second handle on the same data; where the store isn't shared, the same."""

    def __attrs_post_init__(self) -> None:
        self.store = self.open()
        self.other = self.open() if self.store.shared else self.store

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
        """Ask for a slot, to be held for at most ``hold`` units; whether it was given."""
        return await self.store.enter(window, token, lane, hold * self.unit) == 0

    async def force(
        self, window: Window, token: str, lane: Lane = Lane.INTERACTIVE, hold: float = 100
    ) -> bool:
        """Ask for a slot beyond what was learned, to be held for at most ``hold`` units."""
        return await self.store.force(window, token, lane, hold * self.unit)
