"""Rate windows in a file with many places taken, and what using them costs."""

import asyncio
import time
from pathlib import Path

from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Window
from frame_async.stores.sqlite import SQLiteStore


async def filled(store: SQLiteStore, places: int) -> Window:
    """A window in which nearly all of so many places are taken, and answered."""
    window = Window(f"of {places}", RateLimit(places + 200, 3600))
    for begin in range(0, places, 250):
        tokens = [f"{number}" for number in range(begin, min(places, begin + 250))]
        await asyncio.gather(*(store.enter(window, t, Lane.INTERACTIVE, 60) for t in tokens))
        await asyncio.gather(*(store.leave(window, t, sent=True) for t in tokens))
    return window


async def cost(store: SQLiteStore, window: Window, rounds: int = 60) -> float:
    """Seconds of CPU for entering and leaving once, one after the other."""
    began = time.process_time()
    for number in range(rounds):
        await store.enter(window, f"more {number}", Lane.INTERACTIVE, 60)
        await store.leave(window, f"more {number}", sent=False)
    return (time.process_time() - began) / rounds


async def ratios(folder: Path, sizes: tuple[int, ...] = (160, 6_000, 30_000)) -> dict[int, float]:
    """The least cost of several rounds for each size, over that of the first."""
    store = SQLiteStore(folder / "frame.sqlite")
    windows = {size: await filled(store, size) for size in sizes}
    least = dict.fromkeys(sizes, float("inf"))
    for _ in range(7):
        for size, window in windows.items():
            least[size] = min(least[size], await cost(store, window))
    await store.aclose()
    return {size: seconds / least[sizes[0]] for size, seconds in least.items()} | {
        0: least[sizes[0]]
    }


async def busy(folder: Path, callers: int = 60, seconds: float = 20.0) -> float:
    """Requests a minute of callers that enter, wait 0.2 s for an answer, and leave."""
    store, window = SQLiteStore(folder / "busy.sqlite"), Window("busy", RateLimit(6_000, 60))
    await filled(store, 1)
    end, done = time.monotonic() + seconds, 0

    async def call(number: int) -> None:
        nonlocal done
        turn = 0
        while time.monotonic() < end:
            turn += 1
            token = f"{number}.{turn}"
            if await store.enter(window, token, Lane.INTERACTIVE, 16):
                await asyncio.sleep(0.05)
                continue
            await asyncio.sleep(0.2)
            await store.leave(window, token, sent=True)
            done += 1

    await asyncio.gather(*map(call, range(callers)))
    await store.aclose()
    return done * 60 / seconds
