"""The rolling window: the rule itself, and what a client sees of it."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_async.emulator import Emulator
from frame_async.emulator.state.windows import KeyWindow, Windows

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]

# Quarters are exact in binary, so that the model and the code agree to the bit.
STEPS = st.lists(st.integers(0, 12).map(lambda n: n / 4), max_size=60)
LIMITS = st.integers(1, 5)
PERIODS = st.integers(1, 16).map(lambda n: n / 4)


def arrivals(steps: list[float]) -> list[float]:
    """Turn the pauses between requests into the times of requests."""
    now, times = 1000.0, []
    for step in steps:
        now += step
        times.append(now)
    return times


@settings(deadline=None)  # a busy machine is no failure
@given(STEPS, LIMITS, PERIODS, st.booleans())
def test_window_does_as_a_brute_force_model(
    steps: list[float], limit: int, period: float, count_refused: bool
) -> None:
    """A request enters exactly when fewer than `limit` entries are younger than `period`."""
    window = KeyWindow(limit, period, count_refused)
    inside: list[float] = []
    for now in arrivals(steps):
        free = sum(now - entry < period for entry in inside) < limit
        assert (window.enter(now) == 0) is free
        if free or count_refused:
            inside.append(now)


@settings(deadline=None)  # a busy machine is no failure
@given(STEPS, LIMITS, PERIODS)
def test_no_stretch_holds_more_than_the_limit(
    steps: list[float], limit: int, period: float
) -> None:
    """In no half-open stretch as long as the period are more than `limit` accepted."""
    window = KeyWindow(limit, period)
    accepted = [now for now in arrivals(steps) if window.enter(now) == 0]
    for start in accepted:
        assert sum(start <= time < start + period for time in accepted) <= limit


@settings(deadline=None)  # a busy machine is no failure
@given(STEPS, LIMITS, PERIODS, st.booleans())
def test_wait_is_exact(steps: list[float], limit: int, period: float, count_refused: bool) -> None:
    """After the wait that a refusal tells there is a place, and a quarter earlier none."""
    window = KeyWindow(limit, period, count_refused)
    waits = [(now, window.enter(now)) for now in arrivals(steps)]
    if waits and waits[-1][1]:
        now, wait = waits[-1]
        assert 0 < wait <= period
        if not count_refused and wait > 0.25:
            assert window.enter(now + wait - 0.25) == 0.25
        assert window.enter(now + wait) == 0


def test_place_falls_free_at_the_period_not_before() -> None:
    """An entry is inside just before `period` seconds have passed, and gone at that moment."""
    window = KeyWindow(1, 60.0)
    assert window.enter(100.0) == 0
    assert window.enter(159.75) == 0.25
    assert window.enter(160.0) == 0


def test_refused_requests_may_prolong_the_wait() -> None:
    """When refused requests count, knocking every second keeps the door shut."""
    window = KeyWindow(1, 10.0, count_refused=True)
    assert window.enter(0.0) == 0
    assert [window.enter(float(now)) for now in range(1, 30)] == [10.0] * 29


def test_keys_and_endpoints_have_windows_of_their_own() -> None:
    """What one key does on one endpoint takes no place from another key or endpoint."""
    windows = Windows(1, 60.0, count_refused=False)
    assert windows.enter("a", "/x", 0.0) == 0
    assert windows.enter("a", "/y", 0.0) == 0
    assert windows.enter("b", "/x", 0.0) == 0
    assert windows.enter("a", "/x", 0.0) == 60.0


async def statuses(http: aiohttp.ClientSession, count: int, body: Any) -> list[int]:
    """Send a body some times, one after the other, and return what was answered."""
    return [(await http.post(PATH, json=body)).status for _ in range(count)]


async def test_over_the_limit_is_429_with_retry_after(
    connect: Connect, clock: Any, order: dict[str, Any]
) -> None:
    """The request over the limit gets 429, the envelope, and whole seconds to wait."""
    async with Emulator(limit=2, clock=clock) as emulator, connect(emulator) as http:
        assert await statuses(http, 2, order) == [201, 201]
        clock.now += 0.5
        answer = await http.post(PATH, json=order)
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "60"
        assert await answer.json() == {
            "error": "Too Many Requests",
            "error_details": {"message": "More than 2 requests in 60 s with this key."},
        }
        assert len(emulator.created()) == 2


async def test_waiting_as_told_is_enough(
    connect: Connect, clock: Any, order: dict[str, Any]
) -> None:
    """A client that waits `Retry-After` is served; a moment before the period it is not."""
    async with Emulator(limit=1, period=1.5, clock=clock) as emulator, connect(emulator) as http:
        assert await statuses(http, 1, order) == [201]
        clock.now += 1.25
        answer = await http.post(PATH, json=order)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        clock.now += 0.25
        assert await statuses(http, 1, order) == [201]


async def test_retry_after_can_be_left_out(connect: Connect, order: dict[str, Any]) -> None:
    """With `retry_after=False` a 429 does not say how long to wait."""
    async with Emulator(limit=1, retry_after=False) as emulator, connect(emulator) as http:
        await statuses(http, 1, order)
        answer = await http.post(PATH, json=order)
        assert answer.status == 429
        assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(("count_refused", "last"), [(False, 201), (True, 429)])
async def test_refused_requests_count_only_when_asked(
    connect: Connect, clock: Any, order: dict[str, Any], count_refused: bool, last: int
) -> None:
    """A 429 in the middle of the window delays the next place only with `count_refused`."""
    emulator = Emulator(limit=1, period=10.0, count_refused=count_refused, clock=clock)
    async with emulator, connect(emulator) as http:
        assert await statuses(http, 1, order) == [201]
        clock.now += 5
        assert await statuses(http, 1, order) == [429]
        clock.now += 5
        assert await statuses(http, 1, order) == [last]


async def test_requests_with_bad_bodies_count(connect: Connect, order: dict[str, Any]) -> None:
    """An authenticated request takes a place even if it is refused for its body."""
    async with Emulator(limit=3) as emulator, connect(emulator) as http:
        assert (await http.post(PATH, data=b"{")).status == 415
        assert await statuses(http, 1, []) == [400]
        assert await statuses(http, 1, {}) == [422]
        assert await statuses(http, 1, order) == [429]


async def test_requests_without_a_good_key_do_not_count(
    connect: Connect, order: dict[str, Any]
) -> None:
    """A request that is refused with 401, and one elsewhere, takes no place in the window."""
    async with Emulator(limit=1) as emulator, connect(emulator) as http:
        for _ in range(3):
            bad = await http.post(PATH, json=order, headers={"Authorization": "Bearer pk_1"})
            assert bad.status == 401
            assert (await http.get("/v1/accounts")).status == 404
        assert await statuses(http, 2, order) == [201, 429]


async def test_each_key_has_its_own_limit(connect: Connect, order: dict[str, Any]) -> None:
    """One key at its limit does not slow another."""
    async with Emulator(limit=1) as emulator, connect(emulator) as http:
        assert await statuses(http, 2, order) == [201, 429]
        other = {"Authorization": "Bearer sk_sandbox_other"}
        assert (await http.post(PATH, json=order, headers=other)).status == 201


async def test_no_limit_when_none(connect: Connect, order: dict[str, Any]) -> None:
    """With `limit=None` the 51st request is as welcome as the first."""
    async with Emulator(limit=None) as emulator, connect(emulator) as http:
        assert await statuses(http, 60, order) == [201] * 60


async def test_default_is_the_sandbox_limit(connect: Connect, order: dict[str, Any]) -> None:
    """Unless told otherwise 50 requests a minute pass, as in Frame's sandbox."""
    async with Emulator() as emulator, connect(emulator) as http:
        assert await statuses(http, 51, order) == [201] * 50 + [429]
