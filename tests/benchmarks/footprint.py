"""What a worker, a remembered key and a queued job take up, in real stores.

Run it with ``PYTHONPATH=tests:. python tests/benchmarks/footprint.py``. Sizes don't depend
on how busy the machine is. Valkey and PostgreSQL come from wheels, with their defaults.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import procrastinate
import psycopg
import redis
from support.servers import empty_postgres, empty_redis
from support.store_workers import environment
from support.stores import store_url

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.testing import EmulatorThread

CALLS: Final = 3_000
ORDER: Final = {
    "customer_email": "payer@shop.example",
    "client_reference_id": "order-1234567",
    "success_url": "https://shop.example/thanks?order=1234567",
    "cancel_url": "https://shop.example/basket",
    "line_items": [{"product": "prod_0123456789", "quantity_minimum": 1}],
}

WORKER: Final = """
import asyncio, re, sys
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest

async def main():
    order = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
    async with FrameClient(
        "sk_sandbox_x", base_url=sys.argv[1], store=sys.argv[2] or None, rate_limit=None
    ) as frame:
        create = frame.payment_link_sessions.create
        await asyncio.gather(*(create(order, idempotency_key=f"{n}") for n in range(16)))
        print(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])

asyncio.run(main())
"""


def order(number: int) -> PaymentLinkSessionRequest:
    """A request as shops make them."""
    return PaymentLinkSessionRequest(
        customer_email="payer@shop.example",
        client_reference_id=f"order-{number:07}",
        success_url=f"https://shop.example/thanks?order={number:07}",
        cancel_url="https://shop.example/basket",
        line_items=[LineItem(product="prod_0123456789", quantity_minimum=1)],
    )


async def remember(url: str, emulator: EmulatorThread) -> None:
    """Many calls with keys of their own, through a client."""
    async with FrameClient(
        emulator.api_key, base_url=emulator.base_url, store=url, rate_limit=None
    ) as frame:
        create = frame.payment_link_sessions.create
        for first in range(0, CALLS, 8):  # few at a time, so that a busy machine keeps up
            await asyncio.gather(
                *(
                    create(order(n), idempotency_key=f"order-{n:07}")
                    for n in range(first, first + 8)
                )
            )


def value(url: str, statement: str) -> Any:
    """The one value that a statement gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def keys(emulator: EmulatorThread) -> None:
    """Bytes for each remembered key."""
    folder = Path(tempfile.mkdtemp(prefix="frame-async-bench-"))
    asyncio.run(remember(store_url("sqlite", str(folder / "keys")), emulator))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"a key in sqlite: {size / CALLS:,.0f} bytes")

    address = empty_redis()
    with redis.Redis.from_url(address) as server:
        before: Any = server.info("memory")
        asyncio.run(remember(address, emulator))
        after: Any = server.info("memory")
    print(f"a key in redis: {(after['used_memory'] - before['used_memory']) / CALLS:,.0f} bytes")

    address = empty_postgres()
    written = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
    begin = value(address, written)
    asyncio.run(remember(address, emulator))
    log = value(address, written) - begin
    size = value(address, "SELECT pg_total_relation_size('frame_async_keys')")
    print(f"a key in postgres: {size / CALLS:,.0f} bytes, {log / CALLS:,.0f} bytes of its log")


def workers(emulator: EmulatorThread) -> None:
    """Memory of a worker after 16 calls at a time."""
    addresses: dict[str, Callable[[], str]] = {
        "memory": str,
        "redis": empty_redis,
        "postgres": empty_postgres,
    }
    for kind, address in addresses.items():
        command = [sys.executable, "-c", WORKER, emulator.base_url, address()]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment()
        )
        print(f"a worker, {kind}: {int(done.stdout) / 1024:.0f} MiB")


async def defer(url: str) -> None:
    """Many jobs, each with a row of a file."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        job = app.configure_task("row", queue="run-1", queueing_lock=None)
        rows: list[dict[str, Any]] = [{"row": n, "order": ORDER} for n in range(CALLS)]
        await job.batch_defer_async(*rows)


def jobs() -> None:
    """Bytes for each job in procrastinate's tables."""
    address = empty_postgres()
    asyncio.run(defer(address))
    size = sum(
        value(address, f"SELECT pg_total_relation_size('procrastinate_{table}')")
        for table in ("jobs", "events")
    )
    print(f"a job in procrastinate, waiting: {size / CALLS:,.0f} bytes")


def main() -> None:
    """Print all of it."""
    with EmulatorThread(limit=None) as emulator:
        keys(emulator)
        workers(emulator)
    jobs()


if __name__ == "__main__":
    main()
