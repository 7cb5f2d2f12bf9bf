"""Clocks that stand still until a test moves them, for the servers of stores too.

A server's clock is read in one place of what the store has it do. Here that place reads a
value that the test sets: a key of Valkey, a row of PostgreSQL. How long Valkey keeps a key is
its own affair, so all keys age when the clock is moved. That the server's real clock is read
otherwise is for ``TestTime`` of each store, and for the soak, where no clock stands still.
"""

import atexit
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from support.servers import empty_postgres, empty_redis, postgres_server, postgres_url

from frame_async.testing.store_conformance import HandClock

if TYPE_CHECKING:
    from frame_async.stores import Store


_KEY = "the clock of a test"


def micro(clock: HandClock) -> int:
    """Its time in microseconds, as servers have it."""
    return round(clock.seconds * 1e6)


@define
class RedisClock(HandClock):
    """The clock of a Valkey server that holds nothing else."""

    url: str = field(factory=empty_redis)

    def __attrs_post_init__(self) -> None:
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Move it, and let all keys grow older."""
        import redis

        self.seconds += seconds
        with redis.Redis.from_url(self.url) as server:
            for key in server.scan_iter() if seconds else ():
                left: Any = server.pttl(key)
                if left > 0:
                    server.pexpire(key, max(0, left - round(seconds * 1000)))
            server.set(_KEY, micro(self))

    def open(self) -> "Store":
        """A store on the server, for which this is the time."""
        from frame_async.stores._redis_scripts import CLOCK, Script
        from frame_async.stores.redis import RedisStore

        @cache
        def by_hand(script: Script) -> Script:
            assert CLOCK in script.text
            stands = f"local now = tonumber(redis.call('GET', '{_KEY}'))\n"
            return evolve(script, text=script.text.replace(CLOCK, stands))

        class HandRedisStore(RedisStore):
            async def _ask(self, script: Script, *arguments: Any) -> object:
                return await super()._ask(by_hand(script), *arguments)

        return HandRedisStore(self.url, timeout=60)


@cache
def _hand_postgres() -> tuple[str, Any]:
    """The URL of a database of this run's server whose clock is a row, and a connection."""
    import psycopg

    from frame_async.stores import _postgres_schema
    from frame_async.stores.postgres import PostgresStore

    url = postgres_url(postgres_server())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE hand")
    reads = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    assert reads in _postgres_schema.CLOCK
    url = postgres_url(postgres_server(), "hand")
    hand = psycopg.connect(url, autocommit=True)
    atexit.register(hand.close)
    hand.execute("CREATE TABLE hand (clock bigint); INSERT INTO hand VALUES (0)")
    hand.execute(PostgresStore.SCHEMA)
    stands: Any = _postgres_schema.CLOCK.replace(reads, "clock FROM hand")
    hand.execute(stands)
    return url, hand


@define
class PostgresClock(HandClock):
    """The clock of an empty database."""

    url: str = field(factory=lambda: empty_postgres(_hand_postgres()[0]))

    def __attrs_post_init__(self) -> None:
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Move it."""
        self.seconds += seconds
        _hand_postgres()[1].execute("UPDATE hand SET clock = %s", [micro(self)])
