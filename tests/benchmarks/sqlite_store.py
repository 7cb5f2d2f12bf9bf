"""How many operations a second the SQLite store carries out, each safe on the disk.

Run it from the repository's root, on the disk that matters::

    PYTHONPATH=. python tests/benchmarks/sqlite_store.py [FOLDER] [CALLERS] [SECONDS]

Each caller claims a key, enters the window, leaves it and completes the key: four
operations, one after the other, as one call of a client does.
"""

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, Window
from frame_async.stores.sqlite import SQLiteStore

BODY = b"x" * 1200


async def measure(path: Path, callers: int, seconds: float, windows: bool) -> float:
    """Operations a second."""
    store = SQLiteStore(path)
    window = Window("w", RateLimit(160, 0.001))
    await store.claim("warm", "a=1", 1)
    done, end = 0, time.monotonic() + seconds

    async def call(number: int) -> None:
        nonlocal done
        turn = 0
        while time.monotonic() < end:
            key = f"{number}-{turn}"
            claim = await store.claim(key, "a=1", 30)
            assert isinstance(claim, Claimed)
            done += 1
            if windows:
                while await store.enter(window, key, Lane.INTERACTIVE, 30):
                    done += 1
                await store.leave(window, key, sent=True)
                done += 2
            assert await store.complete(key, claim.token, BODY, 3600)
            done += 1
            turn += 1

    begun = time.monotonic()
    await asyncio.gather(*(call(number) for number in range(callers)))
    rate = done / (time.monotonic() - begun)
    await store.aclose()
    return rate


def main(folder: str | None = None, callers: str = "200", seconds: str = "5") -> None:
    """Print the figures."""
    for windows in (False, True):
        with TemporaryDirectory(dir=folder) as place:
            path = Path(place, "frame.sqlite")
            rate = asyncio.run(measure(path, int(callers), float(seconds), windows))
        what = "claim, enter, leave, complete" if windows else "claim, complete"
        sys.stdout.write(f"{what}: {rate:,.0f} operations a second, {callers} callers\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
