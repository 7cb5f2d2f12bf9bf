"""The rolling window: never too many at the server, hardly fewer than could be."""

import os
import random

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rates import CountingServer, Delay, Simulation

from frame_async.errors import ConfigurationError
from frame_async.protocol.window import LIVE, SANDBOX, Lane, RateLimit, RollingWindow

INTERACTIVE, BULK = Lane.INTERACTIVE, Lane.BULK

SEEDS = range(10 if "FRAME_SOAK_CALLS" in os.environ else 1)
"""Of simulations; more in the soak."""


class TestRateLimit:
    """A limit that makes no sense is refused."""

    @pytest.mark.parametrize("requests", [0, -1, 1_000_001, 1.5, "5", True, None])
    def test_requests(self, requests: int) -> None:
        """The number of requests is an integer from 1 to a million."""
        with pytest.raises(ConfigurationError, match="requests"):
            RateLimit(requests)

    @pytest.mark.parametrize("per", [0, -1.0, float("nan"), float("inf"), 1e10, "60", True, None])
    def test_per(self, per: float) -> None:
        """The period is a number of seconds above 0."""
        with pytest.raises(ConfigurationError, match="per"):
            RateLimit(5, per)

    def test_the_published_ones(self) -> None:
        """Frame publishes 160 requests a minute live, and 50 in its sandbox."""
        assert (LIVE.requests, LIVE.per) == (160, 60)
        assert (SANDBOX.requests, SANDBOX.per) == (50, 60)

    @pytest.mark.parametrize(
        ("requests", "bulk"), [(1, 1), (2, 1), (9, 8), (10, 9), (50, 45), (160, 144)]
    )
    def test_what_is_open_to_bulk(self, requests: int, bulk: int) -> None:
        """Bulk leaves a tenth free, at least one slot, where there is more than one."""
        assert RateLimit(requests).open_to(BULK) == bulk
        assert RateLimit(requests).open_to(INTERACTIVE) == requests


class TestSlots:
    """One slot after the other."""

    def test_the_wait_is_until_one_frees(self) -> None:
        """The wait that is told ends when the slot that frees first is free."""
        window = RollingWindow(RateLimit(2, 60))
        for second, token in enumerate("ab"):
            assert not window.enter(token, INTERACTIVE, second, 100)
            window.leave(token, second, sent=True)
        assert window.enter("c", INTERACTIVE, 10, 100) == pytest.approx(50)
        assert window.enter("c", INTERACTIVE, 60, 100) == 0
        assert window.enter("d", INTERACTIVE, 60, 100) == pytest.approx(1)

    def test_the_wait_for_a_held_slot(self) -> None:
        """A slot that is held can't be free before one period from now."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 1000)
        assert window.enter("b", INTERACTIVE, 7, 1000) == pytest.approx(60)

    def test_the_wait_of_the_bulk_lane(self) -> None:
        """Bulk waits until so many slots are free that its reserve is too."""
        window = RollingWindow(RateLimit(3, 60))
        for second, token in enumerate("abc"):
            assert not window.enter(token, INTERACTIVE, second, 100)
            window.leave(token, second, sent=True)
        assert window.enter("d", BULK, 3, 100) == pytest.approx(58)

    def test_a_slot_is_free_at_the_very_moment(self) -> None:
        """The server's window is half open, and so is ours: at one period it is free."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 100)
        window.leave("a", 0.5, sent=True)
        assert window.enter("b", INTERACTIVE, 60.4, 100) > 0
        assert window.enter("b", INTERACTIVE, 60.5, 100) == 0

    def test_an_answer_after_the_slot_was_given_up(self) -> None:
        """A slot that was given up stays given up, and teaches nothing."""
        window = RollingWindow(RateLimit(2, 10))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 15, sent=True)
        assert not window.slots
        assert not window.enter("b", INTERACTIVE, 20, 5)
        window.refuse("b", 35, 0)
        assert not window.slots
        assert window.known == 2

    def test_leaving_unsent_teaches_nothing(self) -> None:
        """A slot that wasn't used frees at once, and what is known stays."""
        window = RollingWindow(RateLimit(2, 10))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 1, sent=False)
        assert (window.slots, window.known) == ({}, 2)

    def test_something_is_always_ours(self) -> None:
        """When the very first request is refused, one slot is still taken to be ours."""
        window = RollingWindow(RateLimit(5, 10))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.refuse("a", 0, 1)
        assert window.known == 1
        assert window.enter("b", INTERACTIVE, 1, 5) > 0
        assert window.enter("b", INTERACTIVE, 10, 5) == 0

    def test_a_shorter_period(self) -> None:
        """Slots that are taken under a shorter period are free after that, not the old one."""
        window = RollingWindow(RateLimit(1, 60))
        assert not window.enter("a", INTERACTIVE, 0, 5)
        window.leave("a", 0, sent=False)
        window.resize(RateLimit(1, 2))
        assert not window.enter("b", INTERACTIVE, 1, 0)
        assert window.enter("c", INTERACTIVE, 2.9, 5) > 0
        assert window.enter("c", INTERACTIVE, 3, 5) == 0

    def test_a_wider_limit(self) -> None:
        """What was learned holds under a wider limit; what wasn't grows with it."""
        window = RollingWindow(RateLimit(5, 10))
        window.resize(RateLimit(8, 10))
        assert window.known == 8
        window.known = 3
        window.resize(RateLimit(20, 10))
        assert window.known == 3
        window.resize(RateLimit(2, 10))
        assert window.known == 2


@frozen
class Request:
    """One request of a schedule: when it asks, and how long it takes."""

    gap: float
    there: float
    back: float


REQUESTS = st.lists(
    st.builds(
        Request,
        gap=st.sampled_from([0.0, 0.0, 0.001, 0.2, 3.0]),
        there=st.floats(0, 0.25),
        back=st.one_of(st.floats(0, 0.5), st.floats(0, 30)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS, st.integers(1, 6), st.sampled_from([1.0, 5.0, 60.0]), st.sampled_from(Lane))
def test_the_server_never_sees_too_many(
    requests: list[Request], limit: int, period: float, lane: Lane
) -> None:
    """Whatever the network does, no half-open period at the server holds more than the limit."""
    there, back = [r.there for r in requests], [r.back for r in requests]
    # Sums of floats are off by less than this.
    server = CountingServer(limit, period - 1e-9)
    simulation = Simulation.of(server, RateLimit(limit, period), there.pop, back.pop)
    begin = 0.0
    for request in requests:
        begin += request.gap
        simulation.call(begin, lane)
    simulation.run(begin + len(requests) * (period + 60))
    assert len(simulation.sent) == len(requests)
    assert all(sent.admitted for sent in simulation.sent)


def uniform(chance: random.Random, least: float, most: float) -> Delay:
    return lambda: chance.uniform(least, most)


@pytest.mark.parametrize("latency", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("limit", [SANDBOX, LIVE])
def test_hardly_fewer_than_could_be(limit: RateLimit, latency: float) -> None:
    """A caller that saturates the window gets 99 % of what latency leaves of the limit."""
    chance = random.Random(7)
    server = CountingServer(limit.requests)
    there = uniform(chance, 0, min(0.25, latency / 4))
    simulation = Simulation.of(server, limit, there, lambda: latency * 0.8)
    cycle, cycles = limit.per + latency, 3
    simulation.saturating(limit.requests + 1, cycles * cycle)
    simulation.run(cycles * cycle)
    assert all(sent.admitted for sent in simulation.sent)
    rate = simulation.admitted(cycle, (cycles - 1) * cycle) / ((cycles - 2) * cycle)
    assert rate >= 0.99 * limit.requests / cycle


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize("callers", [1, 12])
def test_others_use_half(callers: int, counts_refused: bool, seed: int) -> None:
    """With others using half the limit we get the rest, at one 429 a period, and all after."""
    chance = random.Random(seed)
    server = CountingServer(160, counts_refused=counts_refused)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, 0.2)
    simulation = Simulation.of(server, LIVE, there, back)
    simulation.others(lambda: 0.75, -60, 1200)
    simulation.saturating(callers, 2000)
    simulation.run(2000)
    for minute in range(1, 19):
        begin = 60.0 * minute
        assert simulation.admitted(begin, begin + 60) >= 0.9 * 80
        assert simulation.refused(begin, begin + 60) <= 1
    assert simulation.admitted(1440, 1500) >= 0.9 * 160
    assert simulation.window.known == 160
    assert simulation.refused(1260, 2000) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_others_come_and_go_by_chance(seed: int) -> None:
    """Others who come by chance are coped with: most of the rest is ours, with few 429."""
    chance = random.Random(seed)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, 0.4)
    simulation = Simulation.of(CountingServer(160), LIVE, there, back)
    simulation.others(lambda: chance.expovariate(80 / 60), -60, 1200)
    simulation.saturating(12, 1200)
    simulation.run(1200)
    assert simulation.admitted(60, 1200) >= 0.9 * 80 * 19
    assert simulation.refused(60, 1200) <= 2 * 19


@pytest.mark.parametrize("latency", [0.4, 5.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_payer_comes_first_when_others_use_half(seed: int, latency: float) -> None:
    """While bulk work takes all that others leave, a payer waits seconds, not a minute."""
    chance = random.Random(seed)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, latency)
    simulation = Simulation.of(CountingServer(160), LIVE, there, back)
    simulation.others(lambda: 0.75, -60, 900)
    simulation.saturating(12, 900, BULK)
    for turn in range(40, 220):
        simulation.call(4 * turn + chance.random(), INTERACTIVE)
    simulation.run(900)
    waits = sorted(s.departed - s.asked for s in simulation.sent if s.lane is INTERACTIVE)
    assert len(waits) == 180
    assert waits[90] < 10
    assert simulation.admitted(60, 900) >= 0.8 * 80 * 14
    assert simulation.refused(60, 900) <= 14
