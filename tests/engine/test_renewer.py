"""Claims of calls that take long are renewed, by one task for all of them."""

import asyncio
from pathlib import Path
from typing import Any, cast

from support.clients import attempt
from support.clock import FastClock
from support.faults import FaultServer, Wire, framed

from frame_async import FrameClient, PaymentLinkSession, PaymentLinkSessionRequest
from frame_async.engine.clock import SystemClock
from frame_async.engine.idempotency import Claim, Renewer
from frame_async.errors import CallInFlightError, StoreError
from frame_async.stores import Store

LEASE = 0.6


async def slowly(wire: Wire) -> None:
    """Answer after more than two leases."""
    while await wire.read_request():
        await asyncio.sleep(2.5 * LEASE)
        await wire.send(framed(wire.create()))


def beating() -> int:
    """How many tasks renew claims now."""
    return sum("Renewer._keep_renewing" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def test_a_call_that_outlasts_its_lease_keeps_its_key(
    order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """However long a call takes, its key is in flight for everybody else, and so for many calls."""
    store = f"sqlite:///{tmp_path}/store.db"
    async with (
        FaultServer.playing(slowly) as server,
        FrameClient("sk_sandbox_1", base_url=server.url, store=store, claim_lease=LEASE) as here,
        FrameClient("sk_sandbox_1", base_url=server.url, store=store, claim_lease=LEASE) as there,
    ):
        calls = [asyncio.create_task(attempt(here, order, f"k{n}")) for n in range(20)]
        await asyncio.sleep(2 * LEASE)
        tasks = beating()
        early = await attempt(there, order, "k0", timeout=0.1)
        ended = await asyncio.gather(*calls)
        await asyncio.sleep(0)
        assert (tasks, beating()) == (1, 0)
    assert type(early) is CallInFlightError
    assert all(isinstance(one, PaymentLinkSession) for one in ended)
    assert len(server.created) == 20


class Renewals:
    """Stands for a store that notes who renews, and answers as it is told."""

    def __init__(self, *answers: bool | StoreError) -> None:
        self.names: list[str] = []
        self._answers = list(answers)

    async def renew(self, name: str, *_: object) -> bool:
        self.names.append(name)
        answer = self._answers.pop(0) if self._answers else True
        if isinstance(answer, StoreError):
            raise answer
        return answer


def held(store: Renewals, name: str) -> Claim:
    return Claim(cast("Store", cast("Any", store)), name, "token", 30.0, 1)


async def test_a_lost_claim_is_not_renewed_again() -> None:
    """Who lost a claim leaves it alone; a store that can't answer is asked again."""
    lost, troubled = Renewals(False), Renewals(StoreError("no"))
    heart = Renewer(SystemClock(), 0.02)
    heart.start(held(lost, "lost"))
    heart.start(still := held(troubled, "troubled"))
    async with asyncio.timeout(30):
        while len(troubled.names) < 3:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    heart.stop(still)
    assert lost.names == ["lost"]


async def test_after_a_long_pause_each_claim_is_renewed_once() -> None:
    """A process that was suspended doesn't make up for the renewals that it missed."""
    store, clock = Renewals(), FastClock()
    heart = Renewer(clock, 10.0)
    heart.start(kept := held(store, "kept"))
    began = clock.monotonic()
    clock._ahead += 100_000.0
    async with asyncio.timeout(30):
        while not store.names:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
    (due,) = heart._due.values()
    heart.stop(kept)
    assert due > began + 100_000.0


def test_what_another_event_loop_left_is_let_go() -> None:
    """On a new event loop, such as a forked child's, only the claims made there are renewed."""
    store, heart = Renewals(), Renewer(SystemClock(), 0.02)
    ours = held(store, "here")

    async def begin() -> None:
        heart.start(held(store, "there"))  # and nobody stops it: its process was forked

    async def go_on() -> None:
        heart.start(ours)
        async with asyncio.timeout(30):
            while not store.names:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        heart.stop(ours)

    asyncio.run(begin())
    asyncio.run(go_on())
    assert set(store.names) == {"here"}
