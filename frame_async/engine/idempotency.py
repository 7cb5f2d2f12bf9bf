"""Idempotency that is real: one session for a key, whoever asks, however often.

Frame ignores idempotency keys, so the store decides. Within a process, callers of the
same key share one flight; between processes, the claim of the key in the store does.
"""

import asyncio
import copy
from collections.abc import Awaitable
from contextlib import suppress
from itertools import compress
from operator import not_
from secrets import token_hex
from time import monotonic
from types import TracebackType
from typing import Final, Self

from attrs import define, evolve, field, frozen

from frame_async.calls import Call, Outcome
from frame_async.engine.cancellation import bounded
from frame_async.engine.exchange import Course, Ended, Exchange
from frame_async.errors import (
    CallInFlightError,
    FrameError,
    IdempotencyConflictError,
    OutcomeUnknownError,
    StoreError,
)
from frame_async.observers import logger
from frame_async.protocol.clock import Clock
from frame_async.protocol.fingerprints import differing_fields
from frame_async.secret import Secret
from frame_async.serialization import without
from frame_async.stores import Claimed, Done, InDoubt, InFlight, Store
from frame_async.stores.interface import Claim as Answer

DOUBT_SECONDS: Final = 90_000.0
"""How long a doubt is remembered: the longest life of a session (86,400 s, Frame
reference, ``expires_in``) and an hour."""

_MARGIN: Final = 3_600.0
"""Seconds that a key is remembered beyond the life of what it created."""
_SOONEST_LOOK: Final = 0.05
_LATEST_LOOK: Final = 1.0


@define(eq=False, repr=False)
class _Flight:
    """A call for a key, and those who came meanwhile."""

    fingerprint: str
    landing: "asyncio.Future[Ended | FrameError | None] | None" = None
    """How it ended, None if its caller was cancelled; made when somebody waits for it."""

    def wait(self) -> "asyncio.Future[Ended | FrameError | None]":
        if self.landing is None:
            self.landing = asyncio.get_running_loop().create_future()
        return self.landing


@frozen(kw_only=True, eq=False, repr=False)
class KeyLeases:
    """The keys of a client's callers, each remembered in the store."""

    store: Store
    scope: str
    """Goes before each key in the store, so that merchants can share one."""
    clock: Clock
    lease_seconds: float
    """How long a claim outlives its process."""
    keep: float
    """Seconds that a key is remembered at least."""
    proceed: bool
    """Whether to go on when the store can't answer, and admit it."""
    flights: dict[str, _Flight] = field(init=False, factory=dict[str, _Flight])
    renewer: "Renewer" = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "renewer", Renewer(self.clock, self.lease_seconds / 3))


@define(eq=False, repr=False)
class Lease:
    """An idempotency key that one call has to itself, renewed while it lives.

    Entering waits for whoever has the key; `replay` then says how an earlier call with it
    ended, if it did. Leaving remembers how this one ended.
    """

    _shared: KeyLeases
    _course: Course
    _fingerprint: str
    _lifetime: float
    """Seconds that what the call creates lives."""
    _if_unknown: str
    """An error's first words when nobody knows what an earlier call did."""
    _secrets: Secret[tuple[str, ...]]
    """No answer is remembered with these in it."""
    replay: Ended | None = field(init=False, default=None)
    _claim: "Claim | None" = field(init=False, default=None)
    _ended: Ended | FrameError | None = field(init=False, default=None)
    _settled: bool = field(init=False, default=False)
    _fresh: bool = field(init=False, default=True)
    """Whether the first attempt is counted already, by the claim itself."""

    async def __aenter__(self) -> Self:
        """Have the key, or hear how it ended.

        Raises:
            IdempotencyConflictError: it stands for another request.
            CallInFlightError: whoever has it didn't end in time.
            OutcomeUnknownError: an earlier call ended in doubt, which the policy doesn't accept.
            StoreError: the store can't answer.
        """
        flights, key = self._shared.flights, self._course.key
        while (flight := flights.get(key)) is not None:
            if flight.fingerprint != self._fingerprint:
                fields = differing_fields(flight.fingerprint, self._fingerprint)
                raise IdempotencyConflictError(key, fields)
            ended = await self._follow(flight)
            if isinstance(ended, FrameError):
                raise copy.copy(ended)
            if ended is not None:
                self.replay = evolve(ended, call=evolve(ended.call, replayed=True))
                return self
        flights[key] = _Flight(self._fingerprint)
        try:
            await self._take()
        except BaseException as error:
            self._land(error if isinstance(error, FrameError) else None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.replay is not None:
            return
        try:
            if self._claim is not None and not self._settled:
                now = self._shared.clock.monotonic()
                last = self._course.last
                body = b"" if last is None else last.body
                call = self._course.record(now, cancelled=True)
                await bounded(self._remember(self._claim, call, body))
        finally:
            self._land(self._ended)  # None if its caller was cancelled: others then try

    async def pause(self, at_most: int) -> None:
        """The call begins to wait: only that many attempts may have created something."""
        self._fresh = False
        if self._claim is not None:
            self._claim.at_most = at_most
            await self._claim.renew()

    async def confirm(self, at_most: int) -> bool:
        """A request is about to leave, after which `at_most` may have created something.

        False when the claim was lost to another call, which forbids the attempt.
        """
        fresh, self._fresh = self._fresh, False
        if self._claim is None or fresh:
            return True
        self._claim.at_most = at_most
        return await self._claim.renew()

    async def settle(self, ended: Ended) -> Ended:
        """Remember how the call ended; the same, admitting what the store couldn't do."""
        if self._claim is not None:
            trouble = await self._remember(self._claim, ended.call, ended.exchange.body)
            ended = ended.admitting(trouble) if trouble else ended
        # Only now: whoever is cancelled while the store writes has it written on leaving.
        self._settled, self._ended = True, ended
        return ended

    async def _remember(self, claim: "Claim", call: Call, body: bytes) -> str:
        """Why the store won't remember it; empty when it will."""
        store, keep, doubts = self._shared.store, self._shared.keep, call.possible_duplicates
        if store.shared:
            self._shared.renewer.stop(claim)
        try:
            if call.outcome is Outcome.CREATED:
                kept = without(self._secrets.reveal(), body) if self._secrets.reveal() else body
                packed = b"%d %b" % (doubts, kept)  # what must be admitted for ever comes first
                seconds = max(self._lifetime + _MARGIN, keep)
                mine = await store.complete(claim.name, claim.token, packed, seconds)
            elif call.outcome is Outcome.UNKNOWN:
                seconds = max(DOUBT_SECONDS, keep)
                mine = await store.doubt(claim.name, claim.token, doubts, seconds)
            else:
                mine = await store.release(claim.name, claim.token)
        except StoreError as error:
            logger.error("%s: not remembered: %s", call.idempotency_key, error)
            return error.message
        return "" if mine else "another call had taken the idempotency key over"

    def _land(self, ended: Ended | FrameError | None) -> None:
        """Those who waited for this call hear how it ended."""
        landing = self._shared.flights.pop(self._course.key).landing
        if landing is not None and not landing.done():
            landing.set_result(copy.copy(ended) if isinstance(ended, FrameError) else ended)

    async def _follow(self, flight: _Flight) -> Ended | FrameError | None:
        """Wait for the flight of another caller in this process."""
        left = self._course.deadline - self._shared.clock.monotonic()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(flight.wait())
        except TimeoutError:
            pass
        raise _in_flight(self._course.key)

    async def _take(self) -> None:
        """Claim the key in the store, or find how it ended."""
        shared, course = self._shared, self._course
        name = f"{shared.scope}:{course.key}"
        try:
            claim = await self._claim_in_time(name)
        except StoreError as error:
            why = error.message
        else:
            if isinstance(claim, Done):
                self.replay = _unpacked(claim.body, course.key)
                self._land(self.replay)
            else:
                await self._begin(name, claim)
            return
        if not shared.proceed:
            raise StoreError(f"nothing was sent: {why}", Call(idempotency_key=course.key))
        logger.warning("%s: sent without the store: %s", course.key, why)
        course.store_errors.append(why)
        course.token = token_hex(8)

    async def _begin(self, name: str, claim: Claimed | InDoubt) -> None:
        shared, course = self._shared, self._course
        doubts = claim.doubts if isinstance(claim, InDoubt) else 0
        if isinstance(claim, InDoubt) and doubts and course.options.policy.on_unknown == "raise":
            await self._doubt(name, claim)
            call = Call(
                idempotency_key=course.key, outcome=Outcome.UNKNOWN, possible_duplicates=doubts
            )
            words = f"an earlier call with the idempotency key {course.key} ended in doubt"
            raise OutcomeUnknownError(f"{self._if_unknown}: {words}", call)
        course.token, course.earlier = claim.token, doubts
        self._claim = Claim(shared.store, name, claim.token, shared.lease_seconds, doubts + 1)
        if shared.store.shared:  # other processes could take it
            shared.renewer.start(self._claim)

    async def _claim_in_time(self, name: str) -> Claimed | InDoubt | Done:
        """Claim the key, waiting for another process as long as the deadline allows."""
        shared, course, pause = self._shared, self._course, _SOONEST_LOOK
        while True:
            asking = shared.store.claim(name, self._fingerprint, shared.lease_seconds)
            try:
                claim = await (self._answer(name, asking) if shared.store.shared else asking)
            except IdempotencyConflictError as error:
                fields = error.fields
                break
            if not isinstance(claim, InFlight):
                return claim
            pause = min(pause * 2, _LATEST_LOOK, max(claim.lease, _SOONEST_LOOK))
            if shared.clock.monotonic() + pause >= course.deadline:
                raise _in_flight(course.key)
            await shared.clock.sleep(pause)
        raise IdempotencyConflictError(course.key, fields)  # in its caller's words

    async def _answer(self, name: str, asking: Awaitable[Answer]) -> Answer:
        """What the store says; who is cancelled before it does gives the key back."""
        answer = asyncio.ensure_future(asking)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            await bounded(self._give_back(name, answer))
            raise

    async def _give_back(self, name: str, answer: Awaitable[Answer]) -> None:
        with suppress(FrameError):
            claim = await answer
            if isinstance(claim, Claimed):
                await self._shared.store.release(name, claim.token)
            elif isinstance(claim, InDoubt):
                await self._doubt(name, claim)

    async def _doubt(self, name: str, claim: InDoubt) -> None:
        """Leave a key in the doubt in which it was found."""
        seconds = max(DOUBT_SECONDS, self._shared.keep)
        await self._shared.store.doubt(name, claim.token, claim.doubts, seconds)


@define(eq=False, repr=False)
class Claim:
    """A claim of a key in the store that this process has."""

    store: Store
    name: str
    token: str
    lease: float
    at_most: int
    """Attempts that may have created something if this process dies now."""

    async def renew(self) -> bool:
        """Renew it; False when it was lost to another call."""
        return await self.store.renew(self.name, self.token, self.lease, self.at_most)

    async def outlive(self) -> bool:
        """Renew it while its call goes on; a store that can't answer is asked again."""
        try:
            return await self.renew()
        except StoreError as error:
            logger.warning("a claim could not be renewed: %s", error)
            return True


@define(eq=False, repr=False)
class Renewer:
    """Renews the claims of calls that take long; one task for all of them."""

    _clock: Clock
    _period: float
    """Seconds between two renewals of a claim."""
    _due: dict[Claim, float] = field(init=False, factory=dict[Claim, float])
    """When each is to be renewed, soonest first; monotonic seconds."""
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    def start(self, claim: Claim) -> None:
        """Renew it from now on."""
        task, loop = self._task, asyncio.get_running_loop()
        if task is not None and task.get_loop() is not loop:
            task = None  # what is left of another event loop, of a parent process even
            self._due.clear()
        self._due[claim] = self._clock.monotonic() + self._period
        if task is None or task.done():
            self._task = loop.create_task(self._keep_renewing())

    def stop(self, claim: Claim) -> None:
        """Its call is over."""
        self._due.pop(claim, None)
        if not self._due and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep_renewing(self) -> None:
        while self._due:
            soonest = next(iter(self._due.values()))
            await self._clock.sleep(max(0.0, soonest - self._clock.monotonic()))
            now = self._clock.monotonic()
            due = [claim for claim, at in self._due.items() if at <= now]
            for claim in due:
                del self._due[claim]
                self._due[claim] = now + self._period  # not from when it was due: once is enough
            going = await asyncio.gather(*(claim.outlive() for claim in due))
            for claim in compress(due, map(not_, going)):
                self._due.pop(claim, None)


def _in_flight(key: str) -> CallInFlightError:
    return CallInFlightError(
        f"another call is working on the idempotency key {key}, and didn't end in time",
        Call(idempotency_key=key),
    )


def _unpacked(packed: bytes, key: str) -> Ended:
    """How an earlier call ended, of what was remembered of it."""
    possible_duplicates, _, body = packed.partition(b" ")
    call = Call(
        idempotency_key=key,
        outcome=Outcome.CREATED,
        possible_duplicates=int(possible_duplicates),
        replayed=True,
    )
    return Ended(call, Exchange(monotonic, 0.0, body=body))
