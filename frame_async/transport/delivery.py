"""One call on the wire: attempts, until there is an answer or no sense in another."""

from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.hidden import Hidden
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import judge
from frame_async.protocol.retry import (
    STOP,
    RetryBudget,
    RetryPlan,
    RetryPolicy,
    Step,
)
from frame_async.protocol.retry_after import seconds_to_wait
from frame_async.transport.exchange import Exchange
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
    attempt_timeout: float
    """Seconds for one attempt, at most."""

    async def deliver(
        self, body: Hidden[bytes], key: str, policy: RetryPolicy, timeout: float
    ) -> Delivered:
        """Send until the policy is content; `timeout` seconds are the total for everything.

        Raises:
            ClientClosedError: the client was closed before.
        """
        started = self.clock.monotonic()
        plan = RetryPlan(policy, self.budget, self.random, started, started + timeout)
        course = _Course(self, body, {"Idempotency-Key": key}, plan)
        last, step = await course.run()
        return Delivered(last, course.record(key), step.why)


@define
class _Course:
    """One call in the making."""

    _delivery: Delivery
    _body: Hidden[bytes]
    _headers: dict[str, str]
    _plan: RetryPlan
    _attempts: list[Attempt] = field(factory=list[Attempt])
    _slept: float = 0.0

    async def run(self) -> tuple[Exchange, Step]:
        first = await self._attempt()
        if self._attempts[0].outcome is Outcome.CREATED:
            self._delivery.budget.give_back()
            return first, STOP
        return await persist(first, self._attempt, self._decide, self._sleep)

    async def _attempt(self) -> Exchange:
        delivery = self._delivery
        began = datetime.fromtimestamp(delivery.clock.time(), UTC)
        left = self._plan.deadline - delivery.clock.monotonic()
        timeout = max(0.0, min(delivery.attempt_timeout, left))
        exchange = await delivery.session.post(self._body, self._headers, timeout)
        self._attempts.append(describe(exchange, began, self._slept))
        return exchange

    def _decide(self, exchange: Exchange) -> Step:
        clock = self._delivery.clock
        reaction = self._plan.policy.react(judge(exchange.evidence), exchange.evidence)
        return self._plan.after(reaction, _asked_to_wait(exchange, clock.time()), clock.monotonic())

    async def _sleep(self, seconds: float) -> None:
        self._slept = seconds
        await self._delivery.clock.sleep(seconds)

    def record(self, key: str) -> Call:
        unknown = sum(attempt.outcome is Outcome.UNKNOWN for attempt in self._attempts)
        last = self._attempts[-1].outcome
        return Call(
            idempotency_key=key,
            attempts=tuple(self._attempts),
            outcome=last if last is Outcome.CREATED or not unknown else Outcome.UNKNOWN,
            possible_duplicates=unknown,
            elapsed=self._delivery.clock.monotonic() - self._plan.started,
        )


def _asked_to_wait(exchange: Exchange, now: float) -> float | None:
    head = exchange.head
    return seconds_to_wait(head.retry_after, head.date, now) if head else None


def describe(exchange: Exchange, began: datetime, slept: float) -> Attempt:
    """The record of one exchange."""
    trail, head = exchange.trail, exchange.head
    return Attempt(
        outcome=judge(exchange.evidence),
        status=head.status if head else None,
        reason=str(exchange.ending),
        started=began,
        duration=exchange.ended - trail.began,
        gate=_between(trail.began, trail.admitted),
        connect=_between(trail.admitted, trail.handed),
        send=_between(trail.handed, trail.sent),
        wait=_between(trail.sent, trail.answered),
        read=_between(trail.answered, trail.read),
        reused=None if trail.handed is None else not trail.fresh,
        slept=slept,
        request_id=head.request_id if head else None,
    )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
