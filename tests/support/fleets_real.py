"""The fleet of `support.simulated_fleets` in real processes, before a store and the emulator."""

import time
from typing import Any

from support.servers import empty_postgres, empty_redis
from support.simulated_fleets import Fleet, share_of
from support.store_workers import command, started

from frame_async.protocol.window import Lane, RateLimit
from frame_async.testing import EmulatorThread


def operations(kind: str, address: str) -> int:
    """How many operations a server has done so far."""
    if kind == "redis":
        import redis

        with redis.Redis.from_url(address) as connection:
            counted: Any = connection.info("commandstats")
            return int(counted.get("cmdstat_evalsha", {}).get("calls", 0))
    import psycopg

    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT sum(calls) FROM pg_stat_user_functions").fetchone()
        return int(found[0] or 0) if found else 0


def run_really(kind: str, asked: Fleet, warm_up: float, until: float) -> tuple[float, float]:
    """Real processes before a real store: share of what is allowed, and operations a call."""
    address = {"redis": empty_redis, "postgres": empty_postgres}[kind]()
    per, (least, most) = asked.limit.per, asked.latency
    latency = f"uniform({least * 1000:g}ms, {most * 1000:g}ms)"
    with EmulatorThread(limit=asked.limit.requests, period=per, latency=latency) as emulator:
        numbers = (emulator.base_url, asked.limit.requests, per, asked.callers)
        work = command("calls", kind, address, *numbers)
        with started([work] * asked.workers) as workers:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            time.sleep(warm_up)
            first, before = time.time(), operations(kind, address)
            time.sleep(until - warm_up)
            last, after = time.time(), operations(kind, address)
        entries = [entry for entry in emulator.ledger if entry.status == 201]
    times = [entry.received for entry in entries]
    within = sum(first <= when < last for when in times)
    share = share_of([when for when in times if when < last], asked.limit.requests, per)
    return share, (after - before) / max(1, within)


SMALL = Fleet(
    workers=4,
    callers=16,
    limit=RateLimit(40, 1.5),
    lane=Lane.INTERACTIVE,
    latency=(0.05, 0.1),
    start=0.2,
)
"""What four processes do in a few seconds."""
