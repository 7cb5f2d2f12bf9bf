"""The loop of attempts: one call on the wire, until there is an answer or no sense in another.

The only importer of tenacity, whose loop is entered when a first attempt has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import tenacity as _t
from attrs import frozen

from frame_async.calls import Outcome
from frame_async.engine.exchange import Course, Ended, Exchange
from frame_async.engine.http import Http
from frame_async.engine.limiter import Limiter, Slot
from frame_async.engine.naps import ClosingError, DismissedError, NoSlotError
from frame_async.engine.observing import Observers
from frame_async.engine.operation import Operation
from frame_async.errors import StoreError
from frame_async.observers import logger
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.retry import STOP, Reaction, RetryBudget, RetryPlan, Step
from frame_async.protocol.retry_after import seconds_to_wait

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


@frozen(kw_only=True, eq=False, repr=False)
class Attempts:
    """What all calls of a client share on their way to the wire."""

    http: Http
    clock: Clock
    random: Callable[[], float]
    budget: RetryBudget
    limiter: Limiter
    observers: Observers
    timeout: float
    """Seconds for one attempt, at most."""
    proceed: bool = False
    """Whether to send without a slot when the store can't answer, and admit it."""

    async def run(
        self, operation: Operation[Any, Any], course: Course, key: HeldKey | None
    ) -> Ended:
        """Send until the policy is content; how the call ended.

        `key` is the idempotency key, if it is its caller's own.
        """
        exchange = await self._attempt(operation, course, key)
        if exchange.outcome is not Outcome.CREATED:
            again = partial(self._attempt, operation, course, key)
            exchange = await _Retries(self, course, exchange, again).run()
        elif self.budget.tokens < self.budget.capacity:
            self.budget.give_back()
        return Ended(course.record(self.clock.monotonic()), exchange, course.stopped)

    async def _attempt(
        self, operation: Operation[Any, Any], course: Course, key: HeldKey | None
    ) -> Exchange:
        """Take a slot of the window, see that the claim of the key still stands, and send."""
        began, options, hold = self.clock.monotonic(), course.options, self.timeout + HOLD_MARGIN
        token = f"{course.token}.{len(course.attempts)}"
        slot = Slot(
            self.limiter, token, options.lane, hold, course.deadline, options.run, options.timeout
        )
        try:
            async with slot:
                if not slot.acquired:
                    if key is not None:
                        await key.pause(course.possible_duplicates)
                    await slot.wait()
                if key is not None and not await key.confirm(course.possible_duplicates + 1):
                    return self._unsent(Ending.TAKEN_OVER)
                return await self._exchange(operation, course, slot, began)
        except DismissedError:
            return self._unsent(Ending.DISMISSED)
        except ClosingError:
            return self._unsent(Ending.SESSION_CLOSED)
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
        self, operation: Operation[Any, Any], course: Course, slot: Slot | None, began: float
    ) -> Exchange:
        """One exchange, noted in the course of its call, and its slot settled."""
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        exchange = Exchange(self.clock.monotonic, self.clock.monotonic())
        if self.observers.observers:
            number, elapsed = len(course.attempts) + 1, exchange.began - course.started
            exchange.trace = self.observers.attempt_started(course.key, number, at, elapsed)
        if course.first_at is None:
            course.first_at = exchange.began
        timeout = min(self.timeout, max(0.0, course.deadline - exchange.began))
        try:
            await self.http.send(operation, course, timeout, exchange)
        except asyncio.CancelledError:
            exchange.end(Ending.CANCELLED)
            raise
        finally:
            self._note(course, slot, exchange, at, exchange.began - began)
        return exchange

    def _note(
        self, course: Course, slot: Slot | None, exchange: Exchange, at: datetime, waited: float
    ) -> None:
        course.last = exchange
        course.extra_sends += max(0, exchange.times_handed - 1)
        attempt = exchange.describe(at, waited, course.slept, course.slept_for)
        course.slept, course.slept_for = 0.0, ""
        course.attempts.append(attempt)
        course.outcomes.append(exchange.outcome)
        self.observers.attempt_ended(course.key, len(course.attempts), attempt)
        if slot is not None:
            slot.sent = True
            if exchange.outcome is not Outcome.CREATED:
                self._settle(slot, course, exchange)

    def _settle(self, slot: Slot, course: Course, exchange: Exchange) -> None:
        """How the slot of a request that created nothing is to be released."""
        policy = course.options.policy
        if exchange.outcome is Outcome.UNKNOWN and exchange.status is None:
            slot.sent = None
        elif exchange.outcome is Outcome.NOT_SENT:
            slot.sent = False
        elif policy.react(exchange.outcome, exchange.evidence) is Reaction.THROTTLED:
            slot.pause = max(self.asked_to_wait(exchange) or 0.0, policy.backoff)

    def asked_to_wait(self, exchange: Exchange) -> float | None:
        """Seconds that the server asked to wait."""
        return seconds_to_wait(exchange.retry_after, exchange.date, self.clock.time())

    def _unsent(self, ending: Ending, detail: str = "", fits_in: float | None = None) -> Exchange:
        """An exchange that never began."""
        exchange = Exchange(self.clock.monotonic, self.clock.monotonic(), fits_in=fits_in)
        return exchange.end(ending, detail)


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
        self._policy = course.options.policy
        self._first: Exchange | None = first
        self._last = first
        self._again = again
        self._step = STOP
        self._reaction = Reaction.FINAL
        started = course.started if course.first_at is None else course.first_at
        self._plan = RetryPlan(
            course.options.policy, shared.budget, shared.random, started, course.deadline
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
        if first is not None or self._shared.limiter.naps.ended:
            return first or self._last
        return await self._again()

    def _wants_another(self, exchange: Exchange) -> bool:
        self._last = exchange
        self._reaction = self._policy.react(exchange.outcome, exchange.evidence)
        if self._reaction is Reaction.FINAL:
            return False
        if self._shared.limiter.naps.ended:
            self._course.stopped = "gave up because the client was closed"
            return False
        return True

    def _wait(self, state: _t.RetryCallState) -> float:
        course, shared = self._course, self._shared
        asked = shared.asked_to_wait(self._last)
        own = None if self._policy.wait is None else self._policy.wait(state)
        self._step = self._plan.after(self._reaction, asked, shared.clock.monotonic(), own)
        course.slept_for = f"after attempt {len(course.attempts)}: {self._reaction}"
        return self._step.delay or 0.0

    def _stop(self, state: _t.RetryCallState) -> bool:
        course, step, stop = self._course, self._step, self._policy.stop
        if step.delay is not None and stop is not None and stop(state):
            step = Step(None, "gave up because the retry policy's stop says so")
        course.stopped = step.why
        return step.delay is None

    async def _sleep(self, seconds: float) -> None:
        course = self._course
        course.slept += seconds
        self._shared.observers.waiting(course.key, seconds, course.slept_for)
        await self._shared.limiter.naps.sleep(seconds)
