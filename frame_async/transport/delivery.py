"""One call on the wire: attempts, until there is an answer or no sense in another."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final, Protocol

from attrs import define, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.errors import StoreError
from frame_async.observers import Audience
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import Ending, sum_up
from frame_async.protocol.retry import (
    STOP,
    Reaction,
    RetryBudget,
    RetryPlan,
    RetryPolicy,
    Step,
)
from frame_async.protocol.retry_after import seconds_to_wait
from frame_async.protocol.window import Lane
from frame_async.secret import Secret
from frame_async.transport.exchange import Exchange, Trail
from frame_async.transport.line import BeforeWaiting, DismissedError, NoPlaceError, at_once
from frame_async.transport.retrying import persist
from frame_async.transport.session import HttpSession
from frame_async.transport.story import logger

# Python 3.11 takes as long to find a member of an enum as for twenty plain names.
_CREATED: Final = Outcome.CREATED
_UNKNOWN: Final = Outcome.UNKNOWN

HOLD_MARGIN: Final = 1.0
"""Seconds that a place in the window is held beyond the longest attempt, if never left."""


class Turnstile(Protocol):
    """Where a call waits for its turn: a `Line`, or an `OpenRoad`."""

    async def enter(
        self,
        token: str,
        lane: Lane,
        hold: float,
        deadline: float,
        party: object = None,
        before_waiting: BeforeWaiting = at_once,
    ) -> None:
        """Wait for a place, until `deadline` at most."""

    async def leave(self, token: str, *, sent: bool) -> None:
        """The answer is in, or certainly nothing was sent."""

    async def refuse(self, token: str, pause: float) -> None:
        """A 429 came."""

    def dismiss(self, party: object) -> None:
        """Nobody of that party waits any more."""

    def close(self) -> None:
        """Nobody waits any more."""


class HeldClaim(Protocol):
    """What a store must know of a call while it lives, in case that its process dies."""

    async def check_in(self, at_most: int) -> bool:
        """A request is about to leave: `at_most` attempts may then have created a session.

        False when the claim was lost, which forbids the attempt.
        """
        ...

    async def step_back(self, at_most: int) -> None:
        """The call begins to wait: only that many attempts may have created a session."""
        ...


@define(eq=False, repr=False)
class Assignment:
    """What one call is to deliver, and how."""

    body: Secret[bytes]
    key: str
    policy: RetryPolicy
    deadline: float
    """Monotonic time at which the call must be over."""
    lane: Lane
    party: object = None
    """The run that the call belongs to; whoever waits for the window goes with its party."""
    token: str = ""
    """What its places in the window are known by: unique, and no secret."""
    doubts: int = 0
    """Attempts of earlier calls with the same key that may have created a session."""
    claim: "HeldClaim | None" = None
    """The claim of its key, if the key is its caller's own."""


@define(eq=False, repr=False)
class Delivered:
    """How a call ended on the wire: its last exchange, its record, why it stopped."""

    exchange: Exchange
    call: Call
    stopped: str = ""
    """Why there was no further attempt, when there could have been one."""


@frozen(kw_only=True, eq=False, repr=False)
class Delivery:
    """What all calls of a client share on their way to the wire."""

    session: HttpSession
    clock: Clock
    random: Callable[[], float]
    budget: RetryBudget
    turnstile: Turnstile
    audience: Audience
    attempt_timeout: float
    """Seconds for one attempt, at most."""
    proceed: bool = False
    """Whether to send without a place in the window when the store can't answer, and admit it."""

    async def deliver(
        self, assignment: Assignment, settle: Callable[[Delivered], Awaitable[None]] | None = None
    ) -> Delivered:
        """Send until the policy is content.

        `settle` gets what there is to remember at every end, cancellation included,
        before anybody else hears of it.

        Raises:
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
        """
        self.session.open()
        started = self.clock.monotonic()
        course = _Course(self, assignment, started)
        try:
            last, step = await course.run()
        except asyncio.CancelledError:
            delivered = Delivered(course.last, course.record(cancelled=True))
            if settle is not None:
                await bounded(settle(delivered))
            self.audience.call_ended(delivered.call)
            raise
        delivered = Delivered(last, course.record(), step.why)
        if settle is not None:
            await settle(delivered)
        self.audience.call_ended(delivered.call)
        return delivered


def _none_yet() -> list[Attempt]:
    return []  # `list[Attempt]()` first fails to note its own type on the list


@define(eq=False, repr=False)
class _Course:
    """One call in the making."""

    _delivery: Delivery
    _assignment: Assignment
    _started: float
    _plan: RetryPlan | None = field(init=False, default=None)
    _first_at: float | None = field(init=False, default=None)
    """When the first exchange began: waiting for the window is not what the policy limits."""
    _attempts: list[Attempt] = field(init=False, factory=_none_yet)
    _slept: float = field(init=False, default=0.0)
    _slept_for: str = field(init=False, default="")
    _trouble: tuple[str, ...] = field(init=False, default=())
    """What the store couldn't do, in the order in which that was heard."""
    _going: bool = field(init=False, default=True)
    """Whether the claim of the key still stands."""
    _last: Exchange | None = field(init=False, default=None)

    @property
    def last(self) -> Exchange:
        """How the last exchange ended; one that never began was cancelled."""
        return self._last or Trail(self._delivery.clock.monotonic).end(Ending.CANCELLED)

    async def run(self) -> tuple[Exchange, Step]:
        first = await self._attempt()
        if first.outcome is _CREATED:
            self._delivery.budget.give_back()
            return first, STOP
        return await persist(first, self._attempt, self._decide, self._sleep)

    async def _attempt(self) -> Exchange:
        now = self._delivery.clock.monotonic
        began = now()
        token = f"{self._assignment.token or token_hex(8)}.{len(self._attempts)}"
        try:
            await self._enter(token)
        except DismissedError:
            return Trail(now).end(Ending.DISMISSED)
        except NoPlaceError as no:
            detail = f"there would be one in {no.fits_in:.1f} s"
            return Trail(now).end(Ending.NO_PLACE, detail, fits_in=no.fits_in)
        except StoreError as error:
            if not self._delivery.proceed:
                return Trail(now).end(Ending.STORE_FAILED, error.message)
            self._trouble += (error.message,)
            key = self._assignment.key
            logger.warning("%s: sent without a place in the window: %s", key, error)
        if not self._going:
            return Trail(now).end(Ending.TAKEN_OVER)
        return await self._exchange(token, now() - began)

    async def _enter(self, token: str) -> None:
        """Take a place in the window, and see that the claim of the key still stands."""
        assignment, turnstile = self._assignment, self._delivery.turnstile
        hold = self._delivery.attempt_timeout + HOLD_MARGIN
        claim = assignment.claim
        if claim is None:
            await turnstile.enter(
                token, assignment.lane, hold, assignment.deadline, assignment.party
            )
            return
        # Claiming the key has counted the first attempt, unless that begins with waiting.
        counted = not self._attempts

        async def step_back() -> None:
            nonlocal counted
            counted = False
            await claim.step_back(self._doubts())

        await turnstile.enter(
            token, assignment.lane, hold, assignment.deadline, assignment.party, step_back
        )
        if not counted:
            await self._check_in(claim, token)

    async def _check_in(self, claim: HeldClaim, token: str) -> None:
        try:
            self._going = await claim.check_in(self._doubts() + 1)
        except BaseException:
            await bounded(self._delivery.turnstile.leave(token, sent=False))
            raise
        if not self._going:
            await self._delivery.turnstile.leave(token, sent=False)

    async def _exchange(self, token: str, waited: float) -> Exchange:
        delivery = self._delivery
        began = datetime.fromtimestamp(delivery.clock.time(), UTC)
        trail = Trail(delivery.clock.monotonic)
        if self._first_at is None:
            self._first_at = trail.began
        left = max(0.0, self._assignment.deadline - trail.began)
        try:
            exchange = await delivery.session.post(
                self._assignment.body,
                self._assignment.key,
                min(delivery.attempt_timeout, left),
                trail,
            )
        except asyncio.CancelledError:
            exchange = trail.end(Ending.CANCELLED)
            self._note(exchange, began, waited)
            await bounded(self._leave(token, exchange))
            raise
        self._note(exchange, began, waited)
        await self._leave(token, exchange)
        return exchange

    async def _leave(self, token: str, exchange: Exchange) -> None:
        """Tell the window how it went; a store that can't hear it gives the place up later.

        Without an answer the request may still arrive, so its place isn't given back: it
        lapses when no request of its time can arrive any more.
        """
        turnstile, policy = self._delivery.turnstile, self._assignment.policy
        outcome = exchange.outcome
        if outcome is _UNKNOWN and exchange.head is None:
            return
        created = outcome is _CREATED
        try:
            if created:
                await turnstile.leave(token, sent=True)
            elif policy.react(outcome, exchange.evidence) is Reaction.THROTTLED:
                asked = self._asked_to_wait(exchange)
                await turnstile.refuse(token, max(asked or 0.0, policy.backoff))
            else:
                await turnstile.leave(token, sent=outcome is not Outcome.NOT_SENT)
        except StoreError as error:
            logger.warning("%s: a place in the window stays taken: %s", self._assignment.key, error)

    def _note(self, exchange: Exchange, began: datetime, waited: float) -> None:
        attempt = describe(exchange, began, waited, self._slept, self._slept_for)
        self._last = exchange
        self._slept, self._slept_for = 0.0, ""
        self._attempts.append(attempt)
        self._delivery.audience.attempt_ended(self._assignment.key, len(self._attempts), attempt)

    def _decide(self, exchange: Exchange) -> Step:
        self._last = exchange
        reaction = self._assignment.policy.react(exchange.outcome, exchange.evidence)
        self._slept_for = f"after attempt {len(self._attempts)}: {reaction}"
        now = self._delivery.clock.monotonic()
        if self._plan is None:  # most calls need none
            self._plan = self._new_plan()
        return self._plan.after(reaction, self._asked_to_wait(exchange), now)

    def _new_plan(self) -> RetryPlan:
        delivery, assignment = self._delivery, self._assignment
        started = self._started if self._first_at is None else self._first_at
        return RetryPlan(
            assignment.policy, delivery.budget, delivery.random, started, assignment.deadline
        )

    def _asked_to_wait(self, exchange: Exchange) -> float | None:
        head = exchange.head
        if head is None:
            return None
        return seconds_to_wait(head.retry_after, head.date, self._delivery.clock.time())

    async def _sleep(self, seconds: float) -> None:
        self._slept += seconds
        self._delivery.audience.waiting(self._assignment.key, seconds, self._slept_for)
        await self._delivery.clock.sleep(seconds)

    def _doubts(self) -> int:
        unknown = [attempt for attempt in self._attempts if attempt.outcome is _UNKNOWN]
        return self._assignment.doubts + len(unknown)

    def record(self, *, cancelled: bool = False) -> Call:
        outcomes = [attempt.outcome for attempt in self._attempts]
        return Call(
            idempotency_key=self._assignment.key,
            attempts=tuple(self._attempts),
            outcome=sum_up(outcomes, self._assignment.doubts),
            possible_duplicates=self._doubts(),
            cancelled=cancelled,
            store_error="; ".join(dict.fromkeys(self._trouble)),
            elapsed=self._delivery.clock.monotonic() - self._started,
        )


_unfinished: Final[set[asyncio.Future[None]]] = set()


async def bounded(work: Awaitable[None], seconds: float = 2.0) -> None:
    """Finish a piece of bookkeeping although the task is being cancelled, but not for ever.

    What isn't finished by then, or when the task is cancelled again, goes on by itself.
    """
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_finish)
    await asyncio.wait({task}, timeout=seconds)


def _finish(task: "asyncio.Future[None]") -> None:
    _unfinished.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("bookkeeping of a cancelled call failed: %s", type(error).__name__)


def describe(
    exchange: Exchange, began: datetime, waited: float, slept: float, slept_for: str
) -> Attempt:
    """The record of one exchange."""
    trail, head = exchange.trail, exchange.head
    gate, connect, send, wait, read = trail.steps()
    return Attempt(
        outcome=exchange.outcome,
        status=head.status if head else None,
        reason=exchange.reason,
        started=began,
        duration=exchange.ended - trail.began,
        window=waited,
        gate=gate,
        connect=connect,
        send=send,
        wait=wait,
        read=read,
        reused=None if trail.handed is None else not trail.fresh,
        slept=slept,
        slept_for=slept_for,
        request_id=head.request_id if head else None,
    )
