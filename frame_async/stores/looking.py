"""What a store runs on, and what of its settings may lose what it has to remember."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, cast

from attrs import field, frozen

from frame_async.secret import Secret


@frozen
class StoreSettings:
    """What was found."""

    says: str
    """The server and its settings, in a few words."""
    risks: tuple[str, ...] = field(factory=tuple[str, ...])
    """What may lose keys, each with its fix."""


_UNKNOWN: Final = StoreSettings("settings unknown")


async def look_at(url: Secret[str]) -> StoreSettings:
    """The settings of the store that a URL names; it is one that was opened before."""
    kind = url.reveal().partition(":")[0]
    with suppress(Exception):  # a user who may not ask for settings may use the store all the same
        if kind == "sqlite":
            path = Path(url.reveal().removeprefix("sqlite:///"))
            return await asyncio.to_thread(_sqlite, path)
        if kind in ("redis", "rediss", "unix"):
            return await _redis(url)
        if kind in ("postgresql", "postgres"):
            return await _postgres(url)
    return _UNKNOWN


def _sqlite(path: Path) -> StoreSettings:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    size = path.stat().st_size / 1024
    said = f"SQLite {sqlite3.sqlite_version}, journal {mode}, {size:,.0f} KiB"
    return StoreSettings(said)


async def _redis(url: Secret[str]) -> StoreSettings:
    from redis.asyncio import Redis  # noqa: PLC0415

    client = cast("Any", Redis).from_url(url.reveal())
    try:
        found: Mapping[str, Any] = await client.info("everything")
    finally:
        await client.aclose()
    policy, saved = str(found.get("maxmemory_policy", "?")), bool(found.get("aof_enabled"))
    name = "Valkey" if "valkey_version" in found else "Redis"
    number = found.get("valkey_version", found.get("redis_version", "?"))
    said = f"{name} {number}, {policy}, {'append-only file' if saved else 'no append-only file'}"
    risks = list[str]()
    if found.get("maxmemory") and policy != "noeviction":
        risks.append("keys may be evicted: set maxmemory-policy noeviction")
    if not saved:
        risks.append("a restart forgets the newest keys: set appendonly yes")
    return StoreSettings(said, tuple(risks))


async def _postgres(url: Secret[str]) -> StoreSettings:
    from psycopg import AsyncConnection  # noqa: PLC0415

    async with await AsyncConnection.connect(url.reveal(), autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'),"
            " current_setting('full_page_writes'), pg_is_in_recovery()"
        )
        row = await cursor.fetchone()
    if row is None:
        return _UNKNOWN
    version, fsync, pages, standby = row
    risks = list[str]()
    if standby:
        risks.append("it is a standby, which takes no writes: name the primary")
    if fsync != "on" or pages != "on":
        risks.append("a crash of the server may lose keys: set fsync and full_page_writes on")
    return StoreSettings(f"PostgreSQL {version}, fsync {fsync}", tuple(risks))
