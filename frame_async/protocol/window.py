"""The rolling rate window, from the client's side: when may the next request leave?

Frame counts requests over the last 60 seconds, where they arrive (Frame rate limits
page). A client knows only when a request left and when its answer came; it arrived
somewhere in between. So a slot is taken before a request leaves and is freed one period
after its answer came: whatever the network does, the server never sees more than the
limit in any period. Counting from the departure instead lets jitter squeeze one more
request into the server's window.

Time is a parameter everywhere, in seconds on a clock that never goes back.
"""

from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from frame_async.errors import ConfigurationError

BULK_RESERVE: Final = 0.1
"""Share of the window that the bulk lane leaves free, at least one slot."""

ASKERS: Final = 5
"""How many workers a store of many hosts tells to ask for the same place: those that don't
come, because they were stopped for instance, then cost nothing."""

PROBE_WAIT: Final = 0.1
"""Seconds after which to ask again while another request is finding out."""

_MOST_SECONDS: Final = 1e9
_MOST_REQUESTS: Final = 1_000_000


class Lane(StrEnum):
    """Who waits for a call."""

    INTERACTIVE = "interactive"
    """A payer: served first, may use the whole window."""
    BULK = "bulk"
    """A worker: leaves a reserve of the window to the interactive lane."""


@frozen
class RateLimit:
    """At most ``requests`` in any ``per`` seconds.

    Raises:
        ConfigurationError: a value is out of bounds.
    """

    requests: int
    """How many, 1 to 1,000,000."""
    per: float = 60.0
    """Length of the rolling window in seconds, above 0."""

    def __attrs_post_init__(self) -> None:
        _check_limit(self.requests, self.per)

    def open_to(self, lane: Lane) -> int:
        """How many of the slots a lane may fill."""
        return self.requests if lane is Lane.INTERACTIVE else _less_reserve(self.requests)


def _check_limit(requests: object, per: object) -> None:
    whole = isinstance(requests, int) and not isinstance(requests, bool)
    if not whole or not 1 <= requests <= _MOST_REQUESTS:  # type: ignore[operator]  # an int by now
        raise ConfigurationError(f"RateLimit.requests must be an integer, 1 to {_MOST_REQUESTS}")
    number = isinstance(per, int | float) and not isinstance(per, bool)
    if not number or not 0 < per <= _MOST_SECONDS:  # type: ignore[operator]  # a number by now
        raise ConfigurationError("RateLimit.per must be a number of seconds above 0")


def _less_reserve(slots: int) -> int:
    return slots if slots == 1 else slots - max(1, int(slots * BULK_RESERVE))


LIVE: Final = RateLimit(160)
"""Frame's default for a merchant in live mode (Frame rate limits page)."""
ENDPOINTS: Final = {
    "POST /v1/charge_intents": RateLimit(3_000),
    "POST /v1/payment_methods": RateLimit(3_000),
    "GET /v1/customers": RateLimit(800),
    "POST /v1/customers": RateLimit(800),
    "GET /v1/customers/{id}": RateLimit(800),
}
"""Frame's other defaults in live mode (Frame rate limits page)."""
SANDBOX: Final = RateLimit(50)
"""Frame's default for a merchant in its sandbox (Frame rate limits page)."""


@define
class SlotState:
    """One place in the window."""

    frees_at: float
    """When it is free again; for a held one, when it is given up as lost."""
    held: bool = True
    """The request is on its way; False once its answer came."""
    probe: bool = False
    """It goes beyond what is known to be ours, to find out."""
    refused: bool = False
    """Its answer was a 429."""


@define
class RollingWindow:
    """The window of one API key, endpoint and mode.

    Others may use the same merchant's quota. A 429 within our own limit says so: what we
    had got by then (requests answered in the last period, and not with a 429) is all there
    is, until probes, one request at a time, get more. Each lane stays within its share of
    what is known, so that the reserve holds when others use most of the quota.

    Simulated with others using half of it: every number of callers gets at least nine
    tenths of the other half, with one 429 a period, and the whole limit within two periods
    after the others stop.
    """

    limit: RateLimit
    slots: dict[str, SlotState] = field(factory=dict[str, SlotState])
    known: int = field(init=False)
    """How many slots are ours, as far as is known."""
    probe_at: float = 0.0
    """No request beyond `known` before then."""
    paused_until: float = 0.0
    _soonest: float = field(init=False, default=0.0, eq=False, repr=False)
    """No slot is free before then: until then, none need be looked at."""

    def __attrs_post_init__(self) -> None:
        self.known = self.limit.requests

    def enter(self, token: str, lane: Lane, now: float, hold: float) -> float:
        """Take a slot for `token`: 0.0 when it is taken, else seconds until asking makes sense.

        A token that holds a slot has it, and takes no second one. A slot that is never left
        is given up `hold` seconds later and freed one period after that: by then its
        request can't arrive any more.
        """
        self._forget(now)
        slot = self.slots.get(token)
        if slot is not None and slot.held:
            return 0.0
        if now < self.paused_until:
            return self.paused_until - now
        used, most, known = len(self.slots), self.limit.requests, self.known
        if lane is Lane.BULK:
            most, known = _less_reserve(most), _less_reserve(known)
        if used >= most:
            return self._wait(used - most, now)
        probe = used >= known
        if probe and not self._may_probe(now):
            return min(self._wait(used - known, now), max(self.probe_at - now, PROBE_WAIT))
        self.slots[token] = SlotState(now + hold + self.limit.per, probe=probe)
        return 0.0

    def force(self, token: str, lane: Lane, now: float, hold: float) -> bool:
        """Take a slot beyond what is known to be ours, within the limit; False if there is none.

        For a call that could not wait otherwise: what was learned is a guess, and a guess
        must not refuse a call.
        """
        self._forget(now)
        slot = self.slots.get(token)
        if slot is not None and slot.held:
            return True
        if now < self.paused_until or len(self.slots) >= self.limit.open_to(lane):
            return False
        self.slots[token] = SlotState(now + hold + self.limit.per, probe=True)
        return True

    def resize(self, limit: RateLimit) -> None:
        """Go on under another limit: what is inside stays inside, what was learned holds."""
        learned = self.known < self.limit.requests
        self.known = min(self.known, limit.requests) if learned else limit.requests
        if limit.per < self.limit.per:
            self._soonest = 0.0  # slots are free sooner than was thought
        self.limit = limit

    def leave(self, token: str, now: float, *, sent: bool) -> None:
        """The answer is in, or certainly nothing was sent; an unknown token changes nothing."""
        self._forget(now)
        slot = self.slots.get(token)
        if slot is None or not slot.held:
            return
        if not sent:
            del self.slots[token]
            return
        self._answered(slot, now)
        if self.known < self.limit.requests:
            self.known = max(self.known, min(self._got(), self.limit.requests))

    def refuse(self, token: str, now: float, pause: float) -> None:
        """A 429 came: everyone pauses, and what others leave to us is known.

        Whether a refused request counts in Frame's window is not published; it is taken
        to count.
        """
        self._forget(now)
        self.paused_until = max(self.paused_until, now + pause)
        self.probe_at = now + self.limit.per
        slot = self.slots.get(token)
        if slot is None or not slot.held:
            return
        self._answered(slot, now)
        slot.refused = True
        self.known = max(1, min(self.known, self._got()))

    def _got(self) -> int:
        """How many requests the server took in the last period, as far as is known."""
        return sum(not slot.held and not slot.refused for slot in self.slots.values())

    def _answered(self, slot: SlotState, now: float) -> None:
        slot.frees_at, slot.held, slot.probe = now + self.limit.per, False, False
        self._soonest = min(self._soonest, slot.frees_at)

    def _may_probe(self, now: float) -> bool:
        """Whether a request may find out now.

        It goes alone, because one beside it could be refused in its stead; where requests
        are always under way, it waits a period for that and no longer.
        """
        if now < self.probe_at or any(slot.probe for slot in self.slots.values()):
            return False
        alone = not any(slot.held for slot in self.slots.values())
        return alone or now >= self.probe_at + self.limit.per

    def _forget(self, now: float) -> None:
        if now < self._soonest:
            return
        for token in [token for token, slot in self.slots.items() if slot.frees_at <= now]:
            del self.slots[token]
        # One that is taken later is not free before a whole period has gone by.
        soonest = now + self.limit.per
        self._soonest = min((slot.frees_at for slot in self.slots.values()), default=soonest)
        self._soonest = min(self._soonest, soonest)

    def _wait(self, surplus: int, now: float) -> float:
        """Seconds until `surplus` + 1 slots are free, as far as is known now.

        A held slot can't be free before one period from now, and asking again then tells
        when it is.
        """
        soonest = now + self.limit.per
        times = sorted(min(slot.frees_at, soonest) for slot in self.slots.values())
        return max(0.001, times[min(surplus, len(times) - 1)] - now)
