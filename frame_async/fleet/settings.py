"""What a process of a fleet was given, and the client that follows from it."""

from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from attrs import frozen

from frame_async.bulk.permits import PermitStore
from frame_async.client import FrameClient
from frame_async.errors import ConfigurationError
from frame_async.fleet.runs import FleetRuns
from frame_async.fleet.work import FleetWork, Terms
from frame_async.protocol.credentials import Mode
from frame_async.protocol.window import LIVE, SANDBOX, RateLimit
from frame_async.secret import Secret
from frame_async.stores import Store, Window, open_store
from frame_async.stores.outages import outages
from frame_async.stores.postgres import PostgresStore

_YEAR: Final = 366 * 86_400.0
_MOST_AT_A_TIME: Final = 1_000
"""Rows in hand; how many there are is said to procrastinate."""


@frozen(kw_only=True)
class FleetSettings:
    """What a process of a fleet was given; times are in seconds."""

    store: Secret[str]
    api_key: Secret[str | None]
    base_url: str | None
    proxy: Secret[str | None]
    rate_limit: RateLimit | Literal["mode"] | None
    attempt_timeout: float
    stalled_after: float

    def limit(self, mode: Mode) -> RateLimit | None:
        """The rate window."""
        if self.rate_limit == "mode":
            return LIVE if mode is Mode.LIVE else SANDBOX
        return self.rate_limit

    def open(self, runs: FleetRuns, on_halt: Callable[[str], None]) -> tuple[FleetWork, Store]:
        """A client for this process and what it does with rows; and its store, to be closed.

        Raises:
            ConfigurationError: the API key, the address, the store or a number can't be used.
        """
        store = open_store(self.store)
        permits = PermitStore(store)
        client = FrameClient(
            self.api_key.reveal(),
            base_url=self.base_url,
            proxy=self.proxy.reveal(),
            store=permits,
            rate_limit=self.rate_limit,
            attempt_timeout=self.attempt_timeout,
            claim_lease=self.stalled_after,
            remember=_YEAR,
            max_in_flight=_MOST_AT_A_TIME,
        )
        limit = self.limit(client.mode)
        terms = Terms(
            window=Window(client.scope, limit) if limit else None,
            attempt_timeout=self.attempt_timeout,
            call_timeout=2 * (self.attempt_timeout + self.stalled_after),
        )
        return FleetWork(client, runs, permits, terms, on_halt), store


async def check_database(url: Secret[str]) -> None:
    """See that a database can be asked, or why not: a pool of connections would not say.

    Raises:
        ConfigurationError: it isn't the URL of a PostgreSQL database.
        StoreError: the database can't be asked.
    """
    if not url.reveal().startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("the URL of a queue must be postgresql:// or postgres://")
    store = open_store(url)
    try:
        await store.release("nobody's", "nobody's")
    finally:
        await store.aclose()


POOL: Final = outages.watch("frame_async queue")
"""The name of the pool of connections to a queue's database."""


def connection_options(url: Secret[str]) -> dict[str, Any]:
    """What each connection to a queue's database is opened with, whatever the environment says."""
    options: dict[str, Any] = {
        "fallback_application_name": "frame_async",
        "client_encoding": "utf8",
        "connect_timeout": 5,
    }
    if "options" not in parse_qs(urlsplit(url.reveal()).query):
        options["options"] = ""  # or those of PGOPTIONS would hold
    return options


async def configure(connection: Any) -> None:
    """Begin a session with the settings of the stores."""
    await connection.execute(PostgresStore.SETTINGS)
    await connection.commit()
    outages.over(POOL)
