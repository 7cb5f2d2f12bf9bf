"""The rolling rate window, from the client's side: when may the next request leave?

Frame counts requests over the last 60 seconds, where they arrive (Frame rate limits
page). A client knows only when a request left and when its answer came; it arrived
somewhere in between. So a slot is taken before a request leaves and is freed one period
after its answer came: whatever the network does, the server never sees more than the
limit in any period. Counting from the departure instead lets jitter squeeze one more
request into the server's window.

Time is a parameter everywhere, in seconds on a clock that never goes back.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import deque
from enum import StrEnum
from typing import Final, Generic, Protocol, TypeVar

from attrs import define, field, frozen

from frame_async.errors import ConfigurationError

BULK_RESERVE: Final = 0.1
"""Share of the window that the bulk lane leaves free, at least one slot."""

BULK_BURST: Final = 0.1
"""Share of the window that the bulk lane may use at once, before it has to keep its pace."""

ASKERS: Final = 5
"""How many workers a store of many hosts tells to ask for the same place: those that don't
come, because they were stopped for instance, then cost nothing."""

ATTEMPTS_LOOKED_AT: Final = 200
"""How many attempts say how long one takes: the latest."""

PROBE_WAIT: Final = 0.1
"""Seconds after which to ask again while another request is finding out."""

_SLOWER: Final = 1.25
"""How much slower than those that were seen the next may be: few say little of the slowest."""

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


class AttemptTimes:
    """How long attempts lately took, and what nearly all of them would have fitted into."""

    def __init__(self, quantile: float) -> None:
        self.needed = 0.0
        """Seconds within which that share of them ended, and a quarter more; 0.0 as long as
        there was none."""
        self._quantile = quantile
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def note(self, seconds: float) -> None:
        """Another one ended."""
        if not self._quantile:
            return
        self._latest.append(seconds)
        insort(self._sorted, seconds)
        if len(self._latest) > ATTEMPTS_LOOKED_AT:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        last = len(self._sorted) - 1
        self.needed = _SLOWER * self._sorted[min(last, int(self._quantile * len(self._sorted)))]


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


class Slots(Protocol):
    """The slots of a window, by the token of who took each."""

    def __len__(self) -> int: ...

    def get(self, token: str, /) -> SlotState | None:
        """The slot of a request, if it has one."""
        ...

    def __setitem__(self, token: str, slot: SlotState, /) -> None: ...

    def __delitem__(self, token: str, /) -> None: ...


AnySlots = TypeVar("AnySlots", bound=Slots)


@define
class WindowRules(ABC, Generic[AnySlots]):
    """The rules of one window; where its slots are is its subclasses' matter.

    Others may use the same merchant's quota. A 429 within our own limit says so: what we
    had got by then (requests answered in the last period, and not with a 429) is all there
    is, until probes, one request at a time, get more. Each lane stays within its share of
    what is known, so that the reserve holds when others use most of the quota.

    Simulated with others using half of it: every number of callers gets at least nine
    tenths of the other half, with one 429 a period, and the whole limit within two periods
    after the others stop.
    """

    limit: RateLimit
    slots: AnySlots
    known: int = field(init=False)
    """How many slots are ours, as far as is known."""
    probe_at: float = 0.0
    """No request beyond `known` before then."""
    paused_until: float = 0.0
    paced_to: float = 0.0
    """When all who entered so far would have entered, had they come evenly."""
    payers_until: float = 0.0
    """Until then a payer has entered within the last period."""

    def __attrs_post_init__(self) -> None:
        self.known = self.limit.requests

    def enter(
        self, token: str, lane: Lane, now: float, hold: float, *, pace: bool = False
    ) -> float:
        """Take a slot for `token`: 0.0 when it is taken, else seconds until asking makes sense.

        A token that holds a slot has it, and takes no second one. A slot that is never left
        is given up `hold` seconds later and freed one period after that: by then its
        request can't arrive any more.

        Bulk keeps a pace if it is told to, or if a payer came within the last period. What
        enters at once is free at once, a period later, so that nothing frees in between for
        a payer; what enters evenly frees evenly.
        """
        self._forget(now)
        slot = self.slots.get(token)
        if slot is not None and slot.held:
            return 0.0
        if now < self.paused_until:
            return self.paused_until - now
        used, most, known, early = len(self.slots), self.limit.requests, self.known, 0.0
        if lane is Lane.BULK:
            most, known = _less_reserve(most), _less_reserve(known)
            early = self._early(now) if pace or now < self.payers_until else 0.0
        if used >= most:
            return max(self._wait(used - most, now), early)
        if early > 0:
            return early
        probe = used >= known
        if probe and not self._may_probe(now):
            return min(self._wait(used - known, now), max(self.probe_at - now, PROBE_WAIT))
        self._take(token, lane, now, SlotState(now + hold + self.limit.per, probe=probe))
        return 0.0

    def force(self, token: str, lane: Lane, now: float, hold: float) -> bool:
        """Take a slot beyond what is known to be ours, within the limit; False if there is none.

        For a call that could not wait otherwise: what was learned is a guess, and a guess
        must not refuse a call. Bulk may leave its pace for the same reason.
        """
        self._forget(now)
        slot = self.slots.get(token)
        if slot is not None and slot.held:
            return True
        if now < self.paused_until or len(self.slots) >= self.limit.open_to(lane):
            return False
        self._take(token, lane, now, SlotState(now + hold + self.limit.per, probe=True))
        return True

    def opens_in(self, lane: Lane, ahead: int, now: float, *, pace: bool = False) -> float:
        """Seconds until there is a slot for one who has `ahead` others of his lane before him.

        As far as is known now: whoever is before him takes the slot that frees before his,
        and frees it a period later.
        """
        self._forget(now)
        most, early = self.known, 0.0
        if lane is Lane.BULK:
            most = _less_reserve(most)
            if pace or now < self.payers_until:
                early = self._early(now) + ahead * self.limit.per / self.known
        rounds, nth = divmod(ahead, most)
        missing = len(self.slots) + nth - most
        wait = rounds * self.limit.per + (self._wait(missing, now) if missing >= 0 else 0.0)
        return max(wait, early, self.paused_until - now, 0.0)

    def resize(self, limit: RateLimit) -> None:
        """Go on under another limit: what is inside stays inside, what was learned holds."""
        learned = self.known < self.limit.requests
        self.known = min(self.known, limit.requests) if learned else limit.requests
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
        self._answered(token, now, refused=False)
        if self.known < self.limit.requests:
            self.known = max(self.known, min(self._got(), self.limit.requests))

    def refuse(self, token: str, now: float, pause: float) -> None:
        """A 429 came: everyone pauses; a second one within a period teaches what others leave.

        The first may have been a mistake, or somebody else's moment: were it believed, a
        window that had room would stand still for a period. Whether a refused request counts
        in Frame's window is not published; it is taken to count.
        """
        self._forget(now)
        self.paused_until = max(self.paused_until, now + pause)
        self.probe_at = now + self.limit.per
        slot = self.slots.get(token)
        if slot is None or not slot.held:
            return
        believed = self.known < self.limit.requests or self._refused_lately()
        self._answered(token, now, refused=True)
        if believed:
            self.known = max(1, min(self.known, self._got()))

    def _early(self, now: float) -> float:
        """By how many seconds bulk is ahead of its pace."""
        return max(0.0, self.paced_to - now - BULK_BURST * self.limit.per)

    def _take(self, token: str, lane: Lane, now: float, slot: SlotState) -> None:
        self.slots[token] = slot
        per = self.limit.per
        self.paced_to = min(max(self.paced_to, now) + per / self.known, now + per)
        if lane is Lane.INTERACTIVE:
            self.payers_until = now + self.limit.per

    def _answered(self, token: str, now: float, *, refused: bool) -> None:
        self.slots[token] = SlotState(now + self.limit.per, held=False, refused=refused)

    def _may_probe(self, now: float) -> bool:
        """Whether a request may find out now.

        It goes alone, because one beside it could be refused in its stead; where requests
        are always under way, it waits a period for that and no longer.
        """
        if now < self.probe_at or self._probing():
            return False
        return now >= self.probe_at + self.limit.per or not self._under_way()

    def _wait(self, surplus: int, now: float) -> float:
        """Seconds until `surplus` + 1 slots are free, as far as is known now.

        A held slot can't be free before one period from now, and asking again then tells
        when it is.
        """
        frees_at = self._frees_at(min(surplus, len(self.slots) - 1))
        return max(0.001, min(frees_at, now + self.limit.per) - now)

    @abstractmethod
    def _forget(self, now: float) -> None:
        """Drop the slots that are free by now."""

    @abstractmethod
    def _frees_at(self, nth: int) -> float:
        """When slot number `nth` is free, counted from the one that is first."""

    @abstractmethod
    def _got(self) -> int:
        """How many requests the server took in the last period, as far as is known."""

    @abstractmethod
    def _refused_lately(self) -> bool:
        """Whether the server refused one in the last period."""

    @abstractmethod
    def _probing(self) -> bool:
        """Whether a request is finding out."""

    @abstractmethod
    def _under_way(self) -> bool:
        """Whether any request is."""


@define
class RollingWindow(WindowRules[dict[str, SlotState]]):
    """A window in memory."""

    slots: dict[str, SlotState] = field(factory=dict[str, SlotState])
    _soonest: float = field(init=False, default=0.0, eq=False, repr=False)
    """No slot is free before then: until then, none need be looked at."""

    def resize(self, limit: RateLimit) -> None:
        """See `WindowRules.resize`."""
        if limit.per < self.limit.per:
            self._soonest = 0.0  # slots are free sooner than was thought
        super().resize(limit)

    def _forget(self, now: float) -> None:
        if now < self._soonest:
            return
        for token in [token for token, slot in self.slots.items() if slot.frees_at <= now]:
            del self.slots[token]
        # One that is taken or answered later is not free before a whole period has gone by.
        soonest = now + self.limit.per
        self._soonest = min((slot.frees_at for slot in self.slots.values()), default=soonest)
        self._soonest = min(self._soonest, soonest)

    def _frees_at(self, nth: int) -> float:
        return sorted(slot.frees_at for slot in self.slots.values())[nth]

    def _got(self) -> int:
        return sum(not slot.held and not slot.refused for slot in self.slots.values())

    def _refused_lately(self) -> bool:
        return any(slot.refused for slot in self.slots.values())

    def _probing(self) -> bool:
        return any(slot.probe for slot in self.slots.values())

    def _under_way(self) -> bool:
        return any(slot.held for slot in self.slots.values())
