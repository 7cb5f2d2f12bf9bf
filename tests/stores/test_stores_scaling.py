"""The simulation of fleets agrees with the library's line, and with real processes.

The documentation's figures of 1,000 workers come from it.
"""

import random
from collections import Counter

import pytest
from attrs import evolve
from support.appointing import AppointingWindow
from support.fleets_real import SMALL, run_really
from support.simulated_fleets import POSTGRES, REDIS, Fleet, SharedWindow, StoreCost, simulate
from support.simulated_fleets_loop import simulate_lines

from frame_async.protocol.window import ASKERS, Lane, RateLimit

LIMIT = RateLimit(40, 10)
FLEETS = {
    "one": Fleet(workers=1, callers=100, limit=LIMIT, start=2),
    "bursts": Fleet(workers=4, callers=25, limit=LIMIT, start=2),
    "spread": Fleet(workers=8, callers=12, limit=LIMIT, spread=True, start=2),
    "payers": Fleet(workers=8, callers=12, limit=LIMIT, lane=Lane.INTERACTIVE, start=2),
    "postgres": Fleet(workers=12, callers=8, limit=LIMIT, cost=POSTGRES, start=2),
    "overload": Fleet(workers=20, limit=LIMIT, cost=StoreCost(0.05, 0.001), start=2),
    "outage": Fleet(workers=8, callers=12, limit=LIMIT, spread=True, outage=(30.0, 40.0), start=2),
}


@pytest.mark.parametrize("name", FLEETS)
def test_the_simulation_does_as_the_line(name: str) -> None:
    """The same fleet of real lines gets the same share, for as many operations, to a tenth."""
    begin, end = 20.0, 60.0
    here, there = (run(FLEETS[name], begin, end) for run in (simulate, simulate_lines))
    found, real = here.figures(begin, end), there.figures(begin, end)
    assert found.share == pytest.approx(real.share, abs=0.03)
    assert found.per_call == pytest.approx(real.per_call, rel=0.1)
    assert found.fairness == pytest.approx(real.fairness, abs=0.1)
    assert here.recovery(40.0) == pytest.approx(there.recovery(40.0), abs=1.5)


@pytest.mark.parametrize("spread", [True, False])
def test_a_few_workers_ask_for_a_place_however_many_there_are(spread: bool) -> None:
    """A call costs as many operations with 100 workers as with 10; each gets as much as before."""
    for workers in (10, 100):
        fleet = Fleet(workers=workers, callers=20, spread=spread)
        found = simulate(fleet, 60, 180).figures(60, 180, rounds=1)
        assert found.per_call <= ASKERS + 3
        assert found.share > 0.99


def test_those_who_are_left_ask_for_the_places_of_those_who_went() -> None:
    """When nine of ten workers stop at once, the others get all places, a period later."""
    fleet = Fleet(workers=200, callers=16, spread=True, leaving=(150.0, 180))
    tally = simulate(fleet, 60, 330)
    late = [worker for when, worker in tally.calls if 210 <= when < 330]
    assert min(late) >= 180
    assert len(late) >= 0.98 * 2 * fleet.limit.open_to(fleet.lane)


def test_no_worker_starves() -> None:
    """Of 30 workers, each gets at least half of its share within six minutes."""
    found = simulate(Fleet(workers=30, callers=4, spread=True), 60, 420)
    calls = Counter(worker for when, worker in found.calls if when >= 60)
    assert min(calls[worker] for worker in range(30)) >= 0.5 * 6 * 144 / 30


def test_an_outage_costs_no_more_than_itself_and_a_period() -> None:
    """After 30 s without a store, throughput is whole again within a period and a hold."""
    fleet = Fleet(workers=10, callers=32, spread=True, outage=(150.0, 180.0))
    tally = simulate(fleet, 60, 400)
    assert tally.errors
    assert tally.recovery(180.0) <= 60 + 16


@pytest.mark.parametrize("seed", range(20))
def test_the_quicker_window_says_the_same(seed: int) -> None:
    """What the simulation spares itself changes no answer of the library's window."""
    chance = random.Random(seed)
    limit = RateLimit(chance.choice([1, 3, 12]), chance.choice([4, 16]))
    lane, now = chance.choice(list(Lane)), 0.0
    ours, theirs = SharedWindow(limit), AppointingWindow(limit)
    for step in range(300):
        now += chance.choice([0, 0, 0.01, 0.25, 1, 3, 9])
        token = f"{step - chance.randrange(8)}"
        if chance.random() < 0.7:
            hold = chance.choice([1, 5, 20])
            wait = theirs.enter(f"{step}", lane, now, hold)
            assert ours.enter(f"{step}", lane, now, hold) == pytest.approx(wait)
        else:
            sent = chance.random() < 0.8
            ours.leave(token, now, sent=sent)
            theirs.leave(token, now, sent=sent)


@pytest.mark.alone
def test_four_real_processes_do_as_simulated() -> None:
    """Four processes on one Redis get the share that was simulated, for as many operations.

    How often they ask depends on how soon they are answered, and on a busy machine that is
    late: so the simulation says what is the most, and what it is with answers in 40 ms.
    """
    share, per_call = run_really("redis", SMALL, 2.0, 6.5)
    quick = simulate(evolve(SMALL, cost=REDIS), 2.0, 6.5).figures(2.0, 6.5)
    slow = simulate(evolve(SMALL, cost=StoreCost(0.001, 0.04)), 2.0, 6.5).figures(2.0, 6.5)
    assert slow.per_call * 0.9 <= per_call <= quick.per_call * 1.1
    assert slow.share - 0.1 <= share <= quick.share + 0.02
