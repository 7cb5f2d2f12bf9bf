"""What must be remembered beyond one attempt: claimed and finished keys, the rate window.

One parameter takes a user from one process to a fleet: `MemoryStore` (one process, the
default), `SQLiteStore` in ``stores.sqlite`` (the processes of one host), `RedisStore` in
``stores.redis`` and `PostgresStore` in ``stores.postgres`` (a fleet).
"""

from frame_async.stores.interface import (
    Claim,
    Claimed,
    Done,
    InDoubt,
    InFlight,
    Store,
    Window,
)
from frame_async.stores.memory import MemoryStore
from frame_async.stores.opening import default_store, open_store

__all__ = [
    "Claim",
    "Claimed",
    "Done",
    "InDoubt",
    "InFlight",
    "MemoryStore",
    "Store",
    "Window",
    "default_store",
    "open_store",
]
