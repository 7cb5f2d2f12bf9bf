"""The loop of attempts: one call on the wire, until there is an answer or no sense in another.

The only importer of tenacity, whose loop is entered when a first attempt has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import tenacity as _t
from attrs import define, evolve, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.engine.exchange import Exchange, Trail
from frame_async.engine.http import Http
from frame_async.engine.limiter import RateLimiter, Unlimited
from frame_async.engine.observing import Observers
from frame_async.engine.operation import Operation
from frame_async.engine.slots import DismissedError, NoSlotError, Slot
from frame_async.errors import StoreError
from frame_async.observers import logger
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

HOLD_MARGIN: Final = 1.0
"""Seconds that a slot of the window is held beyond the longest attempt, if never released."""


class HeldKey(Protocol):
    """The idempotency key of a call, as far as its attempts must know."""

    async def pause(self, at_most: int) -> None:
        """The call begins to wait: only that many attempts may have created something."""
        ...

    async def confirm(self, at_most: int) -> bool:
        """A request is about to leave, after which `at_most` may have; False if it was lost."""
        ...


@frozen(eq=False, repr=False)
class Ended:
    """How a call ended: its record, and the answer as far as it came."""

    call: Call
    exchange: Exchange
    """The last one."""
    stopped: str = ""
    """Why there was no further attempt, when there could have been one."""

    def admitting(self, store_error: str) -> "Ended":
        """The same end, with what the store couldn't do in its record."""
        listed = dict.fromkeys(filter(None, (store_error, self.call.store_error)))
        return evolve(self, call=evolve(self.call, store_error="; ".join(listed)))


@define(kw_only=True, eq=False, repr=False)
class Course:
    """One call in the making: what it is to send, and what its attempts proved so far."""

    body: Secret[bytes]
    key: str
    policy: RetryPolicy
    lane: Lane
    run: object
    started: float
    """Monotonic seconds, as all times here."""
    deadline: float
    token: str
    """What its slots in the window are known by: unique, and no secret."""
    doubts: int = 0
    """Possible duplicates of earlier calls with the same key."""
    attempts: list[Attempt] = field(factory=list[Attempt])
    outcomes: list[Outcome] = field(factory=list[Outcome])
    """Of each attempt."""
    last: Exchange | None = None
    first_at: float | None = None
    """When the first exchange began: waiting for the window is not what the policy limits."""
    extra_sends: int = 0
    """How often one exchange sent more than once, as a middleware of one's own may."""
    slept: float = 0.0
    slept_for: str = ""
    stopped: str = ""
    """Why there was no further attempt, when there could have been one."""
    store_errors: list[str] = field(factory=list[str])
    """What the store couldn't do, in the order in which that was heard."""

    @property
    def possible_duplicates(self) -> int:
        """How many requests may have created something that nobody has."""
        return self.doubts + self.extra_sends + self.outcomes.count(Outcome.UNKNOWN)

    def end(self, exchange: Exchange, now: float) -> Ended:
        """It is over, now, with this exchange."""
        return Ended(self.record(now), exchange, self.stopped)

    def record(self, now: float, *, cancelled: bool = False) -> Call:
        """The record of the call, as far as it came."""
        return Call(
            idempotency_key=self.key,
            attempts=tuple(self.attempts),
            outcome=sum_up(self.outcomes, self.doubts + self.extra_sends),
            possible_duplicates=self.possible_duplicates,
            cancelled=cancelled,
            store_error="; ".join(dict.fromkeys(self.store_errors)),
            elapsed=now - self.started,
        )


@frozen(kw_only=True, eq=False, repr=False)
class Attempts:
    """What all calls of a client share on their way to the wire."""

    http: Http
    clock: Clock
    random: Callable[[], float]
    budget: RetryBudget
    limiter: RateLimiter | Unlimited
    observers: Observers
    timeout: float
    """Seconds for one attempt, at most."""
    proceed: bool = False
    """Whether to send without a slot when the store can't answer, and admit it."""

    async def run(self, operation: Operation[Any, Any], course: Course, key: HeldKey) -> Exchange:
        """Send until the policy is content; the last exchange."""
        again = partial(self._attempt, operation, course, key)
        first = await again()
        if first.outcome is Outcome.CREATED:
            self.budget.give_back()
            return first
        return await _Retries(self, course, first, again).run()

    async def _attempt(
        self, operation: Operation[Any, Any], course: Course, key: HeldKey
    ) -> Exchange:
        """Take a slot of the window, see that the claim of the key still stands, and send."""
        began, hold = self.clock.monotonic(), self.timeout + HOLD_MARGIN
        token = f"{course.token}.{len(course.attempts)}"
        slot = self.limiter.slot(token, course.lane, hold, course.deadline, course.run)
        try:
            async with slot:
                if not slot.acquired:
                    await key.pause(course.possible_duplicates)
                    await slot.wait()
                if not await key.confirm(course.possible_duplicates + 1):
                    return self._unsent(Ending.TAKEN_OVER)
                return await self._exchange(operation, course, slot, began)
        except DismissedError:
            return self._unsent(Ending.DISMISSED)
        except NoSlotError as no:
            detail = f"there would be one in {no.fits_in:.1f} s"
            return self._unsent(Ending.NO_PLACE, detail, no.fits_in)
        except StoreError as error:
            if not self.proceed:
                return self._unsent(Ending.STORE_FAILED, error.message)
            course.store_errors.append(error.message)
            logger.warning("%s: sent without a slot of the rate window: %s", course.key, error)
        return await self._exchange(operation, course, None, began)

    async def _exchange(
        self,
        operation: Operation[Any, Any],
        course: Course,
        slot: Slot | None,
        began: float,
    ) -> Exchange:
        """One exchange, noted in the course of its call, and its slot settled."""
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        trail = Trail(self.clock.monotonic, self.clock.monotonic())
        if course.first_at is None:
            course.first_at = trail.began
        left = max(0.0, course.deadline - trail.began)
        timeout = min(self.timeout, left)
        try:
            exchange = await self.http.send(
                operation.method, operation.path, course.body, course.key, timeout, trail
            )
        except asyncio.CancelledError:
            self._note(course, slot, trail.end(Ending.CANCELLED), at, trail.began - began)
            raise
        self._note(course, slot, exchange, at, trail.began - began)
        return exchange

    def _note(
        self, course: Course, slot: Slot | None, exchange: Exchange, at: datetime, waited: float
    ) -> None:
        course.last = exchange
        course.extra_sends += max(0, exchange.trail.times_handed - 1)
        attempt = exchange.describe(at, waited, course.slept, course.slept_for)
        course.slept, course.slept_for = 0.0, ""
        course.attempts.append(attempt)
        course.outcomes.append(exchange.outcome)
        self.observers.attempt_ended(course.key, len(course.attempts), attempt)
        if slot is not None and exchange.outcome is Outcome.CREATED:
            slot.answer()
        elif slot is not None:
            self._settle(slot, course, exchange)

    def _settle(self, slot: Slot, course: Course, exchange: Exchange) -> None:
        """How the slot of a request that created nothing is to be released."""
        if exchange.outcome is Outcome.UNKNOWN and exchange.head is None:
            slot.keep()
        elif course.policy.react(exchange.outcome, exchange.evidence) is Reaction.THROTTLED:
            slot.refuse(max(self.asked_to_wait(exchange) or 0.0, course.policy.backoff))
        elif exchange.outcome is not Outcome.NOT_SENT:
            slot.answer()

    def asked_to_wait(self, exchange: Exchange) -> float | None:
        """Seconds that the server asked to wait."""
        head = exchange.head
        if head is None:
            return None
        return seconds_to_wait(head.retry_after, head.date, self.clock.time())

    def _unsent(self, ending: Ending, detail: str = "", fits_in: float | None = None) -> Exchange:
        """An exchange that never began."""
        return Trail(self.clock.monotonic, self.clock.monotonic()).end(
            ending, detail, fits_in=fits_in
        )


class _Retries:
    """What tenacity asks about one call, answered by its policy."""

    def __init__(
        self,
        shared: Attempts,
        course: Course,
        first: Exchange,
        again: Callable[[], Awaitable[Exchange]],
    ) -> None:
        self._shared = shared
        self._course = course
        self._first: Exchange | None = first
        self._last = first
        self._again = again
        self._step = STOP
        self._reaction = Reaction.FINAL
        started = course.started if course.first_at is None else course.first_at
        self._plan = RetryPlan(
            course.policy, shared.budget, shared.random, started, course.deadline
        )

    async def run(self) -> Exchange:
        """Repeat until there is no sense in another attempt; the last exchange.

        Only results are looked at: whatever an attempt raises, cancellation above all,
        passes through at once.
        """
        retrying = _t.AsyncRetrying(
            sleep=self._sleep,
            retry=_t.retry_if_result(self._wants_another),
            wait=self._wait,
            stop=self._stop,
            retry_error_callback=lambda _: None,
        )
        await retrying(self._attempt)
        return self._last

    async def _attempt(self) -> Exchange:
        first, self._first = self._first, None
        return await self._again() if first is None else first

    def _wants_another(self, exchange: Exchange) -> bool:
        self._last = exchange
        self._reaction = self._course.policy.react(exchange.outcome, exchange.evidence)
        return self._reaction is not Reaction.FINAL

    def _wait(self, state: _t.RetryCallState) -> float:
        course, shared = self._course, self._shared
        asked = shared.asked_to_wait(self._last)
        own = None if course.policy.wait is None else course.policy.wait(state)
        self._step = self._plan.after(self._reaction, asked, shared.clock.monotonic(), own)
        course.slept_for = f"after attempt {len(course.attempts)}: {self._reaction}"
        return self._step.delay or 0.0

    def _stop(self, state: _t.RetryCallState) -> bool:
        course, step = self._course, self._step
        if step.delay is not None and course.policy.stop is not None and course.policy.stop(state):
            step = Step(None, "gave up because the retry policy's stop says so")
        course.stopped = step.why
        return step.delay is None

    async def _sleep(self, seconds: float) -> None:
        course = self._course
        course.slept += seconds
        self._shared.observers.waiting(course.key, seconds, course.slept_for)
        await self._shared.clock.sleep(seconds)
