"""The time that is left: right within a tenth after the first minute, on a virtual clock."""

import random
from collections.abc import Callable

import pytest
from attrs import define
from support.rates import CountingServer, Simulation

from frame_async.bulk.forecast import Forecast
from frame_async.protocol.window import Lane, RateLimit


@define
class Run:
    """A run of so many rows behind a window, simulated."""

    rows: int
    limit: int
    latency: float
    concurrency: int = 32
    others: float = 0.0
    """Seconds between two requests of somebody else; 0 for nobody."""

    def guesses(self, every: float = 30.0) -> tuple[list[tuple[float, float]], float]:
        """What was forecast when, and when the last row was done."""
        chance, limit = random.Random(1), RateLimit(self.limit)
        sim = Simulation.of(
            CountingServer(self.limit),
            limit,
            lambda: chance.uniform(0.0, 0.1),
            lambda: self.latency * chance.uniform(0.5, 1.5),
        )
        if self.others:
            sim.others(lambda: self.others, 0.0, 1e9)
        forecast = Forecast(0.0, limit, limit.open_to(Lane.BULK))
        left = iter(range(self.rows))

        def again() -> bool:
            if sim.sent[-1].admitted:
                forecast.finished(sim.now)
            else:
                return True  # tried again, like a row that was refused with 429
            return next(left, None) is not None

        for _ in range(min(self.concurrency, self.rows)):
            next(left)
            sim.call(0.0, Lane.BULK, again)
        told: list[tuple[float, float]] = []
        while forecast.done < self.rows:
            sim.run(sim.now + every)
            guess = forecast.left(self.rows - forecast.done, sim.now)
            if guess is not None and sim.now > 60 and forecast.done < self.rows:
                told.append((sim.now, guess))
        done = sorted(sent.answered for sent in sim.sent if sent.admitted)
        return told, done[-1]


CASES: dict[str, Run] = {
    "live": Run(2_000, 160, 0.3),
    "sandbox": Run(500, 50, 0.3),
    "a whole number of windows": Run(144 * 10, 160, 0.2),
    "one more": Run(144 * 10 + 1, 160, 0.2),
    "slow answers": Run(2_000, 160, 4.0),
    "one at a time, the server is what holds it up": Run(400, 160, 1.5, concurrency=1),
    "many at a time": Run(1_500, 160, 0.1, concurrency=40),
    "others use half": Run(1_000, 160, 0.3, others=0.75),
    "a large window": Run(3_000, 300, 0.2, concurrency=16),
}


@pytest.mark.parametrize("name", CASES)
def test_right_within_a_tenth(name: str) -> None:
    """After the first minute, every forecast is right within 10 %, or within one window."""
    told, end = CASES[name].guesses()
    assert len(told) >= 3
    for now, guess in told:
        # Near the end, what is left comes in one burst or the next.
        assert abs(now + guess - end) <= max(0.1 * (end - now), 6.0), (now, guess, end - now)


def test_the_first_burst_is_no_measure() -> None:
    """While the first window is filled, its speed doesn't promise an early end."""
    forecast = Forecast(0.0, RateLimit(160), 144)
    for number in range(50):
        forecast.finished(number * 0.1)
    left = forecast.left(9_950, 5.0)
    assert left is not None
    assert left == pytest.approx(9_950 / 144 * 60, rel=0.05)


def steady(rate: Callable[[float], float], seconds: float) -> Forecast:
    """A run without a window that finishes rows at some speed."""
    forecast, now = Forecast(0.0, None, 1), 0.0
    while now < seconds:
        now += 1 / rate(now)
        forecast.finished(now)
    return forecast


def test_without_a_window() -> None:
    """Without a limit, the speed of late is the measure, not that of long ago."""
    slower = steady(lambda now: 100.0 if now < 100 else 10.0, 400)
    left = slower.left(1_000, 400.0)
    assert left == pytest.approx(100, rel=0.1)
    assert slower.rate(400.0) == pytest.approx(600, rel=0.1)


def test_nothing_is_known_at_first() -> None:
    """Before the first answer nobody knows; when nothing is left, it takes no time."""
    forecast = Forecast(0.0, RateLimit(160), 144)
    assert forecast.left(5, 1.0) is None
    assert forecast.left(0, 1.0) == 0.0
    assert forecast.in_window(1.0) == 0
    forecast.finished(1.0)
    assert forecast.in_window(2.0) == 1
    assert forecast.in_window(62.0) == 0


@pytest.mark.parametrize("speed", [20, 300, 2_000])
@pytest.mark.parametrize("limit", [6_000, 60_000, 1_000_000])
def test_a_limit_that_is_never_reached(limit: int, speed: int) -> None:
    """Where the window has room for more than can be sent, the speed seen is the measure."""
    forecast, rows = Forecast(0.0, RateLimit(limit), int(0.9 * limit)), min(20 * speed, limit // 2)
    for number in range(1, rows + 1):
        now = number / speed
        forecast.finished(now)
        if now >= 1 and number % (speed // 4) == 0:
            left = forecast.left(rows - number, now)
            assert left == pytest.approx((rows - number) / speed, rel=0.15, abs=0.3)


def test_a_large_window_and_more_rows_than_it_holds() -> None:
    """Before the first period is over, a speed below what the window allows is believed."""
    forecast = Forecast(0.0, RateLimit(60_000), 54_000)
    for number in range(1, 3_001):
        forecast.finished(number / 100)
    assert forecast.left(97_000, 30.0) == pytest.approx(970, rel=0.1)
