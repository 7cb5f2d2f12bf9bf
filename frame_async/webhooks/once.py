"""Turns: an event is acted upon by one handler at a time, and by none after it succeeded.

The store decides, so this holds between processes too.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, frozen

from frame_async.errors import EventInFlightError, StoreError
from frame_async.observers import logger
from frame_async.protocol.clock import Clock
from frame_async.stores import Done, InDoubt, InFlight, Store

_PATIENCE: Final = 2.0  # seconds that a task that is being cancelled may still take
_FINGERPRINT: Final = "event=1"  # an event's id alone stands for it


@frozen
class Turn:
    """Whether it is your turn to act on an event; true or false itself."""

    first: bool
    """True when the event has not been acted upon yet."""
    interrupted: int = 0
    """How many times, at most, a process died while it was acting on the event: it may
    have done a part."""

    def __bool__(self) -> bool:
        return self.first


@asynccontextmanager
async def take_turn(
    store: Store, clock: Clock, name: str, event_id: str, lease: float, keep: float
) -> AsyncGenerator[Turn]:
    """Act on an event inside, if it is your turn; see `WebhookReceiver.once`.

    `name` stands for the event in the store; `lease` and `keep` are in seconds.
    """
    claim = await store.claim(name, _FINGERPRINT, lease)
    if isinstance(claim, InFlight):
        raise EventInFlightError(event_id)
    if isinstance(claim, Done):
        yield Turn(first=False)
        return
    interrupted = claim.doubts if isinstance(claim, InDoubt) else 0
    held = _TurnLease(store, name, claim.token, lease, keep, interrupted)
    beating = asyncio.ensure_future(held.beat(clock)) if store.shared else None
    try:
        yield Turn(first=True, interrupted=interrupted)
    except BaseException:
        await _finished(held.give_up(), _PATIENCE)
        raise
    else:
        await _finished(held.complete())
    finally:
        if beating is not None:
            beating.cancel()


@define(eq=False)
class _TurnLease:
    """The turn to act on an event, which this process has."""

    store: Store
    name: str
    token: str
    lease: float
    keep: float
    interrupted: int

    async def beat(self, clock: Clock) -> None:
        """Renew the claim again and again, until it is lost or this is cancelled."""
        held = True
        while held:
            await clock.sleep(self.lease / 3)
            try:
                held = await self.store.renew(
                    self.name, self.token, self.lease, self.interrupted + 1
                )
            except StoreError as error:
                logger.warning("%s: could not be renewed: %s", self.name, error)

    async def complete(self) -> None:
        """The event was acted upon. A store that can't hear it makes that no failure."""
        try:
            mine = await self.store.complete(self.name, self.token, b"handled", self.keep)
        except StoreError as error:
            logger.error("%s: acted upon, but not remembered: %s", self.name, error)
        else:
            if not mine:
                logger.warning("%s: another process had taken it over meanwhile", self.name)

    async def give_up(self) -> None:
        """The handler failed: the event is free again, what died before is not forgotten."""
        store, name, token = self.store, self.name, self.token
        try:
            if self.interrupted:
                await store.doubt(name, token, self.interrupted, self.keep)
            else:
                await store.release(name, token)
        except StoreError as error:
            logger.warning("%s: failed, and is free after its lease only: %s", name, error)


_finishing: Final[set[asyncio.Future[None]]] = set()


async def _finished(work: Awaitable[None], seconds: float | None = None) -> None:
    """Wait for a piece of bookkeeping, at most so many seconds.

    It goes on by itself when the waiting ends before, or is cancelled.
    """
    task = asyncio.ensure_future(work)
    _finishing.add(task)
    task.add_done_callback(_finish)
    await asyncio.wait({task}, timeout=seconds)


def _finish(task: "asyncio.Future[None]") -> None:
    _finishing.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("bookkeeping of an event failed: %s", type(error).__name__)
