"""The store of a fleet: Redis 6.2 or later, or Valkey.

Claims are as durable as the server is set up to be: with ``appendfsync everysec`` a crash
forgets up to a second of them, without persistence a restart forgets all. A process that
was there before notices that by its next claim, and from then on keys that the server
doesn't know are in doubt. Where nobody was there, a key that was forgotten is simply
unknown, so its next call sends. Let the server never evict (``maxmemory-policy
noeviction``): evicting a claim is forgetting it.
"""

import asyncio
import re
from collections import defaultdict, deque
from random import random
from secrets import token_hex
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from frame_async.errors import ConfigurationError, IdempotencyConflictError, StoreError
from frame_async.protocol.fingerprints import differing_fields
from frame_async.protocol.window import Lane
from frame_async.secret import Secret
from frame_async.stores._links import (
    Doubtful,
    Failure,
    Link,
    Links,
    Memory,
    checked_timeout,
    micro,
    without_secrets,
)
from frame_async.stores._redis_scripts import (
    CLAIM,
    COMPLETE,
    DOUBT,
    RELEASE,
    RENEW,
    Argument,
    Ask,
    Connection,
    Pool,
    Script,
    find_move,
    is_hopeless,
    key_name,
    make_pool,
    memory_name,
    reserve_of,
    run,
    window_arguments,
    words,
)
from frame_async.stores._redis_windows import ENTER, LEAVE, OPENS_IN, REFUSE
from frame_async.stores.interface import Claim, Claimed, Done, InDoubt, InFlight, Window

_LONGEST_BATCH: Final = 256
_LONGEST_BACKOFF: Final = 1.0
_FIRST_BACKOFF: Final = 0.02
_SCHEMES: Final = ("redis", "rediss", "unix")
_OPTIONS: Final = ("db", "username", "password", "client_name")


class _Link(Link):
    """One connection, for one event loop.

    What is asked while it is busy travels together, so one connection serves many callers
    in one round trip each; and callers who give up never cut it short.
    """

    def __init__(self, pool: Pool, timeout: float) -> None:
        super().__init__()
        self._pool = pool
        self._timeout = timeout
        self._asked: deque[Ask] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._failures = 0
        self._trouble = ""

    async def _close(self) -> None:
        self._notify_all(Failure("it was closed"))
        if self._worker is not None:
            await asyncio.wait({self._worker}, timeout=self._timeout + _LONGEST_BACKOFF)
            self._worker.cancel()
        await self._pool.disconnect()

    async def ask(self, script: Script, *arguments: Argument) -> object:
        """Run a script: its answer, or a `Failure`; never later than the timeout."""
        loop = asyncio.get_running_loop()
        ask = Ask(script, arguments, loop.create_future())
        self._asked.append(ask)
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        try:
            async with asyncio.timeout(self._timeout):
                return await ask.answer
        except TimeoutError:
            return Failure(self._trouble or f"no answer within {self._timeout:g} s")

    async def _work(self) -> None:
        while self._is_asked():
            connection = await self._connect()
            if connection is not None:
                await self._exchange(connection)

    def _is_asked(self) -> bool:
        while self._asked and self._asked[0].answer.done():
            self._asked.popleft()  # its caller gave up before it was sent
        return bool(self._asked)

    def _notify_all(self, answer: object) -> None:
        while self._asked:
            self._asked.popleft().notify(answer)

    async def _connect(self) -> Connection | None:
        """A connection; None when there is none yet, after a pause."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._pool.get_connection()
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it
            trouble, hopeless = words(error), is_hopeless(error)
        if hopeless:
            self._notify_all(Failure(trouble))
        await self._back_off(trouble)
        return None

    async def _back_off(self, trouble: str) -> None:
        self._trouble = trouble
        longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self._failures += 1
        await asyncio.sleep(longest * (0.5 + random() / 2))  # noqa: S311  # not a secret

    async def _exchange(self, connection: Connection) -> None:
        count = min(len(self._asked), _LONGEST_BATCH)
        batch = [self._asked.popleft() for _ in range(count)]
        trouble = ""
        try:
            async with asyncio.timeout(self._timeout):
                answers = await run(connection, batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it
            trouble = words(error) or f"no answer within {self._timeout:g} s"
            answers = [Failure(trouble) for _ in batch]
        trouble = trouble or find_move(answers)
        if trouble:
            await connection.disconnect(nowait=True)
        await self._pool.release(connection)
        for ask, answer in zip(batch, answers, strict=True):
            ask.notify(answer)
        if trouble:
            await self._back_off(trouble)
        else:
            self._failures, self._trouble = 0, ""


class RedisStore:
    """Remembers in Redis or Valkey, for every process that uses the same database.

    `url` is ``redis://``, ``rediss://`` (TLS) or ``unix://`` with what redis-py knows of
    them; of its options, ``db``, ``username``, ``password``, ``client_name`` and
    ``ssl_...`` are accepted. No operation takes longer than ``timeout`` seconds.

    An operation whose answer was lost raises `StoreError` and may have happened; see `Store`
    for what can be repeated.

    Raises:
        ConfigurationError: the URL or the timeout can't be used.
    """

    def __init__(self, url: str, *, timeout: float = 2.0) -> None:
        self._url = Secret(url)
        del url  # a traceback may show variables
        self._address = ""
        self._timeout = checked_timeout(timeout)
        self._address = _checked(self._url)
        self._links = Links(self._make_link)
        make_pool(self._url, timeout)  # says now what doesn't fit
        self._doubtful = Doubtful()
        self._seen: defaultdict[str, Memory] = defaultdict(Memory)

    def __repr__(self) -> str:
        return f"RedisStore({self._address})"

    @property
    def shared(self) -> bool:
        """True: other processes may use the same database."""
        return True

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """See `Store.claim`. What is left of a claim is kept a week after its lease."""
        token, memory = token_hex(8), memory_name(key)
        seen = self._seen[memory]
        known = (seen.name, seen.turn, micro(self._doubtful.seconds))
        names = (key_name(key), memory)
        ours = (fingerprint, token, micro(lease))
        answer = cast("list[Any]", await self._ask(CLAIM, *names, *ours, *known))
        name, turn, lost, outcome, detail = answer
        if seen.note(name, turn) and lost:
            self._doubtful.log(self)
        match outcome, detail:
            case b"claimed", _:
                return Claimed(token)
            case b"doubt", int() as doubts:
                return InDoubt(token, doubts)
            case b"flight", int() as left:
                return InFlight(left / 1e6)
            case b"done", bytes() as body:
                return Done(body)
            case b"conflict", bytes() as other:
                raise IdempotencyConflictError(key, differing_fields(other.decode(), fingerprint))
            case _:
                raise StoreError(f"{self} holds something else under the name of a key")

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """See `Store.renew`."""
        return await self._ask(RENEW, key_name(key), token, micro(lease), doubts) == 1

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """See `Store.complete`."""
        return await self._ask(COMPLETE, key_name(key), token, self._doubtful.note(keep), body) == 1

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """See `Store.doubt`."""
        return await self._ask(DOUBT, key_name(key), token, self._doubtful.note(keep), doubts) == 1

    async def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._ask(RELEASE, key_name(key), token) == 1

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
        lanes = window.limit.open_to(lane), reserve_of(lane)
        how = micro(hold), int(forced), int(pace)
        values = (*window_arguments(window, token), *lanes, *how)
        return cast("int", await self._ask(ENTER, *values)) / 1e6

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        """See `Store.opens_in`."""
        values = (*window_arguments(window, ""), reserve_of(lane), ahead, int(pace))
        return cast("int", await self._ask(OPENS_IN, *values)) / 1e6

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        await self._ask(LEAVE, *window_arguments(window, token), int(sent))

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        await self._ask(REFUSE, *window_arguments(window, token), micro(pause))

    async def aclose(self) -> None:
        """Close the connections of every event loop; operations raise `StoreError` from now."""
        await self._links.aclose()

    def _make_link(self) -> _Link:
        return _Link(make_pool(self._url, self._timeout), self._timeout)

    async def _ask(self, script: Script, *arguments: Argument) -> object:
        if self._links.closed:
            raise StoreError(f"{self} is closed")
        link = await self._links.here()
        answer = await link.ask(script, *arguments)
        if isinstance(answer, Failure):
            raise StoreError(f"{self} can't answer: {_shown(answer.reason, self._url)}")
        return answer


def _checked(url: Secret[str]) -> str:
    """The address in a URL, without user, password and options.

    Raises:
        ConfigurationError: it isn't the URL of a Redis server.
    """
    address, strange = _read(url)
    if not address:
        raise ConfigurationError(
            "the URL of the Redis store must be redis://, rediss:// or unix://; special "
            "characters in user and password must be percent-encoded"
        )
    unread = _unread(url)
    if unread:
        raise ConfigurationError(f"the URL of the Redis store can't have {unread}")
    if strange:
        raise ConfigurationError(
            f"the URL of the Redis store can't have the option {strange[0]}; there are "
            f"{', '.join(_OPTIONS)} and ssl_..."
        )
    return address


def _read(url: Secret[str]) -> tuple[str, list[str]]:
    """The address in a URL, empty if it can't be read; and the options that nobody knows."""
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        return "", []
    if parts.scheme not in _SCHEMES or _is_ambiguous(parts):
        return "", []
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    strange = [n for n in names if n not in _OPTIONS and not n.startswith("ssl_")]
    if parts.scheme == "unix":
        return f"unix://{parts.path}", strange
    return f"{parts.scheme}://{parts.hostname or 'localhost'}:{port or 6379}", strange


def _unread(url: Secret[str]) -> str:
    """What redis-py would pass over without a word; empty if it reads everything."""
    parts = urlsplit(url.reveal())
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    for name in _OPTIONS:
        if names.count(name) > 1:
            return f"the option {name} twice"
    if parts.scheme == "unix" or parts.path in ("", "/"):
        return ""
    if not re.fullmatch(r"/[0-9]+", parts.path):
        return "a path that isn't the number of a database, as in redis://host/0"
    return "both a path and the option db" if "db" in names else ""


def _is_ambiguous(parts: SplitResult) -> bool:
    """Whether a bare special character in the password has torn the URL apart."""
    if parts.scheme == "unix":
        return bool(parts.fragment)
    return bool(parts.fragment) or "@" in parts.path or "@" in parts.query


def _shown(reason: str, url: Secret[str]) -> str:
    """The reason, unless it holds the password."""
    parts = urlsplit(url.reveal())
    secrets = {parts.password or "", dict(parse_qsl(parts.query)).get("password", "")}
    return without_secrets(reason, secrets | {unquote(secret) for secret in secrets})
