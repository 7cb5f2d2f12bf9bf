"""The stores under test. One line in `BACKENDS` and one fixture add another.

The line says how to open the store at an address; the fixture, ``<name>_address`` in
``tests/stores/conftest.py``, gives the address of an empty one (a path, a URL). It may
rest on a session-scoped fixture that starts a server, or skip with a reason.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen
from support.appointing import AppointingWindow
from support.hand_clocks import PostgresClock, RedisClock
from support.servers import open_postgres, open_redis

from frame_async.protocol.window import RollingWindow
from frame_async.stores import MemoryStore, Store
from frame_async.stores.sqlite import SQLiteStore
from frame_async.testing.store_conformance import HandClock, StoreBench

Now = Callable[[], float]

REAL_SERVERS: Final = "FRAME_SOAK_KILLS" in os.environ
"""Whether tests wait in real time where a server has a clock of its own."""


@frozen
class Backend:
    """How to open one kind of store."""

    open: Callable[[str, Now | None], Store]
    """Open the store at an address; it reads the clock, where it can be given one."""
    clock: Callable[[], HandClock] | None = HandClock
    """Makes a clock that stands still; if there is none, the tests wait in real time."""
    rules: type[RollingWindow] = RollingWindow
    """What its windows are held against."""


def _redis(url: str, clock: Now | None) -> Store:
    return clock.open() if isinstance(clock, RedisClock) else open_redis(url)


def _postgres(url: str, clock: Now | None) -> Store:
    return open_postgres(clock.url if isinstance(clock, PostgresClock) else url)


BACKENDS: Final[Mapping[str, Backend]] = {
    "memory": Backend(lambda _, now: MemoryStore(now) if now else MemoryStore()),
    "sqlite": Backend(lambda path, now: SQLiteStore(path, now=now)),
    "redis": Backend(_redis, None if REAL_SERVERS else RedisClock, AppointingWindow),
    "postgres": Backend(_postgres, None if REAL_SERVERS else PostgresClock, AppointingWindow),
}


def store_url(kind: str, address: str) -> str:
    """What to give a client as its store, for a store at an address."""
    return f"sqlite:///{address}" if kind == "sqlite" else address


def make_bench(kind: str, address: str) -> StoreBench:
    """An empty store of a kind on the bench."""
    backend = BACKENDS[kind]
    clock = backend.clock() if backend.clock else None
    return StoreBench(lambda: backend.open(address, clock), clock, backend.rules)
