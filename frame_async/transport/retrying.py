"""The loop of attempts; the only module that knows tenacity.

It is entered only after a first attempt failed: a call that succeeds at once pays
nothing for it, and a process whose calls all do doesn't even load it.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from frame_async.protocol.retry import STOP, Step

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")


class _Plan(Generic[T]):
    """What tenacity asks, answered by one decision per attempt."""

    def __init__(self, first: T, again: Callable[[], Awaitable[T]], decide: Callable[[T], Step]):
        self._first: T | None = first
        self._again = again
        self._decide = decide
        self.step = STOP

    async def attempt(self) -> T:
        first, self._first = self._first, None
        return await self._again() if first is None else first

    def wants_another(self, result: T) -> bool:
        self.step = self._decide(result)
        return self.step.delay is not None

    def wait(self, _: "RetryCallState") -> float:
        return self.step.delay or 0.0


async def persist(
    first: T,
    again: Callable[[], Awaitable[T]],
    decide: Callable[[T], Step],
    sleep: Callable[[float], Awaitable[None]],
) -> tuple[T, Step]:
    """Repeat `again` as long as `decide` says so; the last result, and why it was the last.

    `decide` sees each result once, `first` included. Whatever `again` or `sleep` raise,
    cancellation above all, passes through at once and is never retried.
    """
    import tenacity as _t  # noqa: PLC0415  # needed after a failure only

    plan = _Plan(first, again, decide)
    retrying = _t.AsyncRetrying(
        sleep=sleep,
        retry=_t.retry_if_result(plan.wants_another),
        wait=plan.wait,
        stop=_t.stop_never,
    )
    return await retrying(plan.attempt), plan.step
