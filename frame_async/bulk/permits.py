"""Places in the rate window that are taken before there is work for them.

A worker of a queue must not hold a job while it waits for the window: a job that is held
looks alive and does nothing, and where a broker hands out again what is held for too long,
that is a duplicate. So a worker takes a place first and fetches a job for it then. The call
finds that place where it asks for one; for what it needs beyond that, a retry for instance,
it is told that there is none for a long time, so that it ends and its job goes back.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from secrets import token_hex
from typing import Final

from attrs import frozen

from frame_async.errors import StoreError
from frame_async.protocol.window import Lane
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store, Window

FRESH: Final = 5.0
"""Seconds for which a place may lie ready; an older one is given back and asked for anew."""
_NOT_HERE: Final = 1e7
"""Seconds; longer than any call waits."""
_MOST_USED: Final = 10_000


Claimant = Callable[[Claimed | InDoubt], Awaitable[Claim]]
"""Says what a claim is, for whoever knows more of its key than the store does."""


@frozen
class Permit:
    """A place in the window that nobody uses yet."""

    window: Window
    token: str
    taken_at: float


class PermitStore:
    """A store whose users find their places ready, and never wait for another one.

    Claims of keys go to `store` as they are. `aclose` leaves `store` open: whoever made it
    closes it.
    """

    def __init__(self, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._ready: deque[Permit] = deque()
        self._used: dict[str, str] = {}
        self._next_at = 0.0
        self.claimed: dict[str, Claimant] = {}
        """Who hears of a claim before its call may send, by idempotency key."""

    @property
    def ready(self) -> int:
        """How many places lie ready."""
        return len(self._ready)

    @property
    def fits_in(self) -> float:
        """Seconds until there may be a place, as the store said last; 0.0 for now."""
        return max(0.0, self._next_at - self._now())

    async def take(self, window: Window, hold: float) -> float:
        """Take a place for work to come: 0.0 when it is taken, else seconds until asking again.

        A request that uses it gives it up ``hold`` seconds after its beginning, at most.
        """
        token = token_hex(8)
        taken_at = self._now()
        wait = await self._store.enter(window, token, Lane.BULK, FRESH + hold, pace=True)
        if wait > 0:
            return self._noted(wait)
        self._ready.append(Permit(window, token, taken_at))
        return 0.0

    async def give_back(self) -> None:
        """Give back a place that nobody needs, if there is one."""
        if self._ready:
            permit = self._ready.popleft()
            await self._store.leave(permit.window, permit.token, sent=False)

    @property
    def shared(self) -> bool:
        """As the store behind it."""
        return self._store.shared

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """See `Store.claim`; who has to wait for another's claim gives the place back."""
        claim = await self._store.claim(key, fingerprint, lease)
        if isinstance(claim, InFlight):
            await self.give_back()
        elif not isinstance(claim, Done) and (hear := self.claimed.get(key.rpartition(":")[2])):
            try:
                return await hear(claim)
            except StoreError:
                if isinstance(claim, Claimed):  # nothing is sent; it needn't seem so
                    with suppress(StoreError):
                        await self._store.release(key, claim.token)
                raise
        return claim

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """See `Store.renew`."""
        return await self._store.renew(key, token, lease, doubts)

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """See `Store.complete`."""
        return await self._store.complete(key, token, body, keep)

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """See `Store.doubt`."""
        return await self._store.doubt(key, token, doubts, keep)

    async def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._store.release(key, token)

    async def opens_in(
        self,
        window: Window,  # noqa: ARG002  # as a Store's
        lane: Lane,  # noqa: ARG002
        ahead: int,  # noqa: ARG002
        *,
        pace: bool = False,  # noqa: ARG002
    ) -> float:
        """Never: see `force`."""
        return _NOT_HERE

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`; the place is one that lies ready, if there is one."""
        while self._ready:
            permit = self._ready.popleft()
            if self._now() - permit.taken_at < FRESH:
                self._use(token, permit)
                return 0.0
            await self._store.leave(permit.window, permit.token, sent=False)
        wait = await self._store.enter(window, token, lane, hold, pace=pace)
        if wait > 0:
            self._noted(wait)
            return _NOT_HERE
        return 0.0

    def _noted(self, wait: float) -> float:
        """Seconds until asking again: the store tells each who asks another time."""
        now = self._now()
        if not now < self._next_at < now + wait:
            self._next_at = now + wait
        return self._next_at - now

    def _use(self, token: str, permit: Permit) -> None:
        self._used[token] = permit.token
        if len(self._used) > _MOST_USED:  # a request without an answer never leaves its place
            del self._used[next(iter(self._used))]

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:  # noqa: ARG002  # as a Store's
        """Never: a job that goes back to its queue has time to wait."""
        return False

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        await self._store.leave(window, self._used.pop(token, token), sent=sent)

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        await self._store.refuse(window, self._used.pop(token, token), pause)

    async def aclose(self) -> None:
        """Give back what lies ready."""
        while self._ready:
            await self.give_back()
