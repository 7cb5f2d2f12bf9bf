"""When the rate window has its next place, as the store says that gives them."""

import time
from collections.abc import Callable
from typing import Any, cast

from frame_async.stores import Store


class WindowWatch:
    """Notes what a store answers to whoever asks for a place in the rate window.

    The store counts what other runs and hosts have sent, and this run before it was
    interrupted; a run by itself doesn't know.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next_at = 0.0

    def watched(self, store: Store) -> Store:
        """The store, with an eye on its window."""
        return cast("Store", _Watched(store, self))

    def heard(self, wait: float) -> None:
        """The store has said how many seconds it takes until there may be a place."""
        self._next_at = self._now() + wait if wait > 0 else 0.0

    @property
    def next_in(self) -> float:
        """Seconds until there may be a place; 0.0 where nobody waits for one."""
        return max(0.0, self._next_at - self._now())


class _Watched:
    """A store whose every method is that of another."""

    def __init__(self, store: Store, watch: WindowWatch) -> None:
        self._store = store
        self._watch = watch

    def __repr__(self) -> str:
        return repr(self._store)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def enter(self, *given: Any, **named: Any) -> float:
        wait = await self._store.enter(*given, **named)
        self._watch.heard(wait)
        return wait
