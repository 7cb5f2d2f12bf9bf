"""Workers by the thousand before one shared rate window, as events in simulated time.

What a worker does is what `engine/limiter.py` does, without its event loop; the window is
the library's own. The store is a queue: each operation travels there, waits for those before
it, is served, and travels back. `support.fleets_loop` has the same fleet with real lines,
for tests that the two agree.
"""

import heapq
import math
import random
from bisect import bisect, insort
from collections import Counter, deque
from collections.abc import Callable
from itertools import count, islice
from typing import Final

from attrs import define, field, frozen
from support.appointing import AppointingWindow

from frame_async.engine.limiter import _MOST_AT_A_TIME
from frame_async.protocol.window import LIVE, Lane, RateLimit, RollingWindow

HOLD: Final = 16.0
"""Seconds that a place is held if it is never left, with a client's defaults."""


@frozen
class StoreCost:
    """What an operation on a window takes, in seconds."""

    service: float
    """The server's own work; it does one after the other."""
    travel: float
    """There and back, with what the client does about it."""
    timeout: float = 2.0
    """After which an operation is given up."""


REDIS: Final = StoreCost(1 / 17_000, 0.000_3)
"""As measured by tests/benchmarks/store.py: 17,000 operations a second, 3,300 one by one."""
POSTGRES: Final = StoreCost(1 / 1_000, 0.000_5)
"""As measured by the same: 1,000 operations a second on one window."""


@frozen(kw_only=True)
class Fleet:
    """Who there is: every caller calls again as soon as its call is over."""

    workers: int
    callers: int = 4
    """Calls at a time in each worker."""
    limit: RateLimit = LIVE
    lane: Lane = Lane.BULK
    cost: StoreCost = REDIS
    latency: tuple[float, float] = (0.15, 0.45)
    """Seconds that an exchange with Frame takes, least and most."""
    start: float = 10.0
    """Seconds over which the workers start."""
    spread: bool = False
    """Whether they find the window full, with its places free one by one over the period.
    Otherwise the first calls leave in a burst, and so do all after them: a place that was
    taken at some time of the minute is free again at that time of the next."""
    leaving: tuple[float, int] | None = None
    """When some workers stop, without a word, and how many."""
    outage: tuple[float, float] | None = None
    """When the store goes away and comes back."""
    pause: float = 1.0
    """Seconds, on average, that a caller pauses after the store failed it."""
    seed: int = 1


@define
class Tally:
    """What was seen."""

    fleet: Fleet
    calls: list[tuple[float, int]] = field(factory=list[tuple[float, int]])
    """When each call was answered, and in which worker."""
    operations: int = 0
    errors: int = 0
    """Calls that the store failed."""
    seconds: Counter[int] = field(factory=Counter[int])
    """Operations in each second."""
    _mark: int = 0

    def operated(self, now: float) -> None:
        """The store was asked something."""
        self.operations += 1
        self.seconds[int(now)] += 1

    def mark(self) -> None:
        """Operations are counted from here."""
        self._mark = self.operations

    def times(self) -> list[float]:
        """When each call was answered."""
        return [when for when, _ in self.calls]

    def recovery(self, since: float) -> float:
        """Seconds from then until a period begins with 95 % of the calls that it allows."""
        places = self.fleet.limit.open_to(self.fleet.lane)
        times = [when for when in self.times() if when >= since]
        wanted = math.ceil(0.95 * places) - 1
        pairs = zip(times, times[wanted:], strict=False)
        return next((t - since for t, last in pairs if last - t < self.fleet.limit.per), math.inf)

    def figures(self, begin: float, end: float, rounds: int = 2) -> "Figures":
        """What came of it in that time; operations since the mark."""
        found = [worker for when, worker in self.calls if begin <= when < end]
        fleet, seconds = self.fleet, end - begin
        done = self.operations - self._mark
        shares = Counter(found)
        return Figures(
            share=share_of(self.times(), fleet.limit.open_to(fleet.lane), fleet.limit.per, rounds),
            per_call=done / max(1, len(found)),
            per_second=done / seconds,
            peak=max(count for when, count in self.seconds.items() if begin <= when < end),
            fairness=_fairness(list(shares.values()), fleet.workers),
            idle=fleet.workers - len(shares),
            errors=self.errors,
        )


@frozen
class Figures:
    """What a fleet gets, and what it costs."""

    share: float
    """Throughput, as a share of what the window allows its lane."""
    per_call: float
    """Store operations for each call."""
    per_second: float
    """Store operations a second."""
    peak: int
    """The most in any one second."""
    fairness: float
    """Jain's index over the workers, as a share of the best for so many calls."""
    idle: int
    """Workers that got nothing."""
    errors: int


def share_of(times: list[float], places: int, per: float, rounds: int = 2) -> float:
    """Throughput as a share of what is allowed, at the end of a run, by when calls were answered.

    It is the time from an answer to that of the call that has its place a few rounds later,
    on average over all places, against as many periods: calls come in bursts that last for
    hours, so counting those of a minute tells little.
    """
    times = sorted(times)[-places * (rounds + 1) :]
    later = times[places * rounds :]
    took = sum(after - first for first, after in zip(times, later, strict=False))
    return rounds * per * len(later) / took if later else 0.0


def _fairness(shares: list[int], workers: int) -> float:
    """Jain's index; where there are fewer calls than workers, one each is the best there is."""
    total = sum(shares)
    if not total:
        return 0.0
    each, rest = divmod(total, workers)
    best = total**2 / (workers * (each**2 * workers + (2 * each + 1) * rest))
    return total**2 / (workers * sum(share**2 for share in shares)) / best


@define
class SharedWindow(AppointingWindow):
    """The library's window, which looks at all its slots less often, and says the same.

    It keeps slots in the order in which they are free again, and remembers its last answer
    while nothing changes: when thousands ask the same in vain, it is worked out once.
    """

    _frees: list[tuple[float, str]] = field(init=False, factory=list[tuple[float, str]])
    _until: float = field(init=False, default=0.0)

    def enter(
        self, token: str, lane: Lane, now: float, hold: float, *, pace: bool = False
    ) -> float:
        """See `RollingWindow.enter`; all askers are of one lane."""
        wait = self._first_place(token, lane, now, hold, pace)
        return self.appointed(wait, lane, now, pace=pace)

    def _first_place(self, token: str, lane: Lane, now: float, hold: float, pace: bool) -> float:
        if now < self._until:
            return max(0.001, self._until - now)
        wait = RollingWindow.enter(self, token, lane, now, hold, pace=pace)
        if not wait:
            insort(self._frees, (self.slots[token].frees_at, token))
        # A whole period is what is said of requests under way: it isn't known of later.
        told = 0 < wait < self.limit.per * (1 - 1e-9)
        self._until = now + wait if told else 0.0
        return wait

    def leave(self, token: str, now: float, *, sent: bool) -> None:
        """See `RollingWindow.leave`."""
        self._until = 0.0
        super().leave(token, now, sent=sent)
        if token in self.slots:
            insort(self._frees, (self.slots[token].frees_at, token))

    def _forget(self, now: float) -> None:
        while self._first() <= now:
            del self.slots[self._frees.pop(0)[1]]

    def _wait(self, surplus: int, now: float) -> float:
        if surplus:
            return super()._wait(surplus, now)
        return max(0.001, min(self._first(), now + self.limit.per) - now)

    def _first(self) -> float:
        """When the next slot is free."""
        while self._frees:
            frees_at, token = self._frees[0]
            if token in self.slots and self.slots[token].frees_at == frees_at:
                return frees_at
            self._frees.pop(0)  # it was answered since, or given back
        return math.inf

    def next_after(self, when: float) -> float:
        """See `AppointingWindow.next_after`."""
        for frees_at, token in islice(self._frees, bisect(self._frees, (when, "~")), None):
            if token in self.slots and self.slots[token].frees_at == frees_at:
                return frees_at
        return 0.0


@define(eq=False)
class _Waiter:
    token: str
    done: bool = False


@define(eq=False)
class _Worker:
    """A `RateLimiter` and its callers."""

    number: int
    waiting: deque[_Waiter] = field(factory=deque[_Waiter])
    asking: int = 0
    next_at: float = 0.0
    asker: bool = False
    """Whether somebody keeps asking."""
    dozing: int = 0
    """Which nap the asker takes; 0 while it is awake."""
    news: bool = False


Answer = Callable[[float | None], None]
"""Told what an operation answered; None if the store failed."""


class Simulation:
    """A fleet at work."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.tally, self.now = fleet, Tally(fleet), 0.0
        self._chance = random.Random(fleet.seed)
        self._window = SharedWindow(fleet.limit)
        if fleet.spread:
            fill(self._window, fleet.lane)
        self._busy = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count(1)
        for number in range(fleet.workers):
            worker = _Worker(number)
            begins = self._chance.uniform(0, fleet.start)
            for _ in range(fleet.callers):
                self._at(begins, lambda worker=worker: self._begin(worker))  # type: ignore[misc]

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] < until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    # The store.

    def _ask(self, work: Callable[[float], float], answer: Answer) -> None:
        """Have the store do something, and hear of it."""
        self.tally.operated(self.now)
        fleet, asked = self.fleet, self.now
        begin, end = fleet.outage or (0.0, 0.0)
        if not begin <= asked < end:
            self._arrive(asked, asked + fleet.cost.travel / 2, work, answer)
        elif asked + fleet.cost.timeout <= end:
            self._at(asked + fleet.cost.timeout, lambda: answer(None))
        else:  # connections come back over a second
            back = end + self._chance.uniform(0, 1)
            self._at(back, lambda: self._arrive(asked, back, work, answer))

    def _arrive(
        self, asked: float, here: float, work: Callable[[float], float], answer: Answer
    ) -> None:
        """It is served in its turn; who asked may not wait so long."""
        cost = self.fleet.cost
        served = max(here, self._busy) + cost.service
        told = served + cost.travel / 2
        if told - asked > cost.timeout:  # the store doesn't do what nobody waits for any more
            self._at(max(self.now, asked + cost.timeout), lambda: answer(None))
            return
        self._busy, found = served, work(served)
        self._at(told, lambda: answer(found))

    def _enter(self, worker: _Worker, token: str, answer: Answer) -> None:
        when, gone = self.fleet.leaving or (math.inf, 0)
        if self.now >= when and worker.number < gone:
            return

        def told(wait: float | None) -> None:
            sooner = wait is not None and self.now < worker.next_at < self.now + wait
            if wait is not None and not (sooner and self.fleet.lane is Lane.BULK):
                worker.next_at = self.now + wait
            answer(wait)

        lane = self.fleet.lane
        pace = lane is Lane.BULK
        self._ask(lambda now: self._window.enter(token, lane, now, HOLD, pace=pace), told)

    def _leave(self, token: str, answer: Answer, *, sent: bool) -> None:
        def leave(now: float) -> float:
            self._window.leave(token, now, sent=sent)
            return 0.0

        self._ask(leave, answer)

    # A caller.

    def _begin(self, worker: _Worker) -> None:
        """A call asks for a place, or waits for one."""
        token = f"{next(self._order)}"
        if worker.waiting or worker.asking >= _MOST_AT_A_TIME:
            self._wait(worker, token)
            return
        worker.asking += 1

        def answered(wait: float | None) -> None:
            worker.asking -= 1
            if wait is None:
                self._failed(worker)
            elif wait <= 0:
                self._depart(worker, token)
            else:
                self._wait(worker, token)

        self._enter(worker, token, answered)

    def _wait(self, worker: _Worker, token: str) -> None:
        worker.waiting.append(_Waiter(token))
        if self.fleet.lane is Lane.INTERACTIVE:
            self._tell(worker)
        if not worker.asker:
            worker.asker = True
            self._keep_asking(worker, 1)

    def _depart(self, worker: _Worker, token: str) -> None:
        """The request is on its way."""

        def left(_: float | None) -> None:
            self._tell(worker)
            self._begin(worker)

        def answered() -> None:
            self.tally.calls.append((self.now, worker.number))
            self._leave(token, left, sent=True)

        self._at(self.now + self._chance.uniform(*self.fleet.latency), answered)

    def _failed(self, worker: _Worker) -> None:
        """The store failed a call: its caller tries again later."""
        self.tally.errors += 1
        pause = self.fleet.pause * self._chance.uniform(0.5, 1.5)
        self._at(self.now + pause, lambda: self._begin(worker))

    # Whoever asks for those who wait.

    def _keep_asking(self, worker: _Worker, most: int) -> None:
        while worker.waiting and worker.waiting[0].done:
            worker.waiting.popleft()
        heads = list(islice((w for w in worker.waiting if not w.done), most))
        if not heads:
            worker.asker = False
            return
        worker.news = False

        def first(admitted: bool | None) -> None:
            if admitted is None:
                self._turn_away(worker)
            elif len(heads) == 1:
                self._decide(worker, most, everyone=admitted)
            else:
                self._serve_all(worker, heads[1:], most, everyone=admitted)

        self._serve(worker, heads[0], first)

    def _serve_all(
        self, worker: _Worker, heads: list[_Waiter], most: int, *, everyone: bool
    ) -> None:
        told: list[bool | None] = []

        def one(admitted: bool | None) -> None:
            told.append(admitted)
            if admitted is None and told.count(None) == 1:
                self._turn_away(worker)
            elif len(told) == len(heads) and None not in told:
                self._decide(worker, most, everyone=everyone and all(told))

        for waiter in heads:
            self._serve(worker, waiter, one)

    def _serve(
        self, worker: _Worker, waiter: _Waiter, answer: Callable[[bool | None], None]
    ) -> None:
        def told(wait: float | None) -> None:
            if wait is not None and wait <= 0:
                if waiter.done:  # it was turned away meanwhile
                    self._leave(waiter.token, lambda _: None, sent=False)
                else:
                    waiter.done = True
                    self._depart(worker, waiter.token)
            answer(None if wait is None else wait <= 0)

        self._enter(worker, waiter.token, told)

    def _decide(self, worker: _Worker, most: int, *, everyone: bool) -> None:
        """Ask for twice as many, or sleep until a place may be free or there is news."""
        if everyone:
            paced = self.fleet.lane is Lane.BULK
            self._keep_asking(worker, 1 if paced else min(2 * most, _MOST_AT_A_TIME))
            return
        if worker.news:
            self._keep_asking(worker, 1)
            return
        worker.dozing = nap = next(self._order)

        def wake() -> None:
            if worker.dozing == nap:
                worker.dozing = 0
                self._keep_asking(worker, 1)

        self._at(max(self.now, worker.next_at), wake)

    def _tell(self, worker: _Worker) -> None:
        if not worker.asker:
            return
        worker.news = True
        if worker.dozing:  # it wakes when whoever has the word has finished
            worker.dozing = 0
            self._at(self.now, lambda: self._keep_asking(worker, 1))

    def _turn_away(self, worker: _Worker) -> None:
        """The store failed: everyone who waits hears it."""
        turned = [waiter for waiter in worker.waiting if not waiter.done]
        worker.waiting.clear()
        worker.asker = False
        for waiter in turned:
            waiter.done = True
            self._failed(worker)


def fill(window: RollingWindow, lane: Lane) -> None:
    """Fill a window at time 0, with places that are free one by one."""
    places, per = window.limit.open_to(lane), window.limit.per
    for number in range(places):
        at = per * (number + 1) / places
        window.enter(f"before {number}", lane, 0.0, HOLD)
        window.leave(f"before {number}", at - per, sent=True)
    window.paced_to = 0.0


def simulate(fleet: Fleet, warm_up: float, until: float) -> Tally:
    """A fleet's work; operations are counted from the end of the warm-up."""
    simulation = Simulation(fleet)
    simulation.run(warm_up)
    simulation.tally.mark()
    simulation.run(until)
    return simulation.tally
