"""One call on the wire: attempts, until there is an answer or no sense in another."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.hidden import Hidden
from frame_async.observers import Audience
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import Ending, judge, sum_up
from frame_async.protocol.pause import Pause
from frame_async.protocol.retry import (
    STOP,
    Reaction,
    RetryBudget,
    RetryPlan,
    RetryPolicy,
    Step,
)
from frame_async.protocol.retry_after import seconds_to_wait
from frame_async.transport.exchange import Exchange, Trail
from frame_async.transport.retrying import persist
from frame_async.transport.session import HttpSession


@frozen
class Delivered:
    """How a call ended on the wire: its last exchange, its record, why it stopped."""

    exchange: Exchange
    call: Call
    stopped: str
    """Why there was no further attempt, when there could have been one."""


@frozen
class Delivery:
    """What all calls of a client share on their way to the wire."""

    session: HttpSession
    clock: Clock
    random: Callable[[], float]
    budget: RetryBudget
    pause: Pause
    audience: Audience
    attempt_timeout: float
    """Seconds for one attempt, at most."""

    async def deliver(
        self, body: Hidden[bytes], key: str, policy: RetryPolicy, timeout: float
    ) -> Delivered:
        """Send until the policy is content; `timeout` seconds are the total for everything.

        Raises:
            ClientClosedError: the client was closed before.
            EventLoopError: the client is open on another event loop.
        """
        self.session.open()
        started = self.clock.monotonic()
        plan = RetryPlan(policy, self.budget, self.random, started, started + timeout)
        course = _Course(self, body, key, plan)
        try:
            last, step = await course.run()
        except asyncio.CancelledError:
            self.audience.call_ended(course.record(cancelled=True))
            raise
        call = course.record()
        self.audience.call_ended(call)
        return Delivered(last, call, step.why)


@define
class _Course:
    """One call in the making."""

    _delivery: Delivery
    _body: Hidden[bytes]
    _key: str
    _plan: RetryPlan
    _attempts: list[Attempt] = field(factory=list[Attempt])
    _slept: float = 0.0
    _slept_for: str = ""

    async def run(self) -> tuple[Exchange, Step]:
        first = await self._attempt()
        if judge(first.evidence) is Outcome.CREATED:
            self._delivery.budget.give_back()
            return first, STOP
        return await persist(first, self._attempt, self._decide, self._sleep)

    async def _attempt(self) -> Exchange:
        delivery = self._delivery
        if not await self._sit_out_the_pause():
            return Trail(delivery.clock.monotonic).end(Ending.HELD_BACK)
        began = datetime.fromtimestamp(delivery.clock.time(), UTC)
        trail = Trail(delivery.clock.monotonic)
        left = max(0.0, self._plan.deadline - trail.began)
        try:
            exchange = await delivery.session.post(
                self._body,
                {"Idempotency-Key": self._key},
                min(delivery.attempt_timeout, left),
                trail,
            )
        except asyncio.CancelledError:
            self._note(trail.end(Ending.CANCELLED), began)
            raise
        self._note(exchange, began)
        return exchange

    async def _sit_out_the_pause(self) -> bool:
        """Wait while a 429 to another call holds back the key; False if that can't fit."""
        delivery, policy = self._delivery, self._plan.policy
        now = delivery.clock.monotonic()
        left = delivery.pause.left(now, policy.jitter, delivery.random)
        if now + left > self._plan.deadline:
            return False
        if left > 0:
            await self._sleep(left, str(Ending.HELD_BACK))
        return True

    def _note(self, exchange: Exchange, began: datetime) -> None:
        attempt = describe(exchange, began, self._slept, self._slept_for)
        self._slept, self._slept_for = 0.0, ""
        self._attempts.append(attempt)
        self._delivery.audience.attempt_ended(self._key, len(self._attempts), attempt)

    def _decide(self, exchange: Exchange) -> Step:
        clock, policy = self._delivery.clock, self._plan.policy
        reaction = policy.react(judge(exchange.evidence), exchange.evidence)
        asked, now = _asked_to_wait(exchange, clock.time()), clock.monotonic()
        if reaction is Reaction.THROTTLED:
            self._delivery.pause.extend(now + max(asked or 0.0, policy.backoff))
        step = self._plan.after(reaction, asked, now)
        self._slept_for = f"after attempt {len(self._attempts)}: {reaction}"
        return step

    async def _sleep(self, seconds: float, why: str = "") -> None:
        self._slept += seconds
        self._slept_for = why or self._slept_for
        self._delivery.audience.waiting(self._key, seconds, self._slept_for)
        await self._delivery.clock.sleep(seconds)

    def record(self, *, cancelled: bool = False) -> Call:
        outcomes = [attempt.outcome for attempt in self._attempts]
        return Call(
            idempotency_key=self._key,
            attempts=tuple(self._attempts),
            outcome=sum_up(outcomes),
            possible_duplicates=outcomes.count(Outcome.UNKNOWN),
            cancelled=cancelled,
            elapsed=self._delivery.clock.monotonic() - self._plan.started,
        )


def _asked_to_wait(exchange: Exchange, now: float) -> float | None:
    head = exchange.head
    return seconds_to_wait(head.retry_after, head.date, now) if head else None


def describe(exchange: Exchange, began: datetime, slept: float, slept_for: str) -> Attempt:
    """The record of one exchange."""
    trail, head = exchange.trail, exchange.head
    return Attempt(
        outcome=judge(exchange.evidence),
        status=head.status if head else None,
        reason=exchange.reason,
        started=began,
        duration=exchange.ended - trail.began,
        gate=_between(trail.began, trail.admitted),
        connect=_between(trail.admitted, trail.handed),
        send=_between(trail.handed, trail.sent),
        wait=_between(trail.sent, trail.answered),
        read=_between(trail.answered, trail.read),
        reused=None if trail.handed is None else not trail.fresh,
        slept=slept,
        slept_for=slept_for,
        request_id=head.request_id if head else None,
    )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
