"""How PostgreSQL is asked: a pool of connections for one event loop, and nothing that hangs.

No exception of psycopg leaves this module: `Link.ask` returns a row or a `Failure`.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from random import random
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl
from weakref import WeakSet

from frame_async.errors import ConfigurationError
from frame_async.secret import Secret
from frame_async.stores._links import Failure, Link
from frame_async.stores._postgres_schema import SCHEMA, SETTINGS, VERSION, missing
from frame_async.stores.outages import outages

try:
    from psycopg import AsyncConnection, Error, ProgrammingError, errors, pq
    from psycopg.conninfo import conninfo_to_dict
    from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
except ImportError:
    raise ConfigurationError(
        "PostgresStore needs the psycopg libraries (pip install 'frame-async[postgres]')"
    ) from None

_POOL: Final = "frame_async"
_ADVISORY_LOCK: Final = 0x6672616D65  # "frame"
_MISSING: Final = missing(SCHEMA)
_UNFIT: Final = "42"
"""SQLSTATE class of statements that name what isn't there, or is otherwise than expected."""
_COLLIDED: Final = (errors.SerializationFailure, errors.DeadlockDetected)

_BEFORE_ASKING_WHY: Final = 1.0
"""Seconds until a call that has no connection looks for the reason."""
Value = bytes | str | int | float | bool | None
Row = tuple[Any, ...]


class _Connection(AsyncConnection[Row]):
    """A connection that tells its link of itself, or why there is none; the pool does neither."""

    @classmethod
    async def connect(  # type: ignore[override]
        cls, conninfo: str = "", *, link: "PostgresLink", **kwargs: Any
    ) -> Self:
        try:
            connection = await super().connect(conninfo, **kwargs)
            await link.set_up(connection)
        except Error as error:
            link.trouble, link.is_refused = _named(error), isinstance(error, ProgrammingError)
            raise
        except asyncio.CancelledError:
            link.give_up()
            raise
        return connection

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002  # psycopg's
        """End the connection: the server that is slow to answer would be slow to cancel too."""
        _cut(self)


class PostgresLink(Link):
    """The connections of one event loop.

    Every operation runs in a task of its own, which ends by itself: a caller who is
    cancelled or gives up can't leave a connection in the middle of something.
    """

    def __init__(self, options: Secret[dict[str, Any]], timeout: float, connections: int) -> None:
        super().__init__()
        self._timeout = timeout
        self.trouble = ""
        """Why the last attempt to connect failed."""
        self.is_refused = False
        """Whether that was said by the server, and waiting won't change it."""
        self.connections: WeakSet[_Connection] = WeakSet()
        self._running: dict[bytes, asyncio.Task[Row | Failure]] = {}
        self._pool: AsyncConnectionPool[_Connection] = AsyncConnectionPool(
            connection_class=_Connection,
            kwargs={**options.reveal(), "link": self},
            min_size=0,
            max_size=connections,
            open=False,
            timeout=timeout,
            reconnect_timeout=timeout,
            name=outages.watch(_POOL),
        )
        self._giving_up: asyncio.Future[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it gave up, or was closed."""
        return super().has_ended or self._giving_up is not None

    async def open(self) -> None:
        """Arrange to be closed with the event loop, at the latest."""
        await self._pool.open()
        await super().open()

    async def set_up(self, connection: _Connection) -> None:
        """Make a new session ours: its settings, and what is missing of the schema."""
        self.connections.add(connection)
        cut = asyncio.get_running_loop().call_later(self._timeout, _cut, connection)
        try:
            await connection.execute(SETTINGS)
            if await _is_missing(connection):
                await _prepare(connection)
            outages.over(_POOL)
            self.is_refused = False
        except BaseException:
            await connection.close()
            raise
        finally:
            cut.cancel()

    def give_up(self) -> None:
        """Stop the pool, because its tasks are being cancelled.

        A worker of the pool that is cancelled while it connects would go on, and an event
        loop that waits for it would never end.
        """
        if self._giving_up is None:
            self._giving_up = asyncio.ensure_future(self._stop())

    async def _close(self) -> None:
        if self._giving_up is not None:
            await asyncio.wait({self._giving_up})
        await self._stop()

    async def _stop(self) -> None:
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=self._timeout)
        # When a loop ends, its tasks were cancelled first, and the pool gives up at the sight.
        with suppress(asyncio.CancelledError):
            await self._pool.close(timeout=self._timeout)
        for connection in list(self.connections):
            await connection.close()

    async def ask(self, token: bytes, statement: str, values: Sequence[Value]) -> Row | Failure:
        """Run a statement of one row; never longer than the timeout.

        What is asked for the same token runs in that order, also after its caller gave up
        on the first: a place that is given back has been taken before.
        """
        before = self._running.get(token)
        task = asyncio.create_task(self._run(before, statement, values))
        self._running[token] = task
        task.add_done_callback(lambda done: self._forget(token, done))
        await asyncio.wait({task}, timeout=self._timeout)
        return task.result() if task.done() else self._late()

    def _forget(self, token: bytes, task: asyncio.Task[Row | Failure]) -> None:
        if self._running.get(token) is task:
            del self._running[token]

    def _late(self) -> Failure:
        return Failure(self.trouble or f"no answer within {self._timeout:g} s")

    async def _run(
        self,
        before: asyncio.Task[Row | Failure] | None,
        statement: str,
        values: Sequence[Value],
    ) -> Row | Failure:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 0.98 * self._timeout  # so that the reason is known in time
        if before is not None:
            await asyncio.wait({before}, timeout=self._timeout)
        try:
            connection = await self._usable(deadline)
        except (PoolTimeout, PoolClosed):
            return self._late()
        cut = loop.call_at(deadline, _cut, connection)
        try:
            answer: Row | Failure = await _repeated(connection, statement, values)
            self.trouble = ""
        except Error as error:
            answer = Failure(_explained(error, late=loop.time() >= deadline, limit=self._timeout))
            if isinstance(error, errors.ReadOnlySqlTransaction):
                await connection.close()  # it leads to a standby; the next one may not
        finally:
            cut.cancel()
            await self._pool.putconn(connection)
        return answer

    async def _usable(self, deadline: float) -> _Connection:
        """A connection that the server didn't end while it was idle, found without asking it."""
        loop = asyncio.get_running_loop()
        patience = _BEFORE_ASKING_WHY
        while True:
            left = max(0.001, deadline - loop.time())
            try:
                connection = await self._pool.getconn(timeout=min(patience, left))
            except PoolTimeout:  # the pool goes on trying, whatever the server says
                if self.is_refused or loop.time() >= deadline:
                    raise
                patience = left
                continue
            if not _has_ended(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)


async def _repeated(connection: _Connection, statement: str, values: Sequence[Value]) -> Row:
    """Run a statement, again where it certainly did nothing: no schema yet, or a collision.

    Collisions come where transactions are serializable by default; whoever loses tries
    again until the connection is cut.
    """
    is_prepared = False
    while True:
        try:
            return await _execute(connection, statement, values)
        except ProgrammingError as error:
            if is_prepared or not _is_unfit(error):
                raise
            await _prepare(connection)
            is_prepared = True
        except _COLLIDED:
            await asyncio.sleep(0.01 * random())  # noqa: S311  # not a secret


async def _execute(connection: _Connection, statement: str, values: Sequence[Value]) -> Row:
    cursor = await connection.execute(cast("Any", statement), values)
    row = await cursor.fetchone()
    return row or ()


async def _prepare(connection: _Connection) -> None:
    """Create the schema, unless another process just did.

    Raises:
        ProgrammingError: it is there, of a newer version.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        if not await _is_missing(connection):
            return
        (is_old,) = await _execute(
            connection, "SELECT to_regclass('frame_async_version') IS NOT NULL", []
        )
        if is_old:
            (version,) = await _execute(
                connection, "SELECT max(version) FROM frame_async_version", []
            )
            if version and version > VERSION:
                raise ProgrammingError(
                    f"its tables are of version {version}, which this version of frame-async "
                    f"doesn't know ({VERSION}); upgrade frame-async"
                )
        await connection.execute(cast("Any", SCHEMA))


async def _is_missing(connection: _Connection) -> bool:
    return bool((await _execute(connection, _MISSING, []))[0])


def _is_unfit(error: Error) -> bool:
    state = error.sqlstate or ""
    return state.startswith(_UNFIT) and not isinstance(error, errors.InsufficientPrivilege)


def _has_ended(connection: _Connection) -> bool:
    try:
        connection.pgconn.consume_input()  # takes in a farewell
        connection.pgconn.consume_input()  # and then notices the end
    except Error:
        return True
    return False


def _cut(connection: _Connection) -> None:
    """End a connection that hangs, from outside: whoever waits on it is told so at once.

    Cancelling instead would make psycopg ask the very server that hangs to stop.
    """
    with suppress(Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def _explained(error: Error, *, late: bool, limit: float) -> str:
    return f"no answer within {limit:g} s" if late else _named(error)


def _named(error: Error) -> str:
    """What happened, and where it is the schema's fault, what to run."""
    if isinstance(error, errors.InsufficientPrivilege | errors.InvalidSchemaName):
        return (
            f"{_words(error)}; its user needs the tables and functions of PostgresStore.SCHEMA "
            "(`frame-async fleet schema` prints it), or the right to create them; another schema "
            "than public is named in the URL: ?options=-csearch_path%3Dname"
        )
    if _is_unfit(error):
        return (
            f"{_words(error)}; its tables were changed: back them up, then DROP TABLE "
            "frame_async_version, frame_async_keys, frame_async_windows, frame_async_slots "
            "CASCADE lets them be created again"
        )
    return _words(error)


def _words(error: Error) -> str:
    return error.diag.message_primary or str(error) or type(error).__name__


def _check_names(url: Secret[str]) -> None:
    """Refuse options that libpq doesn't know, or that would be passed over, by name.

    Raises:
        ConfigurationError: there is one.
    """
    query = url.reveal().partition("?")[2]
    if "@" in query:
        return  # a piece of the password, which is not shown
    names: set[str] = set()
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    for name, value in parse_qsl(query, keep_blank_values=True):
        why = ""
        if name not in known:
            why = f"can't have the option {name}"
        elif name in names:
            why = f"has the option {name} twice"
        elif name == "client_encoding" and value.lower().replace("-", "") not in ("utf8", "auto"):
            why = "can't have another client_encoding than utf8"
        if why:
            raise ConfigurationError(f"the URL of the PostgreSQL store {why}")
        names.add(name)


def read_options(url: Secret[str]) -> Secret[dict[str, Any]]:
    """What a URL says, by libpq's names.

    Raises:
        ConfigurationError: it isn't the URL of a PostgreSQL database.
    """
    _check_names(url)
    options: dict[str, Any] = {}
    with suppress(Error, ValueError):  # their words may hold the password
        options = dict(conninfo_to_dict(url.reveal()))
    named = url.reveal().startswith(("postgresql://", "postgres://"))
    torn = any({"@", "#"} & set(str(options.get(name, ""))) for name in ("host", "port", "dbname"))
    if torn or not (options and named):
        del options  # a traceback may show variables
        raise ConfigurationError(
            "the URL of the PostgreSQL store must be postgresql:// or postgres://; special "
            "characters in user and password must be percent-encoded"
        )
    options.setdefault("options", "")  # or those of the environment's PGOPTIONS would hold
    return Secret(options)
