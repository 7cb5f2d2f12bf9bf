"""The store of a fleet: Redis 6.2 or later, or Valkey.

Claims are as durable as the server is set up to be: with ``appendfsync everysec`` a crash
forgets up to a second of them, without persistence a restart forgets all. A process that
was there before notices that by its next claim, and from then on keys that the server
doesn't know are in doubt. Where nobody was there, a key that was forgotten is simply
unknown, so its next call sends. Let the server never evict (``maxmemory-policy
noeviction``): evicting a claim is forgetting it.
"""

from collections import defaultdict
from secrets import token_hex
from typing import Any, cast

from frame_async.errors import IdempotencyConflictError, StoreError
from frame_async.protocol.fingerprints import differing_fields
from frame_async.protocol.window import Lane
from frame_async.secret import Secret
from frame_async.stores._links import Doubtful, Failure, Links, Memory, checked_timeout, micro
from frame_async.stores._redis_links import ClusterLink, RedisLink
from frame_async.stores._redis_scripts import (
    CLAIM,
    COMPLETE,
    DOUBT,
    RELEASE,
    RENEW,
    Argument,
    Script,
    key_name,
    memory_name,
    reserve_of,
    window_arguments,
)
from frame_async.stores._redis_urls import address_of, make_pool, read_group, shown
from frame_async.stores._redis_windows import ENTER, LEAVE, OPENS_IN, REFUSE
from frame_async.stores.interface import Claim, Claimed, Done, InDoubt, InFlight, Window


class RedisStore:
    """Remembers in Redis or Valkey, for every process that uses the same database.

    ``url`` is ``redis://``, ``rediss://`` (TLS) or ``unix://`` with what redis-py knows of
    them; of its options, ``db``, ``username``, ``password``, ``client_name`` and
    ``ssl_...`` are accepted. No operation takes longer than ``timeout`` seconds.

    ``redis+sentinel://host:26379,host:26379/service/0`` asks Sentinels for the server, and
    ``redis+cluster://host:6379,host:6379`` is a cluster, where each merchant's keys are on
    one node; ``rediss+sentinel`` and ``rediss+cluster`` are with TLS. ``user:password@`` in
    front is for the servers, the options ``sentinel_username`` and ``sentinel_password``
    are for the Sentinels.

    An operation whose answer was lost raises `StoreError` and may have happened; see `Store`
    for what can be repeated.

    Raises:
        ConfigurationError: the URL or the timeout can't be used.
    """

    _address = ""

    def __init__(self, url: str, *, timeout: float = 2.0) -> None:
        self._url = Secret(url)
        del url  # a traceback may show variables
        self._timeout = checked_timeout(timeout)
        self._address = address_of(self._url)
        self._links: Links[RedisLink | ClusterLink] = Links(self._make_link)
        self._make_link()  # says now what doesn't fit
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

    def _make_link(self) -> RedisLink | ClusterLink:
        group = read_group(self._url, self._timeout)
        if group is not None and group.kind == "cluster":
            return ClusterLink(group, self._timeout)
        return RedisLink(make_pool(self._url, self._timeout), self._timeout)

    async def _ask(self, script: Script, *arguments: Argument) -> object:
        if self._links.closed:
            raise StoreError(f"{self} is closed")
        link = await self._links.here()
        answer = await link.ask(script, *arguments)
        if isinstance(answer, Failure):
            raise StoreError(f"{self} can't answer: {shown(answer.reason, self._url)}")
        return answer
