"""What a fleet asks of procrastinate and of its database: answers, retries, and jobs in time."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import procrastinate
from attrs import frozen
from procrastinate import exceptions, jobs, manager

from frame_async.engine.cancellation import bounded
from frame_async.errors import StoreError
from frame_async.fleet.database import Record
from frame_async.fleet.work import FleetWork, NotNowError

SHORTEST_PAUSE: Final = 0.3
"""Seconds between two tries of what the database didn't answer."""
LET_ANOTHER: Final = "let one who may create tables run what `frame-async fleet schema` prints"
"""What to do where an application may not."""

_NOT_FOUND: Final = "P0001"  # what procrastinate raises for a job that is done with
_NOT_ALLOWED: Final = "42501"
_AWAY: Final = ("", "08", "53", "57")
"""SQLSTATE classes of a server that is restarted or has no room; none if it said nothing."""

T = TypeVar("T")


@frozen
class Connected:
    """The database of an app."""

    app: procrastinate.App

    async def fetch(self, statement: str, **values: Any) -> Sequence[Record]:
        """See `Database.fetch`."""
        text: Any = statement
        found: list[dict[str, Any]] = await asked(
            self.app.connector.execute_query_all_async(text, **values)
        )
        return found

    async def run(self, statement: str, **values: Any) -> None:
        """See `Database.run`."""
        text: Any = statement if values else statement.replace("%", "%%")
        await asked(self.app.connector.execute_query_async(text, **values))


async def asked(answer: Awaitable[T]) -> T:
    """An answer of the database.

    Raises:
        StoreError: there is none; what psycopg says of it may hold more than it should.
    """
    try:
        return await answer
    except exceptions.ConnectorException as error:
        why = words_of(error)
        if getattr(error.__cause__, "sqlstate", None) == _NOT_ALLOWED:
            why += f"; {LET_ANOTHER}"
    except exceptions.AppNotOpen:
        why = "it isn't open"
    raise StoreError(f"the database of the queue can't answer: {why}")


def words_of(error: exceptions.ConnectorException) -> str:
    """What the database said, without what may be secret."""
    diag = getattr(error.__cause__, "diag", None)
    return getattr(diag, "message_primary", None) or type(error.__cause__ or error).__name__


async def give_back(jobs_of_all: manager.JobManager, queue: str, seconds: float) -> None:
    """Hand out again what workers have that were not heard of for so long."""
    stalled = await jobs_of_all.get_stalled_jobs(queue=queue, seconds_since_heartbeat=seconds)
    for job in stalled:
        # Another worker may have done it meanwhile.
        with suppress(exceptions.ConnectorException):
            await jobs_of_all.retry_job(job)


class RowRetries(procrastinate.BaseRetryStrategy):
    """A row that is still open goes back to the queue, and so does one that was let go."""

    def get_retry_decision(
        self,
        *,
        exception: BaseException,
        job: jobs.Job,  # noqa: ARG002  # procrastinate's
    ) -> procrastinate.RetryDecision | None:
        """When a job is due again; None when it isn't."""
        if isinstance(exception, NotNowError):
            at = dt.datetime.now(dt.UTC)
            return procrastinate.RetryDecision(
                retry_at=at + dt.timedelta(seconds=exception.seconds)
            )
        if isinstance(exception, asyncio.CancelledError):
            return procrastinate.RetryDecision()
        return None


class Manager(manager.JobManager):
    """Fetches a job of ours when there is a place in the window for it, and not before.

    What a job has come to is said again and again where the database doesn't answer: a
    worker that lives would otherwise keep it for ever.
    """

    def __init__(self, connector: Any, work: FleetWork, queue: str) -> None:
        super().__init__(connector)
        self._work = work
        self._queue = queue

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        """The next job, when it has a place in the window."""
        if list(queues or ()) != [self._queue]:
            return await super().fetch_job(queues, worker_id)
        if not await self._work.may_fetch():
            return None
        job: jobs.Job | None = None
        try:
            job = await super().fetch_job(queues, worker_id)
        except exceptions.ConnectorException:
            # A job may be ours without our knowledge. The worker ends, and begins again under
            # another name; but not before its jobs can say what they have come to.
            await self._until_it_answers()
            raise
        finally:
            if job is None:
                await bounded(self._work.done())
        return job

    async def _until_it_answers(self) -> None:
        while not self._work.hurrying:
            try:
                await self.check_connection_async()
            except exceptions.ConnectorException:
                await asyncio.sleep(SHORTEST_PAUSE)
            else:
                return

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:
        """Say what a job has come to."""
        await self._persist(lambda: super(Manager, self).finish_job(job, status, delete_job))

    async def retry_job(self, job: jobs.Job, *args: Any, **options: Any) -> None:
        """Put a job back."""
        await self._persist(lambda: super(Manager, self).retry_job(job, *args, **options))

    async def _persist(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await act()
            except exceptions.ConnectorException as error:
                state = getattr(error.__cause__, "sqlstate", None) or ""
                if state == _NOT_FOUND:  # it was handed out again meanwhile, and is done
                    return None
                if self._work.hurrying or state[:2] not in _AWAY:
                    raise
            await asyncio.sleep(SHORTEST_PAUSE)
