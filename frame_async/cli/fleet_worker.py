"""``frame-async worker``: rows of a queue, worked off until a signal comes."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from frame_async.cli.bulk_screen import Screen
from frame_async.cli.guard import guarded, needing_procrastinate
from frame_async.cli.stops import listening
from frame_async.protocol.dispositions import ExitStatus
from frame_async.protocol.window import RateLimit

if TYPE_CHECKING:
    from frame_async.fleet import Fleet

_OTHERS: Final = ("procrastinate", "psycopg", "psycopg.pool")
"""They log tracebacks of what is waited for; what matters of it, we say ourselves."""


@frozen(kw_only=True)
class Worker:
    """The options as they were given."""

    queue: str = field(repr=False)
    store: str | None = field(repr=False)
    proxy: str | None = field(repr=False)
    limit: int | None
    period: float
    concurrency: int
    attempt_timeout: float
    stalled_after: float
    grace: float
    drain: bool
    every: float
    verbose: bool


def run_worker(worker: Worker) -> int:
    """Work off rows; the exit status."""
    screen = Screen(sys.stderr, worker.every)
    for name in _OTHERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("frame_async").setLevel(logging.WARNING if worker.verbose else logging.ERROR)
    return guarded("frame-async worker", lambda: asyncio.run(_go(worker, screen)), screen)


async def _go(worker: Worker, screen: Screen) -> int:
    with needing_procrastinate():
        from frame_async.fleet import open_fleet
    with listening(screen.say) as stops:
        async with open_fleet(
            worker.queue,
            store=worker.store,
            proxy=worker.proxy,
            rate_limit=_limit(worker),
            attempt_timeout=worker.attempt_timeout,
            stalled_after=worker.stalled_after,
        ) as fleet:
            screen.say(f"working on {fleet.queue}, {worker.concurrency} rows at a time")
            stops.attach(fleet.stop)
            async with _watch(fleet, screen):
                await fleet.run_worker(
                    concurrency=worker.concurrency, grace=worker.grace, drain=worker.drain
                )
            screen.say(f"{fleet.work.ended:,} rows got their result here")
            if fleet.halted:
                screen.say(f"frame-async worker: {fleet.halted}")
                return ExitStatus.STOPPED
            return 0


def _limit(worker: Worker) -> RateLimit | Literal["mode"] | None:
    if worker.limit is None:
        return "mode"
    return RateLimit(worker.limit, worker.period) if worker.limit else None


@asynccontextmanager
async def _watch(fleet: "Fleet", screen: Screen) -> AsyncGenerator[None]:
    """Say now and then how it goes."""
    showing = asyncio.create_task(_show(fleet, screen))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _show(fleet: "Fleet", screen: Screen) -> None:
    while True:
        await asyncio.sleep(screen.every)
        work = fleet.work
        parts = [f"{work.ended:,} rows done here", f"{len(work.in_hand)} in progress"]
        if work.put_off:
            parts.append(f"{work.put_off:,} times put off")
        if work.outage.why:
            parts.append(f"no answer: {work.outage.why}")
        screen.say(", ".join(parts))
