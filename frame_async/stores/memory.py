"""The store of one process: nothing outlives it."""

import heapq
from collections.abc import Callable
from itertools import count
from threading import Lock
from time import monotonic

from frame_async.protocol.window import Lane, RollingWindow
from frame_async.stores import _keys
from frame_async.stores._keys import Change, KeyRecord, State
from frame_async.stores.interface import Claim, Window


class MemoryStore:
    """Remembers within one process; the default. Safe to share between clients and threads."""

    shared: bool = False
    """No other process can see it."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._keys: dict[str, KeyRecord] = {}
        self._expiries: list[tuple[float, str]] = []
        self._windows: dict[str, RollingWindow] = {}
        self._tokens = map(str, count(1))  # nobody else can see them
        self._lock = Lock()

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """See `Store.claim`."""
        with self._lock:
            now = self._now()
            self._forget(now)
            answer, record = _keys.claim(
                self._keys.get(key), key, fingerprint, next(self._tokens), now, lease
            )
            if record is not None:
                self._keys[key] = record
            return answer

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """See `Store.renew`."""
        return self._change(key, token, Change(state=State.CLAIMED, seconds=lease, doubts=doubts))

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """See `Store.complete`."""
        return self._change(key, token, Change(state=State.DONE, seconds=keep, body=body))

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """See `Store.doubt`."""
        return self._change(key, token, Change(state=State.DOUBT, seconds=keep, doubts=doubts))

    async def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        with self._lock:
            mine = _keys.owned(self._keys.get(key), token)
            if mine is not None:
                del self._keys[key]
            return mine is not None

    def _change(self, key: str, token: str, change: Change) -> bool:
        with self._lock:
            good, record = _keys.change(self._keys.get(key), token, change, self._now())
            if record is not None:
                self._keys[key] = record
                if record.state is not State.CLAIMED:
                    heapq.heappush(self._expiries, (record.until, key))
            return good

    def _forget(self, now: float) -> None:
        """Drop what has expired; each record is looked at once, when its time has come."""
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heapq.heappop(self._expiries)
            record = self._keys.get(key)
            if record is not None and record.expired(now):
                del self._keys[key]

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`."""
        with self._lock:
            return self._window(window).enter(token, lane, self._now(), hold, pace=pace)

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        """See `Store.opens_in`."""
        with self._lock:
            return self._window(window).opens_in(lane, ahead, self._now(), pace=pace)

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        """See `Store.force`."""
        with self._lock:
            return self._window(window).force(token, lane, self._now(), hold)

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        with self._lock:
            self._window(window).leave(token, self._now(), sent=sent)

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        with self._lock:
            self._window(window).refuse(token, self._now(), pause)

    def _window(self, window: Window) -> RollingWindow:
        rolling = self._windows.get(window.name)
        if rolling is None:
            rolling = self._windows[window.name] = RollingWindow(window.limit)
        elif rolling.limit is not window.limit:
            rolling.resize(window.limit)
        return rolling

    async def aclose(self) -> None:
        """Nothing to let go of: what is remembered stays for other clients."""
