"""A slot of the rate window, from before its request leaves until what became of it is known."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from attrs import define

from frame_async.engine.cancellation import bounded
from frame_async.errors import StoreError
from frame_async.observers import logger
from frame_async.protocol.window import Lane


class NoSlotError(Exception):
    """There is no slot before the deadline; its argument says in how many seconds there is."""

    def __init__(self, fits_in: float) -> None:
        super().__init__(fits_in)
        self.fits_in = fits_in


class DismissedError(NoSlotError):
    """Whoever waited was sent away, because its run takes no more."""


@define(eq=False, repr=False)
class Waiter:
    """One call that wants a slot."""

    token: str
    lane: Lane
    hold: float
    deadline: float
    run: object = None
    asked: bool = False
    """Whether it asked the store itself."""
    turn: "asyncio.Future[None] | None" = None
    """Done when it has its slot, or will have none; None until it waits."""

    @property
    def gone(self) -> bool:
        """Whether it doesn't wait any more."""
        return self.turn is None or self.turn.done()

    def admit(self) -> None:
        """It has its slot."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)

    def turn_away(self, error: Exception) -> None:
        """It will have none."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_exception(error)


class Limiter(Protocol):
    """What gives slots: a `RateLimiter`, or `Unlimited`."""

    async def try_acquire(self, waiter: Waiter) -> bool:
        """Take a slot; False when there will be one to `wait` for."""
        ...

    async def wait(self, waiter: Waiter) -> None:
        """Wait for a slot."""

    def release(self, token: str, *, sent: bool) -> Coroutine[Any, Any, None]:
        """The answer is in, or certainly nothing was sent."""
        ...

    def refuse(self, token: str, pause: float) -> Coroutine[Any, Any, None]:
        """A 429 came: everyone on the window pauses for that many seconds."""
        ...


@define(eq=False, repr=False)
class Slot:
    """A slot of the window for one request, as ``async with limiter.slot(...)``.

    Entering takes one if there is one; `wait` waits for one otherwise. Leaving releases it
    as unsent, unless `keep`, `answer` or `refuse` said what became of the request.
    """

    _limiter: Limiter
    _waiter: Waiter
    acquired: bool = False
    _sent: bool | None = False
    _pause: float | None = None

    async def wait(self) -> None:
        """Wait for a slot until the deadline.

        Raises:
            NoSlotError: there was none.
            DismissedError: its run was dismissed while it waited.
            StoreError: the store can't answer.
        """
        await self._limiter.wait(self._waiter)
        self.acquired = True

    def keep(self) -> None:
        """The request may still arrive: its slot lapses when it can't any more."""
        self._sent = None

    def answer(self) -> None:
        """The answer is in."""
        self._sent = True

    def refuse(self, pause: float) -> None:
        """A 429 came: everyone on the window pauses for that many seconds."""
        self._pause = pause

    async def __aenter__(self) -> Self:
        """Take one if there is one.

        Raises:
            NoSlotError: there is none before the deadline; said at once, not then.
            StoreError: the store can't answer.
        """
        self.acquired = await self._limiter.try_acquire(self._waiter)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.acquired or (self._sent is None and self._pause is None):
            return
        token, pause = self._waiter.token, self._pause
        if pause is None:
            work = self._limiter.release(token, sent=bool(self._sent))
        else:
            work = self._limiter.refuse(token, pause)
        try:
            await (work if exc_type is None else bounded(work))
        except StoreError as error:  # which gives the slot up later
            logger.warning("a slot of the rate window stays taken: %s", error)
