"""A fleet in this process: on a database and an emulator, and its rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.fleet import Fleet, open_fleet

KEY = "sk_sandbox_fleet_SECRETSECRET"
QUICK: dict[str, Any] = {"stalled_after": 1.5, "attempt_timeout": 5.0}


@asynccontextmanager
async def fleet_on(
    url: str, emulator: Emulator, key: str = KEY, **settings: Any
) -> AsyncIterator[Fleet]:
    """A fleet on that database and emulator."""
    options = QUICK | {"rate_limit": None} | settings
    async with open_fleet(url, api_key=key, base_url=emulator.base_url, **options) as fleet:
        yield fleet


def asking(*references: str, **fields: Any) -> list[PaymentLinkSessionRequest]:
    """Requests with those references."""
    return [
        PaymentLinkSessionRequest(
            client_reference_id=reference, line_items=[LineItem(product="prod_1")], **fields
        )
        for reference in references
    ]


async def drained(fleet: Fleet) -> None:
    """Work until there is nothing left, which must not take for ever."""
    async with asyncio.timeout(90):
        fleet.work.stopping.clear()
        await fleet.run_worker(drain=True)


async def asked(url: str, statement: str) -> list[Any]:
    """What the database says."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(statement.encode())
        return list(await found.fetchall()) if found.description else []


async def until_true(condition: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # no event of ours
            await asyncio.sleep(0.02)
