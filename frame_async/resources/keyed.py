"""Idempotency that is real: one session for a key, whoever asks, however often.

Frame ignores idempotency keys, so the store decides. Within a process, callers of the
same key share one flight; between processes, the claim of the key in the store does.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, evolve, field, frozen

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
from frame_async.resources.verdicts import keep_seconds, replayed_session
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store
from frame_async.transport.delivery import Assignment, Delivered, Delivery
from frame_async.transport.story import logger

KEEP: Final = 90_000.0
"""Seconds that a doubt is remembered: the longest life of a session (86,400 s, Frame
reference, ``expires_in``) and an hour."""

_SOONEST_LOOK: Final = 0.05
_LATEST_LOOK: Final = 1.0

Ended = PaymentLinkSession | FrameError | None
"""How a flight ended; None when its caller was cancelled."""


@define(eq=False, repr=False)
class _Flight:
    fingerprint: str
    ended: asyncio.Future[Ended]


@frozen(eq=False, repr=False)
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
        return await self._lead(assignment, fingerprint, finish)

    async def _follow(self, flight: _Flight, assignment: Assignment) -> Ended:
        """Wait for the flight of another caller in this process."""
        left = assignment.deadline - self.clock.monotonic()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(flight.ended)
        except TimeoutError:
            pass
        raise _in_flight(assignment.key)

    async def _lead(
        self,
        assignment: Assignment,
        fingerprint: str,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        """Fly, and let those who come meanwhile share what comes of it."""
        key = assignment.key
        flight = _Flight(fingerprint, asyncio.get_running_loop().create_future())
        self._flights[key] = flight
        ended: Ended = None
        try:
            ended = await self._fly(assignment, fingerprint, finish)
        except FrameError as error:
            ended = copy.copy(error)
            raise
        else:
            return ended
        finally:
            del self._flights[key]
            if not flight.ended.done():
                flight.ended.set_result(ended)

    async def _fly(
        self,
        assignment: Assignment,
        fingerprint: str,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        try:
            claim = await self._claim(assignment, fingerprint)
        except StoreError as error:
            why = error.message
        else:
            if isinstance(claim, Done):
                doubles, body = _unpacked(claim.body)
                return replayed_session(body, assignment.key, doubles)
            return await self._send(assignment, claim, finish)
        if not self.proceed:
            raise StoreError(f"nothing was sent: {why}", Call(idempotency_key=assignment.key))
        logger.warning("%s: sent without the store: %s", assignment.key, why)
        return finish(_admitting(await self.delivery.deliver(assignment), why))

    async def _claim(self, assignment: Assignment, fingerprint: str) -> Claimed | InDoubt | Done:
        """Claim the key, waiting for another process as long as the deadline allows."""
        pause = _SOONEST_LOOK
        while True:
            claim = await self._claim_once(assignment, fingerprint)
            if not isinstance(claim, InFlight):
                return claim
            pause = min(pause * 2, _LATEST_LOOK, max(claim.lease, _SOONEST_LOOK))
            if self.clock.monotonic() + pause >= assignment.deadline:
                raise _in_flight(assignment.key)
            await self.clock.sleep(pause)

    async def _claim_once(self, assignment: Assignment, fingerprint: str) -> Claim:
        try:
            return await self.store.claim(self._name(assignment), fingerprint, self.lease)
        except IdempotencyConflictError as error:
            fields = error.fields
        raise IdempotencyConflictError(assignment.key, fields)  # in its caller's words

    async def _send(
        self,
        assignment: Assignment,
        claim: Claimed | InDoubt,
        finish: Callable[[Delivered], PaymentLinkSession],
    ) -> PaymentLinkSession:
        doubts = claim.doubts if isinstance(claim, InDoubt) else 0
        held = _Held(self.store, self._name(assignment), claim.token, self.lease, doubts + 1)
        if doubts and assignment.policy.on_unknown == _RAISE:
            await self.store.doubt(held.name, held.token, doubts, max(KEEP, self.keep))
            raise _in_doubt(assignment.key, doubts)
        trouble: list[str] = []

        async def settle(delivered: Delivered) -> None:
            trouble.extend(await self._settle(held, delivered))

        assignment.token, assignment.doubts, assignment.claim = claim.token, doubts, held
        if self.store.shared:
            async with self._heartbeat(held):
                delivered = await self.delivery.deliver(assignment, settle)
        else:
            delivered = await self.delivery.deliver(assignment, settle)
        return finish(_admitting(delivered, *trouble))

    async def _settle(self, held: "_Held", delivered: Delivered) -> list[str]:
        """Remember how a call ended; what the store couldn't do is returned, not raised."""
        call, name, token = delivered.call, held.name, held.token
        try:
            if call.outcome is Outcome.CREATED:
                body = delivered.exchange.body
                packed = _packed(call.possible_duplicates, body)
                seconds = max(keep_seconds(body, KEEP), self.keep)
                mine = await self.store.complete(name, token, packed, seconds)
            elif call.outcome is Outcome.UNKNOWN:
                seconds = max(KEEP, self.keep)
                mine = await self.store.doubt(name, token, call.possible_duplicates, seconds)
            else:
                mine = await self.store.release(name, token)
        except StoreError as error:
            logger.error("%s: not remembered: %s", call.idempotency_key, error)
            return [error.message]
        return [] if mine else ["another call had taken the idempotency key over"]

    @asynccontextmanager
    async def _heartbeat(self, held: "_Held") -> AsyncGenerator[None]:
        """Renew the claim while the call lives: other processes could take it."""
        beating = asyncio.create_task(held.beat(self.clock))
        try:
            yield
        finally:
            beating.cancel()

    def _name(self, assignment: Assignment) -> str:
        return f"{self.scope}:{assignment.key}"


@define(eq=False, repr=False)
class _Held:
    """A claim that this process has."""

    store: Store
    name: str
    token: str
    lease: float
    at_most: int
    """Attempts that may have created a session if this process dies now."""

    async def check_in(self, at_most: int) -> bool:
        """Before an attempt: count it, and make sure that the claim still stands."""
        self.at_most = at_most
        return await self._renew()

    async def step_back(self, at_most: int) -> None:
        """The call begins to wait: nothing of it is under way."""
        self.at_most = at_most
        await self._renew()

    async def beat(self, clock: Clock) -> None:
        """Renew again and again, until the claim is lost or this is cancelled."""
        held = True
        while held:
            await clock.sleep(self.lease / 3)
            try:
                held = await self._renew()
            except StoreError as error:
                logger.warning("a claim could not be renewed: %s", error)

    async def _renew(self) -> bool:
        return await self.store.renew(self.name, self.token, self.lease, self.at_most)


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


def _packed(doubles: int, body: bytes) -> bytes:
    """What is remembered of a session: what must be admitted for ever, and the answer."""
    return b"%d %b" % (doubles, body)


def _unpacked(packed: bytes) -> tuple[int, bytes]:
    doubles, _, body = packed.partition(b" ")
    return int(doubles), body


def _admitting(delivered: Delivered, *trouble: str) -> Delivered:
    """The same end, with what the store couldn't do in its record."""
    known = delivered.call.store_error
    if not trouble and not known:
        return delivered
    told = dict.fromkeys([*trouble, known] if known else trouble)
    return evolve(delivered, call=evolve(delivered.call, store_error="; ".join(told)))
