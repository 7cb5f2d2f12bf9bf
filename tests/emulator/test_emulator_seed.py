"""Runs that repeat, limits that hold memory flat, and how full the windows were."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from frame_async.emulator import Emulator
from frame_async.emulator.api.keys import KeyNames
from frame_async.emulator.state.clocks import FURTHEST, MovableClock
from frame_async.emulator.state.idempotency import Idempotency
from frame_async.emulator.state.randomness import Randomness
from frame_async.emulator.state.windows import Usage, Windows

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]


@pytest.mark.parametrize("seed", [7, "a run"])
async def test_a_seed_repeats_a_run(
    connect: Connect, order: dict[str, Any], seed: int | str
) -> None:
    """The same requests in the same order get the same ids, latencies and faults."""
    runs: list[Any] = []
    for _ in range(2):
        emulator = Emulator(seed=seed, latency="uniform(0ms, 2ms)", clock=lambda: 1_800_000_000.0)
        async with emulator, connect(emulator) as http:
            emulator.add_fault("refuse", probability=0.4)
            for _ in range(8):
                await http.get("/_emulator/snapshot")
                await http.post(PATH, json=order)
        runs.append(emulator.ledger)
    assert runs[0] == runs[1]
    assert len({entry.request_id for entry in runs[0]}) == 8
    assert len({entry.latency for entry in runs[0]}) == 8


async def test_without_a_seed_no_run_is_like_another(
    connect: Connect, order: dict[str, Any]
) -> None:
    """Ids differ from run to run, and from seed to seed."""
    ids: set[str] = set()
    for seed in (None, None, 1, 2, "1"):
        async with Emulator(seed=seed) as emulator, connect(emulator) as http:
            await http.post(PATH, json=order)
            ids |= {*emulator.created(), emulator.ledger[0].request_id}
    assert len(ids) == 10


def test_purposes_have_sources_of_their_own() -> None:
    """What one purpose draws changes nothing for another."""
    first, second = Randomness(1), Randomness(1)
    first.latency.random()
    assert first.session_ids() == second.session_ids()
    assert first.source("a").random() != first.source("b").random()
    assert first.source("a").random() == second.source("a").random()
    assert Randomness().source("a").random() != Randomness().source("a").random()


async def test_sessions_can_be_bounded(connect: Connect, order: dict[str, Any]) -> None:
    """With a limit the oldest sessions go, from the list of their reference too."""
    async with Emulator(session_limit=2) as emulator, connect(emulator) as http:
        made: list[str] = []
        for reference in ("a", "a", "b", "a"):
            body = order | {"client_reference_id": reference}
            made.append((await (await http.post(PATH, json=body)).json())["id"])
        assert emulator.created() == (made[2], made[3])
        assert (emulator.created("a"), emulator.created("b")) == ((made[3],), (made[2],))
        assert (await http.get(f"/pay/{made[0]}")).status == 404
        await http.post(PATH, json=order)
        await http.post(PATH, json=order)
        assert emulator.created("a") == ()
        assert emulator._state.sessions._by_reference == {}


def test_idempotency_keys_can_be_bounded() -> None:
    """With a limit the oldest keys are forgotten."""
    keys = Idempotency(limit=2)
    records = [keys.claim("key", [name], b"{}") for name in "abc"]
    assert len(keys._records) == 2
    assert keys.claim("key", ["a"], b"other") is not records[0]


def test_windows_of_keys_that_left_are_dropped() -> None:
    """A million keys that are each used once do not stay in memory."""
    windows = Windows(1, 60.0, count_refused=False)
    for number in range(5000):
        assert windows.enter(f"key {number}", PATH, float(number)) == 0
    assert len(windows._windows) < 1200
    assert windows.enter("key 4999", PATH, 5000.0) > 0


def test_a_longer_period_holds_what_is_inside() -> None:
    """A change of limit and period counts for entries that are inside at the time."""
    windows = Windows(2, 10.0, count_refused=False)
    assert [windows.enter("k", PATH, now) for now in (0.0, 1.0)] == [0, 0]
    windows.change(2, 20.0)
    assert windows.enter("k", PATH, 15.0) == 5.0
    windows.change(3, 20.0)
    assert windows.enter("k", PATH, 15.0) == 0
    windows.change(None, 20.0)
    assert windows.enter("k", PATH, 15.0) == 0
    windows.change(1, 20.0)
    assert windows.enter("k", PATH, 15.0) == 0


def test_usage_is_the_window_over_time() -> None:
    """Each step tells how many requests of the last period were inside at its end."""
    usage = Usage(60.0)
    for second in range(600):
        usage.note("k", "key", second + 0.5, accepted=second % 10 == 0)
    (series,) = usage.series(599.5)
    assert len(series.accepted) == len(series.refused) == 120
    assert series.accepted[-1] == 6
    assert series.accepted[0] == 1
    assert series.accepted[30:] == (6,) * 90
    assert series.refused[-1] in (4, 5)
    assert sum(series.refused) == 540
    assert usage.series(599.5 + 400)[0].accepted[-1] == 0
    assert usage.series(599.5 + 3600) == ()


def test_usage_remembers_the_keys_used_most_recently() -> None:
    """Many keys do not fill the memory, and the busiest come first."""
    usage = Usage(60.0)
    for number in range(100):
        usage.note(f"k{number}", f"key {number}", float(number) / 10, accepted=True)
    usage.note("k99", "key 99", 10.0, accepted=True)
    series = usage.series(10.0)
    assert (len(series), series[0].label) == (32, "key 99")
    usage.change(1.0)
    assert usage.series(10.0) == ()
    assert usage.width == 1 / 60


def test_key_names_tell_nothing_of_keys() -> None:
    """A name is always the same, differs between emulators, and has nothing of its key."""
    names, others = KeyNames(), KeyNames()
    name = names.of("sk_sandbox_1")
    assert name == names.of("sk_sandbox_1") != names.of("sk_sandbox_2")
    assert name != others.of("sk_sandbox_1")
    assert "sandbox" not in name
    others.restore(names.salt)
    assert others.of("sk_sandbox_1") == name
    for number in range(3000):
        names.of(f"sk_sandbox_x{number}")
    assert len(names._names) <= 1024
    assert names.of("sk_sandbox_1") == name


def test_clocks_only_move_forward() -> None:
    """An advance is finite, not negative, and ends ten years ahead."""
    clock = MovableClock(lambda: 100.0)
    clock.advance(5)
    clock.advance(0)
    assert clock() == 105.0
    for seconds in (-1, float("nan"), float("inf"), FURTHEST):
        with pytest.raises(ValueError, match="seconds"):
            clock.advance(seconds)
    assert clock() == 105.0


@pytest.mark.parametrize(
    ("options", "error"), [((0,), ValueError), (("5",), TypeError), ((5, 0), ValueError)]
)
def test_new_limits_are_checked(options: tuple[Any, ...], error: type[Exception]) -> None:
    """A bad limit changes nothing."""
    emulator = Emulator(limit=3)
    with pytest.raises(error):
        emulator.change_limit(*options)
    assert (emulator.limit, emulator.period) == (3, 60.0)
