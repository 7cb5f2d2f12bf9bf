"""Several processes on one store: each key once, never too many in the window."""

import asyncio
import time
from collections import Counter

from support.store_workers import command, started, told
from support.stores import BACKENDS

from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Done, InFlight, Window

PROCESSES = 4


def test_each_key_goes_to_one_process(shared_kind: str, shared_address: str) -> None:
    """Of four processes that claim the same 200 keys, each key goes to exactly one."""
    work = command("claims", shared_kind, shared_address, 200)
    claimed = Counter(told([work] * PROCESSES))
    assert claimed == {f"key {n}": 1 for n in range(200)}


def test_the_window_is_one_for_all(shared_kind: str, shared_address: str) -> None:
    """Four processes together never send more than the limit in any period, nor much less."""
    limit, period, seconds = 20, 0.5, 4.0
    work = command("requests", shared_kind, shared_address, limit, period, seconds)
    arrivals = sorted(float(line) for line in told([work] * PROCESSES))
    assert len(arrivals) > limit * seconds / period / 2
    closest = min(
        later - earlier for earlier, later in zip(arrivals, arrivals[limit:], strict=False)
    )
    # A server's clock may run a little faster than ours.
    assert closest >= period - 0.005


async def test_slots_of_the_dead_are_given_up(shared_kind: str, shared_address: str) -> None:
    """The slots of a process that was killed are free again after hold and period."""
    limit, period, hold = 3, 0.5, 1.5
    window = Window("w", RateLimit(limit, period))
    store = BACKENDS[shared_kind].open(shared_address, None)
    with started([command("hold", shared_kind, shared_address, limit, period, hold)]) as (worker,):
        assert worker.stdout is not None
        await asyncio.to_thread(worker.stdout.readline)
        since = time.monotonic()
        worker.kill()
    waits: list[float] = []
    while wait := await store.enter(window, "mine", Lane.INTERACTIVE, 30):
        waits.append(wait)
        await asyncio.sleep(0.02)
    # The first of the slots was taken a little before all were.
    assert 0.6 * (hold + period) < time.monotonic() - since < hold + period + 1
    assert max(waits) <= period + 0.001
    await store.aclose()


async def test_the_work_of_the_dead_is_known(shared_kind: str, shared_address: str) -> None:
    """What a killed process had completed is done, and what it had claimed is in flight."""
    store = BACKENDS[shared_kind].open(shared_address, None)
    with started([command("complete", shared_kind, shared_address, 1, 100_000)]) as (worker,):
        assert worker.stdout is not None
        done = [(await asyncio.to_thread(worker.stdout.readline)).strip() for _ in range(20)]
        worker.kill()
        worker.wait()
        done += worker.stdout.read().split()
    for key in done:
        assert isinstance(await store.claim(key, "a=1", 60), Done)
    pid, caller, turn = done[-1].split("-")
    following = await store.claim(f"{pid}-{caller}-{int(turn) + 1}", "a=1", 60)
    assert isinstance(following, InFlight | Done) or await store.release(
        f"{pid}-{caller}-{int(turn) + 1}", following.token
    )
    await store.aclose()
