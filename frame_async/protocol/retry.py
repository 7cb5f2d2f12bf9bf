"""When to try again, how long to wait before, and when to stop.

The reactions, row by row (first match counts):

============  =========================  =========
outcome       and                        reaction
============  =========================  =========
CREATED                                  FINAL
any           certificate not trusted,   FINAL
              client closed, no slot in
              the window, run stopped,
              store failed, answer that
              is not HTTP
NOT_SENT                                 SOON
REFUSED       429                        THROTTLED
REFUSED       otherwise                  FINAL
UNKNOWN       an unforeseen failure      FINAL
UNKNOWN       on_unknown="retry"         BACKOFF
UNKNOWN       on_unknown="raise"         FINAL
============  =========================  =========

THROTTLED and BACKOFF follow the schedule that Frame recommends (Frame rate limits
page): first after 1 s + U(0, 0.5), doubled each time, at most 6 retries or 30 s.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Literal

from attrs import define, field, frozen

from frame_async.calls import Outcome
from frame_async.errors import ConfigurationError, Problem, ValidationError
from frame_async.protocol.outcomes import TOO_MANY_REQUESTS, Ending, Evidence

OnUnknown = Literal["retry", "raise"]


class Reaction(StrEnum):
    """What an attempt's outcome calls for."""

    FINAL = "final"
    SOON = "soon"
    THROTTLED = "throttled"
    BACKOFF = "backoff"


@frozen(kw_only=True)
class RetryPolicy:
    """How a call tries again; immutable, all times in seconds.

    Raises:
        ConfigurationError: a value is out of bounds.
    """

    max_retries: int = 6
    """Attempts after the first, at most (Frame rate limits page)."""
    max_elapsed: float = 30.0
    """No attempt starts later than this after the first (Frame rate limits page)."""
    backoff: float = 1.0
    """Wait before the first retry after a 429 or an unknown outcome; doubled each time."""
    jitter: float = 0.5
    """A random time up to this is added to each such wait."""
    not_sent_backoff: float = 0.2
    """First upper bound of the random wait after an attempt that was not sent; doubled."""
    on_unknown: OnUnknown = "retry"
    """After an unknown outcome: ``"retry"`` tries again and admits the possible duplicate,
    ``"raise"`` gives `OutcomeUnknownError` at once."""
    stop: Callable[[Any], bool] | None = None
    """One of tenacity's ``stop`` objects, such as ``stop_after_attempt(3)``, in place of
    ``max_retries`` and ``max_elapsed``. The call's deadline, a 2xx and a refusal go first."""
    wait: Callable[[Any], float] | None = None
    """One of tenacity's ``wait`` objects, such as ``wait_exponential(max=10)``, in place of
    the schedule. What the server asks for, by ``Retry-After``, only lengthens it."""

    def __attrs_post_init__(self) -> None:
        for name in ("max_retries", "max_elapsed", "backoff", "jitter", "not_sent_backoff"):
            _check_number(name, getattr(self, name))
        if self.on_unknown not in ("retry", "raise"):
            raise ConfigurationError('RetryPolicy.on_unknown must be "retry" or "raise"')
        for name in ("stop", "wait"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise ConfigurationError(
                    f"RetryPolicy.{name} must be one of tenacity's {name} objects, or None"
                )

    def react(self, outcome: Outcome, evidence: Evidence) -> Reaction:
        """What an attempt's outcome calls for; the table at the top of this module."""
        match outcome:
            case _ if evidence.ending in _HOPELESS:
                return Reaction.FINAL
            case Outcome.NOT_SENT:
                return Reaction.SOON
            case Outcome.REFUSED if evidence.status == TOO_MANY_REQUESTS:
                return Reaction.THROTTLED
            case Outcome.UNKNOWN if evidence.ending is Ending.FAILED:
                return Reaction.FINAL  # code of the user's own, which would fail so again
            case Outcome.UNKNOWN if self.on_unknown == "retry":
                return Reaction.BACKOFF
            case _:
                return Reaction.FINAL

    def delay(self, reaction: Reaction, nth: int, random: Callable[[], float]) -> float:
        """Seconds before the `nth` retry (from 0) for that reaction; `random` gives [0, 1)."""
        doubled = float(1 << min(nth, _MOST_DOUBLINGS))
        if reaction is Reaction.SOON:
            return self.not_sent_backoff * doubled * random()
        return self.backoff * doubled + self.jitter * random()


# About 34 years from 1 s; without an end, a float could not hold the 1024th.
_MOST_DOUBLINGS: Final = 30
_HOPELESS: Final = (
    Ending.PROXY_REFUSED,
    Ending.BAD_CERTIFICATE,
    Ending.SESSION_CLOSED,
    Ending.NO_PLACE,
    Ending.DISMISSED,
    Ending.STORE_FAILED,
    Ending.TAKEN_OVER,
    Ending.GARBLED,  # something answered, and would answer so again
)


def _check_number(name: str, value: object) -> None:
    whole = name == "max_retries"
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not 0 <= value < 1e9:  # type: ignore[operator]  # a number by now; NaN fails too
        kind = "an integer" if whole else "a number of seconds"
        raise ConfigurationError(f"RetryPolicy.{name} must be {kind}, 0 or more")


class RetryBudget:
    """A token bucket that stops a storm of retries when a server is down for everyone.

    One per client. A retry takes `cost` tokens (`throttled_cost` after a 429), a call
    that succeeded at once gives one back.
    """

    def __init__(self, capacity: int = 500, cost: int = 14, throttled_cost: int = 5) -> None:
        self.capacity = self.tokens = capacity
        self.cost = cost
        self.throttled_cost = throttled_cost

    def take(self, reaction: Reaction) -> bool:
        """Pay for one retry; False when the bucket has too little."""
        price = self.throttled_cost if reaction is Reaction.THROTTLED else self.cost
        if price > self.tokens:
            return False
        self.tokens -= price
        return True

    def give_back(self) -> None:
        """A call succeeded at its first attempt."""
        self.tokens = min(self.capacity, self.tokens + 1)


@frozen
class Step:
    """What to do after an attempt: sleep that long and try again, or stop."""

    delay: float | None
    """Seconds to sleep before the next attempt; None to stop."""
    why: str = ""
    """Why there is no further attempt, when there could have been one."""


STOP: Final = Step(None)


@define
class RetryPlan:
    """The retries of one call: how many of each kind it had, and what comes next."""

    policy: RetryPolicy
    budget: RetryBudget
    random: Callable[[], float]
    started: float
    """Monotonic time at which the first attempt began."""
    deadline: float
    """Monotonic time at which the call must be over."""
    _taken: dict[Reaction, int] = field(init=False, factory=dict[Reaction, int])

    def after(
        self, reaction: Reaction, retry_after: float | None, now: float, own: float | None = None
    ) -> Step:
        """The step after an attempt; `retry_after` seconds only ever lengthen a wait.

        `own` is the wait that the policy's ``wait`` gives in place of ours.
        """
        if reaction is Reaction.FINAL:
            return STOP
        counted = self.policy.stop is None
        if counted and sum(self._taken.values()) >= self.policy.max_retries:
            return Step(None, f"gave up after {self.policy.max_retries} retries")
        nth = self._taken.get(self._schedule(reaction), 0)
        delay = self.policy.delay(reaction, nth, self.random) if own is None else own
        delay = max(delay, retry_after or 0.0)
        refusal = self._refusal(delay, now)
        if refusal:
            return Step(None, refusal)
        if not self.budget.take(reaction):
            return Step(None, "gave up because too many calls of this client are failing")
        self._taken[self._schedule(reaction)] = nth + 1
        return Step(delay)

    def _refusal(self, delay: float, now: float) -> str:
        """Why a wait can't fit, if it can't: better now than after having waited."""
        latest = self.started + self.policy.max_elapsed
        if now + delay >= self.deadline:  # an attempt that begins at the deadline has no time
            end, what = self.deadline, "deadline of the call"
        elif self.policy.stop is None and now + delay > latest:
            end, what = latest, "retry policy's max_elapsed"
        else:
            return ""
        left = max(0.0, end - now)
        return f"gave up because {delay:.1f} s to wait don't fit in the {left:.1f} s left ({what})"

    @staticmethod
    def _schedule(reaction: Reaction) -> Reaction:
        # 429 and unknown outcomes share one schedule: both say that the server has trouble.
        return Reaction.BACKOFF if reaction is Reaction.THROTTLED else reaction


def check_retry(retry: object) -> RetryPolicy:
    """A retry policy, or a clear refusal."""
    if isinstance(retry, RetryPolicy):
        return retry
    problem = Problem("retry", "must be a RetryPolicy", "pass RetryPolicy(max_retries=...)")
    raise ValidationError("invalid call", [problem])
