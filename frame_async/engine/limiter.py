"""The rate limiter: who waits for a slot of the rolling window, in this process.

First come, first served within a lane; the interactive lane goes first. However many
wait, only one asks the store, and it asks when there is something to hear.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from attrs import define, field

from frame_async.engine.slots import DismissedError, NoSlotError, Slot, Waiter
from frame_async.errors import StoreError
from frame_async.protocol.clock import Clock
from frame_async.protocol.pause import Pause
from frame_async.protocol.window import Lane
from frame_async.stores import Store, Window

_MOST_AT_A_TIME: Final = 64


@define(eq=False, repr=False)
class _Waiting:
    """Those who wait on one event loop."""

    loop: asyncio.AbstractEventLoop
    lanes: dict[Lane, deque[Waiter]] = field(factory=lambda: {lane: deque() for lane in Lane})
    news: asyncio.Event = field(factory=asyncio.Event)
    """Something happened that makes asking again worth while."""
    asker: asyncio.Task[None] | None = None
    next_at: float = 0.0
    """When the store last said that there may be a slot, on the clock."""
    asking: int = 0
    """How many newcomers ask the store themselves."""
    unsure: list[Waiter] = field(factory=list[Waiter])
    """Those who came when it wasn't known how long they would have to wait."""

    def heads(self, most: int) -> list[Waiter]:
        """Whose turn it is, up to so many; those who have their place or gave up are dropped."""
        found: list[Waiter] = []
        for lane in Lane:
            waiting = self.lanes[lane]
            while waiting and waiting[0].gone:
                waiting.popleft()
            live = (waiter for waiter in waiting if not waiter.gone)
            found += islice(live, most - len(found))
        return found


class RateLimiter:
    """Slots of the rate window, for the calls of one client."""

    def __init__(self, store: Store, window: Window, clock: Clock) -> None:
        self._store = store
        self._window = window
        self._clock = clock
        self._here: _Waiting | None = None

    def slot(
        self, token: str, lane: Lane, hold: float, deadline: float, run: object = None
    ) -> Slot:
        """A slot for the request that `token` stands for, until `deadline` (monotonic seconds).

        One that is never released is given up `hold` seconds later. `run` is what
        `dismiss` knows the call by.
        """
        return Slot(self, Waiter(token, lane, hold, deadline, run))

    async def acquire(self, token: str, lane: Lane, hold: float, deadline: float) -> None:
        """Take a slot, or wait for one; see `slot` and `Slot.wait`."""
        waiter = Waiter(token, lane, hold, deadline)
        if not await self.try_acquire(waiter):
            await self.wait(waiter)

    async def try_acquire(self, waiter: Waiter) -> bool:
        """Take a slot; False when there will be one before the deadline, to `wait` for.

        Raises:
            NoSlotError: there won't.
            StoreError: the store can't answer.
        """
        waiting = self._waiting()
        # Many may come at once: a shared store isn't asked by each, but by some of them.
        waiter.asked = waiting.asking < _MOST_AT_A_TIME and not self._ahead(waiting, waiter.lane)
        if waiter.asked:
            waiting.asking += 1
            try:
                if await self._ask(waiting, waiter):
                    return True
            finally:
                waiting.asking -= 1
        fits_in = self._fits_in(waiting, waiter)
        if self._clock.monotonic() + fits_in < waiter.deadline:
            return False
        if await self._store.force(self._window, waiter.token, waiter.lane, waiter.hold):
            return True
        raise NoSlotError(fits_in)

    async def wait(self, waiter: Waiter) -> None:
        """Wait for a slot, first come, first served within a lane; see `Slot.wait`."""
        waiting = self._waiting()
        waiter.turn = waiting.loop.create_future()
        waiting.lanes[waiter.lane].append(waiter)
        if not waiter.asked and waiting.next_at <= self._clock.monotonic():
            waiting.unsure.append(waiter)
        if waiter.lane is Lane.INTERACTIVE:
            waiting.news.set()
        if waiting.asker is None or waiting.asker.done():
            waiting.asker = waiting.loop.create_task(self._keep_asking(waiting))
        await self._await_turn(waiter, waiter.turn)

    async def release(self, token: str, *, sent: bool) -> None:
        """The answer is in, or certainly nothing was sent."""
        await self._store.leave(self._window, token, sent=sent)
        if self._here is not None and self._here.asker is not None:
            self._here.news.set()

    async def refuse(self, token: str, pause: float) -> None:
        """A 429 came: everyone on the window pauses for that many seconds."""
        await self._store.refuse(self._window, token, pause)

    def dismiss(self, run: object) -> None:
        """Send away those of a run who still wait."""
        here = self._here
        for waiter in [w for lane in here.lanes.values() for w in lane] if here else ():
            if waiter.run is run:
                waiter.turn_away(DismissedError(0.0))

    def close(self) -> None:
        """Nobody asks any more; whoever waits goes on, and finds the client closed."""
        here, self._here = self._here, None
        if here is None or here.loop.is_closed():
            return
        if here.asker is not None:
            here.asker.cancel()
        for waiter in [waiter for lane in here.lanes.values() for waiter in lane]:
            waiter.admit()

    def _waiting(self) -> _Waiting:
        loop = asyncio.get_running_loop()
        if self._here is None or self._here.loop is not loop:
            self._here = _Waiting(loop)
        return self._here

    @staticmethod
    def _ahead(waiting: _Waiting, lane: Lane) -> int:
        """How many would be served before a newcomer in that lane."""
        if lane is Lane.INTERACTIVE:
            return len(waiting.lanes[lane])
        return sum(map(len, waiting.lanes.values()))

    def _fits_in(self, waiting: _Waiting, waiter: Waiter) -> float:
        """Seconds that a newcomer waits at least, as far as is known."""
        limit = self._window.limit
        rounds = self._ahead(waiting, waiter.lane) // limit.open_to(waiter.lane)
        return max(0.0, waiting.next_at - self._clock.monotonic()) + rounds * limit.per

    async def _ask(self, waiting: _Waiting, waiter: Waiter) -> bool:
        """Ask the store for a slot; whoever gives up meanwhile gives a slot back."""
        token, lane = waiter.token, waiter.lane
        try:
            wait = await self._store.enter(self._window, token, lane, waiter.hold)
        except asyncio.CancelledError:
            if self._store.shared:  # it may have been taken all the same
                _let_go(waiting.loop, self._store.leave(self._window, token, sent=False))
            raise
        now = self._clock.monotonic()
        # A fleet's store tells each that asks its own time; the soonest is for all who wait here.
        told_sooner = lane is not Lane.INTERACTIVE and now < waiting.next_at < now + wait
        if not told_sooner:
            waiting.next_at = now + wait
        return wait <= 0

    async def _await_turn(self, waiter: Waiter, turn: "asyncio.Future[None]") -> None:
        left = waiter.deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await turn
        except (TimeoutError, asyncio.CancelledError) as gave_up:
            turn.cancel()  # as a rule it is: who waits for it is cancelled through it
            if not turn.cancelled() and turn.exception() is None:
                # The slot came at the very moment of giving up.
                _let_go(asyncio.get_running_loop(), self.release(waiter.token, sent=False))
            if isinstance(gave_up, asyncio.CancelledError):
                raise
        else:
            return
        raise NoSlotError(max(0.0, self._waiting().next_at - waiter.deadline))

    async def _keep_asking(self, waiting: _Waiting) -> None:
        """Serve one after the other, as long as somebody waits.

        As long as a shared store has slots, twice as many ask at a time as before: to
        write to a disk or over a network takes as long for many as for one.
        """
        most = 1
        while heads := waiting.heads(most):
            waiting.news.clear()
            try:
                admitted = [await self._serve(waiting, heads[0])]
                admitted += await asyncio.gather(*(self._serve(waiting, w) for w in heads[1:]))
                if not all(admitted):
                    await self._decide_unsure(waiting)
            except StoreError as error:
                _turn_away(waiting, str(error))
                return
            more = all(admitted) and self._store.shared
            most = min(2 * most, _MOST_AT_A_TIME) if more else 1
            if not all(admitted):
                await self._doze(waiting, waiting.next_at - self._clock.monotonic())

    async def _serve(self, waiting: _Waiting, waiter: Waiter) -> bool:
        """Ask for one who waits; False when there is no slot yet."""
        admitted = await self._ask(waiting, waiter)
        if not admitted and waiting.next_at >= waiter.deadline:
            # There was time when it came; now there is none.
            return await self._force(waiter)
        if admitted and waiter.gone:  # gave up while the store was answering
            await self._store.leave(self._window, waiter.token, sent=False)
        elif admitted:
            waiter.admit()
        return admitted

    async def _decide_unsure(self, waiting: _Waiting) -> None:
        """Now that it is known how long they wait: whoever can't wait so long hears it."""
        unsure, waiting.unsure = waiting.unsure, []
        ahead, full = dict.fromkeys(Lane, 0), set[Lane]()
        for waiter in unsure:
            lane, limit = waiter.lane, self._window.limit
            rounds, ahead[lane] = ahead[lane] // limit.open_to(lane), ahead[lane] + 1
            at = waiting.next_at + rounds * limit.per
            if waiter.gone or at < waiter.deadline:
                continue
            if lane not in full and await self._force(waiter):
                continue
            full.add(lane)
            waiter.turn_away(NoSlotError(at - self._clock.monotonic()))

    async def _force(self, waiter: Waiter) -> bool:
        """Go beyond what was learned, for one who has no time to wait."""
        admitted = await self._store.force(self._window, waiter.token, waiter.lane, waiter.hold)
        if admitted and waiter.gone:  # gave up while the store was answering
            await self._store.leave(self._window, waiter.token, sent=False)
        elif admitted:
            waiter.admit()
        return admitted

    async def _doze(self, waiting: _Waiting, seconds: float) -> None:
        """Sleep until a slot may be free, or until there is news."""
        sleeping = asyncio.ensure_future(self._clock.sleep(max(0.0, seconds)))
        news = asyncio.ensure_future(waiting.news.wait())
        try:
            await asyncio.wait({sleeping, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            news.cancel()


def _turn_away(waiting: _Waiting, why: str) -> None:
    """The store can't answer: everyone hears it now, instead of one after the other."""
    for lane in waiting.lanes.values():
        for waiter in lane:
            waiter.turn_away(StoreError(why))
        lane.clear()


_letting_go: set[asyncio.Task[None]] = set()


def _let_go(loop: asyncio.AbstractEventLoop, leaving: object) -> None:
    """Give a slot back in the background: whoever had it is being cancelled."""

    async def leave() -> None:
        with suppress(StoreError):
            await leaving  # type: ignore[misc]

    task = loop.create_task(leave())
    _letting_go.add(task)
    task.add_done_callback(_letting_go.discard)


class Unlimited:
    """In place of a `RateLimiter` where there is no limit: only a 429 makes anyone wait."""

    def __init__(self, clock: Clock, spread: float, random: Callable[[], float]) -> None:
        self._clock = clock
        self._spread = spread
        self._random = random
        self._pause = Pause()

    def slot(
        self, token: str, lane: Lane, hold: float, deadline: float, run: object = None
    ) -> Slot:
        """See `RateLimiter.slot`."""
        return Slot(self, Waiter(token, lane, hold, deadline, run))

    async def try_acquire(self, waiter: Waiter) -> bool:
        """Wait while a 429 to another call holds everyone back.

        Raises:
            NoSlotError: that doesn't end before the deadline.
        """
        now = self._clock.monotonic()
        left = self._pause.left(now, self._spread, self._random)
        if now + left >= waiter.deadline:
            raise NoSlotError(left)
        if left > 0:
            await self._clock.sleep(left)
        return True

    async def wait(self, waiter: Waiter) -> None:
        """Nobody has to."""

    async def release(self, token: str, *, sent: bool) -> None:
        """Nothing to give back."""

    async def refuse(self, token: str, pause: float) -> None:  # noqa: ARG002  # as the limiter's
        """A 429 came: everyone pauses for that many seconds."""
        self._pause.extend(self._clock.monotonic() + pause)

    def dismiss(self, run: object) -> None:
        """Nobody waits for long."""

    def close(self) -> None:
        """Nothing to end."""
