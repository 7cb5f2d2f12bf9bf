"""Several processes on one store: each key once, never too many in the window."""

import asyncio
import logging
import os
import random
import time
from collections import Counter

import pytest
from attrs import define, field
from support.faults import FaultServer, Wire, framed, refusal
from support.rates import CountingServer
from support.store_workers import CALL_TIMEOUT, command, started, told
from support.stores import BACKENDS

from frame_async.engine.attempts import HOLD_MARGIN
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Done, InFlight, Window

SOAK = "FRAME_SOAK_KILLS" in os.environ
PROCESSES = 4 if SOAK else 3
KEYS = 200 if SOAK else 60

# What shares the machine leaves less of the window to be used.
pytestmark = [pytest.mark.alone] if SOAK else []


def test_each_key_goes_to_one_process(shared_kind: str, shared_address: str) -> None:
    """Of several processes that claim the same keys, each key goes to exactly one.

    FRAME_SOAK_KILLS makes them four, and 200 keys.
    """
    work = command("claims", shared_kind, shared_address, KEYS)
    claimed = Counter(told([work] * PROCESSES))
    assert claimed == {f"key {n}": 1 for n in range(KEYS)}


@define
class Gate:
    """Frame's window, from where it stands: counts what arrives, with jitter on the way."""

    counting: CountingServer
    arrivals: list[float] = field(factory=list[float])
    refused: int = 0
    lost: int = 0
    """Requests whose sender was gone when the answer came."""
    under_way: float = 0.0
    """Seconds that all others took there and back, together."""

    async def play(self, wire: Wire) -> None:
        """Serve one connection."""
        while await wire.read_request():
            began = time.monotonic()
            await asyncio.sleep(random.uniform(0, 0.25))
            self.arrivals.append(time.monotonic())
            admitted = self.counting.admit(self.arrivals[-1])
            await asyncio.sleep(random.uniform(0, 0.25))
            self.refused += not admitted
            self.lost += wire.reader.at_eof()
            self.under_way += time.monotonic() - began
            await wire.send(framed(wire.create()) if admitted else refusal("429 Too Many Requests"))

    async def seen(self, count: int) -> None:
        """Return once so many requests have arrived."""
        while len(self.arrivals) < count:  # noqa: ASYNC110  # few look, often
            await asyncio.sleep(0.05)

    def filled(self, cycles: int, hold: float) -> float:
        """What share the window was filled to over the last so many rounds of all slots.

        A slot's round is the period and the time of one exchange; one that was lost is
        back only after `hold`. Averaged over the slots, since they go round in bursts.
        """
        limit, period = self.counting.limit, self.counting.per
        latency = self.under_way / len(self.arrivals)
        times = sorted(self.arrivals)[-limit * (cycles + 1) :]
        pairs = zip(times, times[limit * cycles :], strict=False)
        spans = [later - first for first, later in pairs]
        rounds = sum(spans) / len(spans) / (period + latency)
        missed = self.lost * (hold - latency) / (period + latency)
        return (cycles * limit + missed) / (rounds * limit)


async def test_the_window_is_one_for_all(shared_kind: str, shared_address: str) -> None:
    """Processes with jitter, mad clocks and a kill -9 meet no 429, and fill the window.

    FRAME_SOAK_KILLS makes it a longer one, with Frame's limit, in which the window must be
    filled to 99 % of what latency leaves, and the slots that the killed process took along.
    Beside other tests, a third says that it isn't one caller after the other.
    """
    limit, period, cycles = (160, 20.0, 5) if SOAK else (30, 0.8, 2)
    callers = limit // PROCESSES + 4
    gate = Gate(CountingServer(limit, period))
    async with FaultServer.playing(gate.play) as server:
        work = command("calls", shared_kind, shared_address, server.url, limit, period, callers)
        with started([work] * PROCESSES) as workers:
            await gate.seen(int(1.5 * limit))
            workers[0].kill()
            await gate.seen((cycles + 2) * limit)
    filled = gate.filled(cycles, CALL_TIMEOUT + HOLD_MARGIN)
    logging.getLogger(__name__).info(
        "%s: %d requests, %d lost, window filled to %.1f %%",
        *(shared_kind, len(gate.arrivals), gate.lost, 100 * filled),
    )
    assert gate.refused == 0
    assert filled >= (0.99 if SOAK else 0.33)


async def test_slots_of_the_dead_are_given_up(shared_kind: str, shared_address: str) -> None:
    """The slots of a process that was killed are free again after hold and period."""
    limit, period, hold = 3, 0.5, 2.5
    window = Window("w", RateLimit(limit, period))
    store = BACKENDS[shared_kind].open(shared_address, None)
    with started([command("hold", shared_kind, shared_address, limit, period, hold)]) as (worker,):
        assert worker.stdout is not None
        since = float(await asyncio.to_thread(worker.stdout.readline))
        worker.kill()
    waits: list[float] = []
    async with asyncio.timeout(30):
        while wait := await store.enter(window, "mine", Lane.INTERACTIVE, 30):
            waits.append(wait)
            await asyncio.sleep(0.02)
    assert time.time() - since >= hold + period - 0.001
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
