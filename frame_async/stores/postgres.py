"""The store of a fleet that has PostgreSQL 13 or later.

Claims and their outcomes are as durable as the server's ``synchronous_commit`` says: with
its default, what was promised survives a crash of the server. Places in a window don't wait
for the disk: a crash may forget those of its last second, and a request more may arrive.
"""

import math
from hashlib import sha256
from secrets import token_hex
from typing import Any, Final

from frame_async.errors import ConfigurationError, IdempotencyConflictError, StoreError
from frame_async.protocol.fingerprints import differing_fields
from frame_async.protocol.window import BULK_RESERVE, Lane
from frame_async.secret import Secret
from frame_async.stores import _postgres_schema
from frame_async.stores._keys import LAPSED_KEEP
from frame_async.stores._links import (
    Doubtful,
    Failure,
    Links,
    Memory,
    checked_timeout,
    encoded,
    micro,
    without_secrets,
)
from frame_async.stores._postgres_link import PostgresLink, Row, Value, read_options
from frame_async.stores.interface import Claim, Claimed, Done, InDoubt, InFlight, Window

_CLAIM: Final = "SELECT * FROM frame_async_3_claim(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
_CHANGE: Final = "SELECT frame_async_2_change(%s, %s, %s, %s, %s, %s, %s, %s)"
_ENTER: Final = "SELECT frame_async_2_enter(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_OPENS_IN: Final = "SELECT frame_async_2_opens_in(%s, %s, %s, %s, %s, %s, %s, %s)"
_LEAVE: Final = "SELECT frame_async_2_leave(%s, %s, %s, %s, %s, %s, %s)"
_REFUSE: Final = "SELECT frame_async_2_refuse(%s, %s, %s, %s, %s, %s, %s)"
_KEEP: Final = round(LAPSED_KEEP * 1e6)


class PostgresStore:
    """Remembers in PostgreSQL, for every process that uses the same database.

    ``url`` is ``postgresql://`` or ``postgres://`` with all that libpq knows of them: several
    hosts and ``target_session_attrs=read-write`` follow a failover. Tables and functions
    are created when first needed, in the schema that the URL names
    (``?options=-csearch_path%3Dname``), or else in ``public``; where its user may not, let
    one who may run ``SCHEMA``. No operation takes longer than ``timeout`` seconds; at most
    ``connections`` connections are open for each event loop.

    An operation whose answer was lost raises `StoreError` and may have happened; see `Store`
    for what can be repeated.

    Raises:
        ConfigurationError: the URL or a number can't be used.
    """

    SCHEMA: Final = _postgres_schema.SCHEMA
    """The SQL that creates the tables and functions; running it again creates what is missing."""

    SETTINGS: Final = _postgres_schema.SETTINGS
    """The SQL that begins each session: what it relies on, whatever the server's defaults."""

    _address = ""

    def __init__(self, url: str, *, timeout: float = 2.0, connections: int = 8) -> None:
        given = Secret(url)
        del url  # a traceback may show variables
        self._timeout = checked_timeout(timeout)
        if isinstance(connections, bool) or not 1 <= connections <= 1000:
            raise ConfigurationError("PostgresStore.connections must be from 1 to 1000")
        self._connections = connections
        self._options = read_options(given)
        self._address = _address(self._options.reveal())
        self._options.reveal().update(
            connect_timeout=self._options.reveal().get(
                "connect_timeout", max(2, math.ceil(timeout))
            ),
            fallback_application_name="frame_async",
            client_encoding="utf8",
            autocommit=True,
            # Behind a pooler the next statement may meet another session.
            prepare_threshold=None,
        )
        self._links = Links(self._make_link)
        self._doubtful = Doubtful()
        self._seen = Memory()

    def __repr__(self) -> str:
        return f"PostgresStore({self._address})"

    @property
    def shared(self) -> bool:
        """True: other processes may use the same database."""
        return True

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """See `Store.claim`; a few claims that are long forgotten are deleted on the way."""
        token = token_hex(8)
        seen = (self._seen.name, self._seen.turn, micro(self._doubtful.seconds))
        values = (_hashed(key), fingerprint, token.encode(), micro(lease), _KEEP, *seen)
        *row, memory, turn, lost = await self._ask(token, _CLAIM, *values)
        if self._seen.note(bytes(memory), turn) and lost:
            self._doubtful.log(self)
        match row:
            case ["claimed", *_]:
                return Claimed(token)
            case ["doubt", doubts, *_]:
                return InDoubt(token, doubts)
            case ["flight", left, *_]:
                return InFlight(left / 1e6)
            case ["done", _, body, _]:
                return Done(bytes(body))
            case ["conflict", _, _, other]:
                raise IdempotencyConflictError(key, differing_fields(other, fingerprint))
            case _:
                raise StoreError(f"{self} gave an answer that makes no sense")

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """See `Store.renew`."""
        return await self._change(key, token, "claimed", lease, doubts=doubts, keep=_KEEP)

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """See `Store.complete`."""
        self._doubtful.note(keep)
        return await self._change(key, token, "done", keep, body=body)

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """See `Store.doubt`."""
        self._doubtful.note(keep)
        return await self._change(key, token, "doubt", keep, doubts=doubts)

    async def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._change(key, token, "free", 0.0)

    async def _change(
        self,
        key: str,
        token: str,
        state: str,
        seconds: float,
        *,
        doubts: int = 0,
        body: bytes | None = None,
        keep: int = 0,
    ) -> bool:
        values = (_hashed(key), encoded(token), state, micro(seconds), doubts, body, keep)
        (changed,) = await self._ask(token, _CHANGE, *values)
        return bool(changed)

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`."""
        return await self._enter(window, token, lane, hold, forced=False, pace=pace)

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        """See `Store.force`."""
        return await self._enter(window, token, lane, hold, forced=True, pace=False) == 0

    async def _enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, forced: bool, pace: bool
    ) -> float:
        lanes = window.limit.open_to(lane), _reserve_of(lane)
        values = (*_window(window, token), *lanes, micro(hold), forced, pace, _KEEP)
        (wait,) = await self._ask(token, _ENTER, *values)
        return float(wait) / 1e6

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        """See `Store.opens_in`."""
        name, requests, per, _ = _window(window, "")
        values = (name, requests, per, _reserve_of(lane), ahead, pace, _KEEP)
        (wait,) = await self._ask(token_hex(8), _OPENS_IN, *values)
        return float(wait) / 1e6

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        await self._ask(token, _LEAVE, *_window(window, token), sent, _KEEP)

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        await self._ask(token, _REFUSE, *_window(window, token), micro(pause), _KEEP)

    async def aclose(self) -> None:
        """Close the connections of every event loop; operations raise `StoreError` from now."""
        await self._links.aclose()

    def _make_link(self) -> PostgresLink:
        return PostgresLink(self._options, self._timeout, self._connections)

    async def _ask(self, token: str, statement: str, *values: Value) -> Row:
        if self._links.closed:
            raise StoreError(f"{self} is closed")
        link = await self._links.here()
        patience = math.ceil(self._timeout * 1000)
        answer = await link.ask(encoded(token), statement, (*values, patience))
        if isinstance(answer, Failure):
            raise StoreError(f"{self} can't answer: {_shown(answer.reason, self._options)}")
        return answer


def _address(options: dict[str, Any]) -> str:
    """Where the database is, without user, password and options."""
    place = options.get("host") or options.get("hostaddr") or "localhost"
    port = f":{options['port']}" if "port" in options else ""
    return f"postgresql://{place}{port}/{options.get('dbname', '')}"


def _shown(reason: str, options: Secret[dict[str, Any]]) -> str:
    """The reason, unless it holds the password."""
    return without_secrets(reason, [options.reveal().get("password", "")])


def _hashed(text: str) -> bytes:
    return sha256(encoded(text)).digest()


def _reserve_of(lane: Lane) -> float:
    """The share of the slots known to be ours that a lane leaves to others."""
    return BULK_RESERVE if lane is Lane.BULK else 0.0


def _window(window: Window, token: str) -> tuple[bytes, int, int, bytes]:
    per = max(1, micro(window.limit.per))
    return _hashed(window.name), window.limit.requests, per, encoded(token)
