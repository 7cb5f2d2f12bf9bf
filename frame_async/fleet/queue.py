"""Rows of bulk runs as jobs of procrastinate: the task, its retries, and workers."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal

import procrastinate
from procrastinate import exceptions, manager

from frame_async.errors import ConfigurationError, StoreError
from frame_async.fleet.enqueuing import Requests, enqueue
from frame_async.fleet.jobs import (
    LET_ANOTHER,
    SHORTEST_PAUSE,
    Connected,
    Manager,
    RowRetries,
    asked,
    give_back,
    words_of,
)
from frame_async.fleet.results import FleetResult, read_result
from frame_async.fleet.runs import Enqueued, FleetRun, FleetRuns, queue_of
from frame_async.fleet.schema import script
from frame_async.fleet.settings import (
    POOL,
    FleetSettings,
    check_database,
    configure,
    connection_options,
)
from frame_async.fleet.work import FleetWork, NotNowError
from frame_async.protocol.credentials import Mode
from frame_async.protocol.window import RateLimit
from frame_async.secret import Secret
from frame_async.stores import Store
from frame_async.stores.postgres import PostgresStore

TASK: Final = "frame_async:create_session"
"""The name of our task, as it is in procrastinate's tables."""

logger: Final = logging.getLogger("frame_async.fleet")

_POLL: Final = 2.0
_POOL: Final = 6
_PATIENCE: Final = 5.0
_BETWEEN_LOOKS: Final = 1.0
_NOBODY: Final = "frame"  # of a job that was deferred without a queue; ours all say theirs


def sql(grant_to: str = "", *, with_procrastinate: bool = False) -> str:
    """What a fleet needs of a database, as SQL for one who may create tables.

    Ours may be run again, and upgrades an older version; procrastinate's are for a new
    database, and with them everything is.
    """
    theirs = ""
    if with_procrastinate:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector())
        theirs = app.schema_manager.get_schema()
    return script(f"{theirs}\n{PostgresStore.SCHEMA}", grant_to)


class Fleet:
    """Runs on a database: enqueues their rows, works them off, knows how far they are.

    Made by `open_fleet` or `register`.
    """

    def __init__(self, app: procrastinate.App, settings: FleetSettings) -> None:
        self.app = app
        """procrastinate's."""
        self.runs = FleetRuns(Connected(app))
        """Runs, their progress and their results."""
        self.halted = ""
        """Why a worker ended before it was told to; empty when it didn't."""
        self._settings = settings
        self._work: FleetWork | None = None
        self._store: Store | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        app.task(name=TASK, queue=_NOBODY, retry=RowRetries(), pass_context=True)(self._create)

    @property
    def work(self) -> FleetWork:
        """What this process does with its rows; made when first needed."""
        loop = asyncio.get_running_loop()
        if self._work is None or self._loop is not loop:
            self._work, self._store = self._settings.open(self.runs, self._halt)
            self._loop = loop
        return self._work

    @property
    def queue(self) -> str:
        """The queue of procrastinate for this API key and address."""
        return queue_of(self.work.client.scope)

    async def prepare(self, *, apply_schema: bool = False) -> None:
        """Create our tables; with ``apply_schema``, procrastinate's too, if they aren't there.

        Raises:
            StoreError: the database can't answer.
            ConfigurationError: procrastinate's tables aren't there.
        """
        if not await asked(self.app.check_connection_async()):
            if not apply_schema:
                raise ConfigurationError(
                    "procrastinate's tables aren't there: run procrastinate schema --apply"
                )
            with suppress(exceptions.ConnectorException):  # somebody else is doing it
                await self.app.schema_manager.apply_schema_async()
            if not await asked(self.app.check_connection_async()):
                raise StoreError(f"procrastinate's tables can't be created; {LET_ANOTHER}")
        await self.runs.prepare()

    async def enqueue(self, requests: Requests, *, run: str, hold: bool = False) -> Enqueued:
        """Enqueue every request that a run doesn't have yet, 500 in a transaction.

        The same call again enqueues what is missing, and no request twice: each is known by
        what it says, or by the key of its `BulkItem`. To ask for two that say the same,
        give both in one call, or a key or ``client_reference_id`` of its own to each.

        Args:
            requests: requests or `BulkItem` with a key each, from any iterable.
            run: the name of the run; a new one begins, another is added to.
            hold: whether a row whose session may exist is left as unknown, instead of
                sent again.

        Raises:
            ValidationError: a request can't lie in a queue; those before it may be enqueued.
            ConfigurationError: the run is one of a file, or for another API key or address.
            StoreError: the database can't answer; the same call again goes on.
        """
        client = self.work.client
        limit = self._settings.limit(client.mode)
        mine = FleetRun(
            name=run,
            queue=self.queue,
            mode="live" if client.mode is Mode.LIVE else "sandbox",
            target=f"{client.mode} at {client.base_url}",
            account=client.scope,
            key_column="",
            hold=hold,
            requests=limit.requests if limit else None,
            per=limit.per if limit else None,
        )
        return await enqueue(self.runs, TASK, mine, requests)

    async def results(self, run: str, *, wait: bool = False) -> AsyncGenerator[FleetResult]:
        """The results of a run, in its order; with ``wait``, when every row has its own.

        Raises:
            ConfigurationError: there is no such run.
            StoreError: the database can't answer.
        """
        while True:
            found = await self.runs.find(run)
            if found is None:
                raise ConfigurationError(f"there is no run {run}")
            if not wait or await self.runs.is_done(found):
                break
            await asyncio.sleep(_BETWEEN_LOOKS)
        async for line in self.runs.results(found):
            yield read_result(line)

    async def run_worker(
        self, *, concurrency: int = 16, grace: float = 30.0, drain: bool = False
    ) -> None:
        """Work off rows until `stop` is called, or until there are none with ``drain``.

        What goes wrong on the way to the database is waited for; what makes going on
        senseless, such as an API key that isn't accepted, ends it, see `halted`.

        Args:
            concurrency: rows in progress at a time, at most.
            grace: seconds that these get to finish after `stop`.
            drain: whether to end when the queue is empty.
        """
        work, queue = self.work, self.queue
        kept, self.app.job_manager = self.app.job_manager, Manager(self.app.connector, work, queue)
        beside = [asyncio.create_task(self._sweep(queue))]
        if drain:
            beside.append(asyncio.create_task(self._drain(queue)))
        try:
            await self.runs.set_limit(queue, self._settings.limit(work.client.mode))
            while not work.stopping.is_set():
                await self._live(queue, concurrency, grace)
        finally:
            self.app.job_manager = kept
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _live(self, queue: str, concurrency: int, grace: float) -> None:
        """One worker of procrastinate, from its registration to its end."""
        work, seconds = self.work, self._settings.stalled_after
        running = asyncio.create_task(
            self.app.run_worker_async(
                queues=[queue],
                concurrency=concurrency,
                delete_jobs="successful",
                install_signal_handlers=False,
                fetch_job_polling_interval=min(_POLL, seconds / 3),
                update_heartbeat_interval=seconds / 3,
                stalled_worker_timeout=seconds,
            )
        )
        stopping = asyncio.create_task(work.stopping.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        timer = asyncio.get_running_loop().call_later(grace, work.hurry)
        if not work.stopping.is_set():
            timer.cancel()  # it ended by itself
        running.cancel()
        await asyncio.wait({running})
        timer.cancel()
        if not running.cancelled() and (error := running.exception()) is not None:
            logger.warning("the worker begins again: %s", type(error).__name__)
            await work.pause(SHORTEST_PAUSE * (1 + random.random()))  # noqa: S311  # no secret

    async def _sweep(self, queue: str) -> None:
        """Give back the jobs of workers that died, again and again, whatever goes wrong."""
        seconds = self._settings.stalled_after
        jobs_of_all = manager.JobManager(self.app.connector)
        while True:
            # Not all at the same moment.
            await asyncio.sleep(seconds / 3 * (0.5 + random.random()))  # noqa: S311  # no secret
            try:
                async with asyncio.timeout(max(seconds, _PATIENCE)):
                    await give_back(jobs_of_all, queue, seconds)
            except Exception as error:  # noqa: BLE001  # whatever it is: it is said, and tried again
                words = error if isinstance(error, exceptions.ConnectorException) else None
                why = words_of(words) if words else type(error).__name__
                logger.warning("stalled jobs were not looked for: %s", why)

    async def _drain(self, queue: str) -> None:
        while True:
            with suppress(StoreError):
                if not await self.runs.has_open(queue):
                    self.work.stop()
                    return
            await asyncio.sleep(SHORTEST_PAUSE)

    def stop(self, grace: float | None = None) -> None:
        """Take no more rows; with a ``grace`` of 0, let go of those in progress as well."""
        if grace == 0:
            self.work.hurry()
        else:
            self.work.stop()

    async def aclose(self) -> None:
        """Let go of connections; call it when no worker runs any more."""
        if self._work is not None:
            with suppress(StoreError):
                await self._work.permits.aclose()
            await self._work.client.aclose()
        if self._store is not None:
            await self._store.aclose()
        self._work = self._store = None

    def _halt(self, why: str) -> None:
        self.halted = self.halted or why

    async def _create(self, context: procrastinate.JobContext, run: str, row: int) -> None:
        try:
            await self.work.work(run, row, first=context.job.attempts == 0)
        except NotNowError:
            raise
        except Exception as error:
            name = type(error).__name__
            logger.error("row %d of run %s failed: %s", row, run, name)  # noqa: TRY400  # no traceback
            raise


def register(
    app: procrastinate.App,
    store: str,
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    proxy: str | None = None,
    rate_limit: RateLimit | Literal["mode"] | None = "mode",
    attempt_timeout: float = 15.0,
    stalled_after: float = 30.0,
) -> Fleet:
    """Add our task to an app of your own.

    Args:
        app: yours, on the database that runs are enqueued in.
        store: the URL of the store that all workers share: for idempotency keys and the
            rate window; usually that of the same database.
        api_key: as of `FrameClient`, and so are the next three.
        base_url: the same.
        proxy: the same.
        rate_limit: the same.
        attempt_timeout: seconds that one attempt may take, at most.
        stalled_after: seconds without a sign of life after which a worker counts as dead.

    Raises:
        ConfigurationError: from the first use on, when an argument can't be used.
    """
    boxed_store, boxed_key, boxed_proxy = Secret(store), Secret(api_key), Secret(proxy)
    del store, api_key, proxy  # a traceback may show variables
    settings = FleetSettings(
        store=boxed_store,
        api_key=boxed_key,
        base_url=base_url,
        proxy=boxed_proxy,
        rate_limit=rate_limit,
        attempt_timeout=attempt_timeout,
        stalled_after=stalled_after,
    )
    return Fleet(app, settings)


@asynccontextmanager
async def open_fleet(
    url: str, *, store: str | None = None, **settings: Any
) -> AsyncGenerator[Fleet]:
    """A fleet on a database, with an app of its own; tables are created when they aren't there.

    Args:
        url: ``postgresql://...``
        store: the store's, if it is another one.
        settings: as of `register`.

    Raises:
        StoreError: the database can't answer.
        ConfigurationError: an argument can't be used.
    """
    boxed, chosen, secret = Secret(url), Secret(store or url), Secret(settings)
    del url, store, settings  # a traceback may show variables
    await check_database(boxed)
    connector = procrastinate.PsycopgConnector(
        conninfo=boxed.reveal(),
        min_size=0,
        max_size=_POOL,
        timeout=_PATIENCE,
        configure=configure,
        name=POOL,
        kwargs=connection_options(boxed),
    )
    fleet = register(procrastinate.App(connector=connector), chosen.reveal(), **secret.reveal())
    await fleet.app.open_async()
    try:
        await fleet.prepare(apply_schema=True)
        yield fleet
    finally:
        await fleet.aclose()
        await fleet.app.close_async()
