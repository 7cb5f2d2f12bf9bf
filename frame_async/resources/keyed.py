"""Idempotency that is real: one session for a key, whoever asks, however often.

Frame ignores idempotency keys, so the store decides. Within a process, callers of the
same key share one flight; between processes, the claim of the key in the store does.
"""

import asyncio
import copy
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import compress
from operator import not_
from typing import Final

from attrs import define, evolve, field

from frame_async.calls import Call, Outcome
from frame_async.errors import (
    CallInFlightError,
    FrameError,
    IdempotencyConflictError,
    OutcomeUnknownError,
    StoreError,
)
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.clock import Clock
from frame_async.protocol.fingerprints import differing_fields
from frame_async.protocol.retry import OnUnknown
from frame_async.resources.verdicts import replayed_session
from frame_async.stores import Claimed, Done, InDoubt, InFlight, Store
from frame_async.transport.delivery import Assignment, Delivered, Delivery
from frame_async.transport.story import logger

KEEP: Final = 90_000.0
"""Seconds that a doubt is remembered: the longest life of a session (86,400 s, Frame
reference, ``expires_in``) and an hour."""

_SOONEST_LOOK: Final = 0.05
_LATEST_LOOK: Final = 1.0

_CREATED: Final = Outcome.CREATED  # slow to find in Python 3.11

Ended = PaymentLinkSession | FrameError | None
"""How a flight ended; None when its caller was cancelled."""


@define(eq=False, repr=False)
class _Flight:
    """A call for a key, and those who came meanwhile."""

    fingerprint: str
    _landing: asyncio.Future[Ended] | None = field(init=False, default=None)
    """How it ended; made when somebody waits for that, which is rare."""

    def landing(self) -> asyncio.Future[Ended]:
        if self._landing is None:
            self._landing = asyncio.get_running_loop().create_future()
        return self._landing

    def land(self, ended: Ended) -> None:
        if self._landing is not None and not self._landing.done():
            self._landing.set_result(ended)


@define(eq=False, repr=False)
class KeyedCalls:
    """Calls with keys of their callers' own, each remembered in the store."""

    store: Store
    scope: str
    """Goes before each key in the store, so that merchants can share one."""
    clock: Clock
    lease: float
    """Seconds that a claim outlives its process."""
    keep: float
    """Seconds that a key is remembered at least."""
    proceed: bool
    """Whether to go on when the store can't answer, and admit it."""
    delivery: Delivery
    _flights: dict[str, _Flight] = field(init=False, factory=dict[str, _Flight])
    _heart: "_Heart" = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._heart = _Heart(self.clock, self.lease / 3)

    async def run(
        self,
        assignment: Assignment,
        fingerprint: str,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        """One session for the key of `assignment`; `finish` turns its end into one or raises."""
        while (flight := self._flights.get(assignment.key)) is not None:
            if flight.fingerprint != fingerprint:
                fields = differing_fields(flight.fingerprint, fingerprint)
                raise IdempotencyConflictError(assignment.key, fields)
            ended = await self._follow(flight, assignment)
            if isinstance(ended, PaymentLinkSession):
                return evolve(ended, call=evolve(ended.call, replayed=True))
            if ended is not None:
                raise copy.copy(ended)
        flight = self._flights[assignment.key] = _Flight(fingerprint)
        landed: Ended = None
        try:
            landed = await self._fly(assignment, fingerprint, finish)
        except FrameError as error:
            landed = copy.copy(error)
            raise
        else:
            return landed
        finally:
            del self._flights[assignment.key]
            flight.land(landed)

    async def _follow(self, flight: _Flight, assignment: Assignment) -> Ended:
        """Wait for the flight of another caller in this process."""
        left = assignment.deadline - self.clock.monotonic()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(flight.landing())
        except TimeoutError:
            pass
        raise _in_flight(assignment.key)

    async def _fly(
        self,
        assignment: Assignment,
        fingerprint: str,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        name = f"{self.scope}:{assignment.key}"
        try:
            claim = await self._claim(name, assignment, fingerprint)
        except StoreError as error:
            why = error.message
        else:
            if isinstance(claim, Done):
                doubles, body = _unpacked(claim.body)
                return replayed_session(body, assignment.key, doubles)
            return await self._send(name, assignment, claim, finish)
        if not self.proceed:
            raise StoreError(f"nothing was sent: {why}", Call(idempotency_key=assignment.key))
        logger.warning("%s: sent without the store: %s", assignment.key, why)
        return finish(_admitting(await self.delivery.deliver(assignment), why))

    async def _claim(
        self, name: str, assignment: Assignment, fingerprint: str
    ) -> Claimed | InDoubt | Done:
        """Claim the key, waiting for another process as long as the deadline allows."""
        pause = _SOONEST_LOOK
        while True:
            try:
                claim = await self.store.claim(name, fingerprint, self.lease)
            except IdempotencyConflictError as error:
                fields = error.fields
                break
            if not isinstance(claim, InFlight):
                return claim
            pause = min(pause * 2, _LATEST_LOOK, max(claim.lease, _SOONEST_LOOK))
            if self.clock.monotonic() + pause >= assignment.deadline:
                raise _in_flight(assignment.key)
            await self.clock.sleep(pause)
        raise IdempotencyConflictError(assignment.key, fields)  # in its caller's words

    async def _send(
        self,
        name: str,
        assignment: Assignment,
        claim: Claimed | InDoubt,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        doubts = claim.doubts if isinstance(claim, InDoubt) else 0
        held = _Held(self.store, name, claim.token, self.lease, doubts + 1)
        if doubts and assignment.policy.on_unknown == _RAISE:
            await self.store.doubt(held.name, held.token, doubts, max(KEEP, self.keep))
            raise _in_doubt(assignment.key, doubts)
        assignment.token, assignment.doubts, assignment.claim = claim.token, doubts, held
        if self.store.shared:  # other processes could take it
            self._heart.start(held)
        try:
            delivered = await self.delivery.deliver(assignment, partial(self._settle, held, finish))
        finally:
            self._heart.stop(held)
        if held.session is not None and not held.trouble:
            return held.session
        return finish(_admitting(delivered, held.trouble) if held.trouble else delivered)

    async def _settle(
        self,
        held: "_Held",
        finish: Callable[[Delivered], PaymentLinkSession],
        delivered: Delivered,
    ) -> None:
        """Remember how a call ended; what the store couldn't do is noted, not raised."""
        call, name, token = delivered.call, held.name, held.token
        try:
            if call.outcome is _CREATED:
                with suppress(FrameError):  # it exists, even if it can't be read
                    held.session = finish(delivered)
                packed = _packed(call.possible_duplicates, delivered.exchange.body)
                seconds = max(_life_of(held.session), self.keep)
                mine = await self.store.complete(name, token, packed, seconds)
            elif call.outcome is Outcome.UNKNOWN:
                seconds = max(KEEP, self.keep)
                mine = await self.store.doubt(name, token, call.possible_duplicates, seconds)
            else:
                mine = await self.store.release(name, token)
        except StoreError as error:
            logger.error("%s: not remembered: %s", call.idempotency_key, error)
            held.trouble = error.message
        else:
            held.trouble = "" if mine else "another call had taken the idempotency key over"


@define(eq=False, repr=False)
class _Held:
    """A claim that this process has."""

    store: Store
    name: str
    token: str
    lease: float
    at_most: int
    """Attempts that may have created a session if this process dies now."""
    session: PaymentLinkSession | None = None
    """What came of the call."""
    trouble: str = ""
    """Why that isn't remembered."""

    async def check_in(self, at_most: int) -> bool:
        """Before an attempt: count it, and make sure that the claim still stands."""
        self.at_most = at_most
        return await self._renew()

    async def step_back(self, at_most: int) -> None:
        """The call begins to wait: nothing of it is under way."""
        self.at_most = at_most
        await self._renew()

    async def _renew(self) -> bool:
        return await self.store.renew(self.name, self.token, self.lease, self.at_most)

    async def outlive(self) -> bool:
        """Renew it while its call goes on; False when it was lost to another call."""
        try:
            return await self._renew()
        except StoreError as error:
            logger.warning("a claim could not be renewed: %s", error)
            return True


@define(eq=False, repr=False)
class _Heart:
    """Renews the claims of calls that take long; one task for all of them."""

    _clock: Clock
    _period: float
    """Seconds between two renewals of a claim."""
    _due: dict[_Held, float] = field(init=False, factory=dict[_Held, float])
    """When each is to be renewed, soonest first; monotonic seconds."""
    _beating: asyncio.Task[None] | None = field(init=False, default=None)

    def start(self, held: _Held) -> None:
        """Renew it from now on."""
        beating, loop = self._beating, asyncio.get_running_loop()
        if beating is not None and beating.get_loop() is not loop:
            beating = None  # what is left of another event loop, of a parent process even
            self._due.clear()
        self._due[held] = self._clock.monotonic() + self._period
        if beating is None or beating.done():
            self._beating = loop.create_task(self._beat())

    def stop(self, held: _Held) -> None:
        """Its call is over."""
        self._due.pop(held, None)
        if not self._due and self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def _beat(self) -> None:
        while self._due:
            soonest = next(iter(self._due.values()))
            await self._clock.sleep(max(0.0, soonest - self._clock.monotonic()))
            now = self._clock.monotonic()
            due = [held for held, at in self._due.items() if at <= now]
            for held in due:
                del self._due[held]
                self._due[held] = now + self._period  # not from when it was due: once is enough
            going = await asyncio.gather(*(held.outlive() for held in due))
            for held in compress(due, map(not_, going)):
                self._due.pop(held, None)


_RAISE: Final[OnUnknown] = "raise"


def _in_flight(key: str) -> CallInFlightError:
    return CallInFlightError(
        f"another call is working on the idempotency key {key}, and didn't end in time",
        Call(idempotency_key=key),
    )


def _in_doubt(key: str, doubts: int) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"a session may exist: an earlier call with the idempotency key {key} ended in doubt",
        Call(idempotency_key=key, outcome=Outcome.UNKNOWN, possible_duplicates=doubts),
    )


def _life_of(session: PaymentLinkSession | None) -> float:
    """Seconds to remember a session: as long as it lives, and an hour."""
    if session is None or session.expires is None or session.created is None:
        return KEEP
    return max(0.0, (session.expires - session.created).total_seconds()) + 3600.0


def _packed(doubles: int, body: bytes) -> bytes:
    """What is remembered of a session: what must be admitted for ever, and the answer."""
    return b"%d %b" % (doubles, body)


def _unpacked(packed: bytes) -> tuple[int, bytes]:
    doubles, _, body = packed.partition(b" ")
    return int(doubles), body


def _admitting(delivered: Delivered, trouble: str) -> Delivered:
    """The same end, with what the store couldn't do in its record."""
    told = dict.fromkeys(filter(None, (trouble, delivered.call.store_error)))
    return evolve(delivered, call=evolve(delivered.call, store_error="; ".join(told)))
