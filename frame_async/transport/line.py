"""The line: who waits for a place in the rate window, in this process.

First come, first served within a lane; the interactive lane goes first. However many
wait, only one asks the store, and it asks when there is something to hear.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice
from typing import Final

from attrs import define, field

from frame_async.errors import StoreError
from frame_async.protocol.clock import Clock
from frame_async.protocol.pause import Pause
from frame_async.protocol.window import Lane
from frame_async.stores import Store, Window

_INTERACTIVE: Final = Lane.INTERACTIVE  # slow to find in Python 3.11
_MOST_AT_A_TIME: Final = 64


BeforeWaiting = Callable[[], Awaitable[None]]
"""Called before a call begins to wait: nothing of it is under way."""


async def at_once() -> None:
    """Nothing to do before waiting."""


class NoPlaceError(Exception):
    """There is no place before the deadline; its argument says in how many seconds there is."""

    def __init__(self, fits_in: float) -> None:
        super().__init__(fits_in)
        self.fits_in = fits_in


class DismissedError(NoPlaceError):
    """Whoever waited was sent away, because its run takes no more."""


@define(eq=False, repr=False)
class _Waiter:
    token: str
    lane: Lane
    hold: float
    deadline: float
    place: asyncio.Future[None]
    party: object


@define(eq=False, repr=False)
class _Waiting:
    """Those who wait on one event loop."""

    loop: asyncio.AbstractEventLoop
    lanes: dict[Lane, deque[_Waiter]] = field(factory=lambda: {lane: deque() for lane in Lane})
    news: asyncio.Event = field(factory=asyncio.Event)
    """Something happened that makes asking again worth while."""
    asker: asyncio.Task[None] | None = None
    next_at: float = 0.0
    """When the store last said that there may be a place, on the clock."""
    asking: int = 0
    """How many newcomers ask the store themselves."""
    unsure: list[_Waiter] = field(factory=list[_Waiter])
    """Those who came when it wasn't known how long they would have to wait."""

    def heads(self, most: int) -> list[_Waiter]:
        """Whose turn it is, up to so many; those who have their place or gave up are dropped."""
        found: list[_Waiter] = []
        for lane in Lane:
            waiting = self.lanes[lane]
            while waiting and waiting[0].place.done():
                waiting.popleft()
            live = (waiter for waiter in waiting if not waiter.place.done())
            found += islice(live, most - len(found))
        return found


class Line:
    """Places in the rate window, for the calls of one client."""

    def __init__(self, store: Store, window: Window, clock: Clock) -> None:
        self._store = store
        self._window = window
        self._clock = clock
        self._here: _Waiting | None = None

    async def enter(
        self,
        token: str,
        lane: Lane,
        hold: float,
        deadline: float,
        party: object = None,
        before_waiting: BeforeWaiting = at_once,
    ) -> None:
        """Take a place, or wait for one until `deadline` (monotonic seconds).

        Whoever has to wait hears it first, by `before_waiting`.

        Raises:
            NoPlaceError: there is none before the deadline; said at once, not then.
            DismissedError: its `party` was dismissed while it waited.
            StoreError: the store can't answer.
        """
        waiting = self._waiting()
        # Many may come at once: a shared store isn't asked by each, but by some of them.
        asks = waiting.asking < _MOST_AT_A_TIME and not self._ahead(waiting, lane)
        if asks:
            waiting.asking += 1
            try:
                if await self._ask(waiting, token, lane, hold):
                    return
            finally:
                waiting.asking -= 1
        waiter = _Waiter(token, lane, hold, deadline, waiting.loop.create_future(), party)
        fits_in = self._fits_in(waiting, waiter)
        if self._clock.monotonic() + fits_in >= deadline:
            if await self._store.force(self._window, token, lane, hold):
                return
            raise NoPlaceError(fits_in)
        await before_waiting()
        waiting.lanes[lane].append(waiter)
        if not asks and waiting.next_at <= self._clock.monotonic():
            waiting.unsure.append(waiter)
        if lane is Lane.INTERACTIVE:
            waiting.news.set()
        if waiting.asker is None or waiting.asker.done():
            waiting.asker = waiting.loop.create_task(self._keep_asking(waiting))
        await self._wait(waiter)

    async def leave(self, token: str, *, sent: bool) -> None:
        """The answer is in, or certainly nothing was sent."""
        await self._store.leave(self._window, token, sent=sent)
        self._tell()

    async def refuse(self, token: str, pause: float) -> None:
        """A 429 came: everyone on the window pauses for that many seconds."""
        await self._store.refuse(self._window, token, pause)

    def dismiss(self, party: object) -> None:
        """Send away those of a party who still wait."""
        here = self._here
        for waiter in [w for lane in here.lanes.values() for w in lane] if here else ():
            if waiter.party is party and not waiter.place.done():
                waiter.place.set_exception(DismissedError(0.0))

    def close(self) -> None:
        """Nobody asks any more; whoever waits goes on, and finds the client closed."""
        here, self._here = self._here, None
        if here is None or here.loop.is_closed():
            return
        if here.asker is not None:
            here.asker.cancel()
        for waiter in [waiter for lane in here.lanes.values() for waiter in lane]:
            if not waiter.place.done():
                waiter.place.set_result(None)

    def _waiting(self) -> _Waiting:
        loop = asyncio.get_running_loop()
        if self._here is None or self._here.loop is not loop:
            self._here = _Waiting(loop)
        return self._here

    def _tell(self) -> None:
        if self._here is not None and self._here.asker is not None:
            self._here.news.set()

    @staticmethod
    def _ahead(waiting: _Waiting, lane: Lane) -> int:
        """How many would be served before a newcomer in that lane."""
        if lane is _INTERACTIVE:
            return len(waiting.lanes[lane])
        return sum(map(len, waiting.lanes.values()))

    def _fits_in(self, waiting: _Waiting, waiter: _Waiter) -> float:
        """Seconds that a newcomer waits at least, as far as is known."""
        limit = self._window.limit
        rounds = self._ahead(waiting, waiter.lane) // limit.open_to(waiter.lane)
        return max(0.0, waiting.next_at - self._clock.monotonic()) + rounds * limit.per

    async def _ask(self, waiting: _Waiting, token: str, lane: Lane, hold: float) -> bool:
        """Ask the store for a place; whoever gives up meanwhile gives a place back."""
        try:
            wait = await self._store.enter(self._window, token, lane, hold)
        except asyncio.CancelledError:
            if self._store.shared:  # it may have been taken all the same
                _let_go(waiting.loop, self._store.leave(self._window, token, sent=False))
            raise
        now = self._clock.monotonic()
        # A fleet's store tells each that asks its own time; the soonest is for all who wait here.
        told_sooner = lane is not _INTERACTIVE and now < waiting.next_at < now + wait
        if not told_sooner:
            waiting.next_at = now + wait
        return wait <= 0

    async def _wait(self, waiter: _Waiter) -> None:
        left = waiter.deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await waiter.place
        except (TimeoutError, asyncio.CancelledError) as gave_up:
            waiter.place.cancel()  # as a rule it is: who waits for it is cancelled through it
            if not waiter.place.cancelled() and waiter.place.exception() is None:
                # The place came at the very moment of giving up.
                _let_go(asyncio.get_running_loop(), self.leave(waiter.token, sent=False))
            if isinstance(gave_up, asyncio.CancelledError):
                raise
        else:
            return
        raise NoPlaceError(max(0.0, self._waiting().next_at - waiter.deadline))

    async def _keep_asking(self, waiting: _Waiting) -> None:
        """Serve one after the other, as long as somebody waits.

        As long as a shared store has places, twice as many ask at a time as before: to
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

    async def _serve(self, waiting: _Waiting, waiter: _Waiter) -> bool:
        """Ask for one who waits; False when there is no place yet."""
        admitted = await self._ask(waiting, waiter.token, waiter.lane, waiter.hold)
        if not admitted and waiting.next_at >= waiter.deadline:
            # There was time when it came; now there is none.
            return await self._force(waiter)
        if admitted and waiter.place.done():  # gave up while the store was answering
            await self._store.leave(self._window, waiter.token, sent=False)
        elif admitted:
            waiter.place.set_result(None)
        return admitted

    async def _decide_unsure(self, waiting: _Waiting) -> None:
        """Now that it is known how long they wait: whoever can't wait so long hears it."""
        unsure, waiting.unsure = waiting.unsure, []
        ahead, full = dict.fromkeys(Lane, 0), set[Lane]()
        for waiter in unsure:
            lane, limit = waiter.lane, self._window.limit
            rounds, ahead[lane] = ahead[lane] // limit.open_to(lane), ahead[lane] + 1
            at = waiting.next_at + rounds * limit.per
            if waiter.place.done() or at < waiter.deadline:
                continue
            if lane not in full and await self._force(waiter):
                continue
            full.add(lane)
            if not waiter.place.done():
                waiter.place.set_exception(NoPlaceError(at - self._clock.monotonic()))

    async def _force(self, waiter: _Waiter) -> bool:
        """Go beyond what was learned, for one who has no time to wait."""
        admitted = await self._store.force(self._window, waiter.token, waiter.lane, waiter.hold)
        if admitted and waiter.place.done():  # gave up while the store was answering
            await self._store.leave(self._window, waiter.token, sent=False)
        elif admitted:
            waiter.place.set_result(None)
        return admitted

    async def _doze(self, waiting: _Waiting, seconds: float) -> None:
        """Sleep until a place may be free, or until there is news."""
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
            if not waiter.place.done():
                waiter.place.set_exception(StoreError(why))
        lane.clear()


_letting_go: set[asyncio.Task[None]] = set()


def _let_go(loop: asyncio.AbstractEventLoop, leaving: object) -> None:
    """Give a place back in the background: whoever had it is being cancelled."""

    async def leave() -> None:
        with suppress(StoreError):
            await leaving  # type: ignore[misc]

    task = loop.create_task(leave())
    _letting_go.add(task)
    task.add_done_callback(_letting_go.discard)


class OpenRoad:
    """In place of a `Line` where there is no limit: only a 429 makes anyone wait."""

    def __init__(self, clock: Clock, spread: float, random: Callable[[], float]) -> None:
        self._clock = clock
        self._spread = spread
        self._random = random
        self._pause = Pause()

    async def enter(
        self,
        token: str,  # noqa: ARG002  # as a Line's
        lane: Lane,  # noqa: ARG002  # as a Line's
        hold: float,  # noqa: ARG002  # as a Line's
        deadline: float,
        party: object = None,  # noqa: ARG002  # as a Line's
        before_waiting: BeforeWaiting = at_once,  # noqa: ARG002  # as a Line's
    ) -> None:
        """Wait while a 429 to another call holds everyone back.

        Raises:
            NoPlaceError: that doesn't end before the deadline.
        """
        now = self._clock.monotonic()
        left = self._pause.left(now, self._spread, self._random)
        if now + left >= deadline:
            raise NoPlaceError(left)
        if left > 0:
            await self._clock.sleep(left)

    async def leave(self, token: str, *, sent: bool) -> None:
        """Nothing to give back."""

    async def refuse(self, token: str, pause: float) -> None:  # noqa: ARG002  # as a Line's
        """A 429 came: everyone pauses for that many seconds."""
        self._pause.extend(self._clock.monotonic() + pause)

    def dismiss(self, party: object) -> None:
        """Nobody waits for long."""

    def close(self) -> None:
        """Nothing to end."""
