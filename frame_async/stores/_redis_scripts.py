"""What Redis does for us: one Lua script for each operation, on one key, and how to send it.

Time is Redis's own, in microseconds: whole numbers, which Lua's numbers hold exactly.
Each script gets its one key as ``KEYS[1]``, so that a cluster can run it, and gives
every key that it writes a time to live.

A claimed or finished key is a hash. Windows, and their scripts, are in `_redis_windows`.
"""

import asyncio
import ssl
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha1, sha256
from typing import Final, Protocol

from attrs import define, field, frozen

from frame_async.errors import ConfigurationError
from frame_async.protocol.window import BULK_RESERVE, Lane
from frame_async.stores._keys import LAPSED_KEEP
from frame_async.stores._links import Failure, encoded, micro
from frame_async.stores.interface import Window

try:
    from redis.exceptions import (
        AuthenticationError,
        BusyLoadingError,
        ClusterDownError,
        MasterDownError,
        MovedError,
        NoScriptError,
        ReadOnlyError,
        ResponseError,
        TryAgainError,
    )
except ImportError:
    raise ConfigurationError(
        "RedisStore needs the redis library (pip install 'frame-async[redis]')"
    ) from None

PREFIX: Final = "frame_async:"
"""What every key in Redis begins with."""

_REFUSALS: Final = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    TryAgainError,
)
_SIGNS: Final = ("READONLY", "read only replica", "MASTERDOWN", "CLUSTERDOWN", "LOADING")
"""In the words of errors of scripts, which older servers wrap."""

Argument = bytes | str | int


@frozen
class Script:
    """A script; Redis knows it by its digest."""

    text: str = field(repr=False)
    keys: int = 1
    """How many of its arguments are names of keys, all in one slot of a cluster."""

    @cached_property
    def digest(self) -> str:
        """SHA-1 in hexadecimal digits."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

KEY: Final = f"""
local key, keep = KEYS[1], {int(LAPSED_KEEP)}
local function live(microseconds)
  redis.call('PEXPIRE', key, math.max(1, math.ceil(microseconds / 1000)))
end
{CLOCK}"""

CLAIM: Final = Script(
    KEY
    + """
local memory, known, seen, doubtful = KEYS[2], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local fingerprint, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local facts = redis.call('HMGET', memory, 'name', 'doubtful_until')
local name, doubtful_until = facts[1], tonumber(facts[2] or 0)
local turn = redis.call('HINCRBY', memory, 'turn', 1)
local lost = known ~= '' and (name ~= known or turn <= seen)
if not name or (lost and name == known) then
  name = token
  redis.call('HSET', memory, 'name', name)
end
redis.call('PEXPIRE', memory, 400 * 86400000)
if lost then
  doubtful_until = math.max(doubtful_until, now + doubtful)
  redis.call('HSET', memory, 'doubtful_until', doubtful_until)
end
lost = lost and 1 or 0
local found = redis.call('HMGET', key, 'fingerprint', 'state', 'until', 'doubts', 'token')
local state, doubts = found[2], tonumber(found[4] or 0)
local function take(count)
  redis.call('HSET', key, 'fingerprint', fingerprint, 'state', 'claimed', 'token', token,
    'until', now + lease, 'doubts', count)
  live(lease + keep * 1000000)
end
if not state then
  doubts = now < doubtful_until and 1 or 0
elseif found[1] ~= fingerprint then
  return {name, turn, lost, 'conflict', found[1]}
elseif state == 'done' then
  return {name, turn, lost, 'done', redis.call('HGET', key, 'body')}
elseif state == 'claimed' and found[5] == token then
  doubts = doubts - 1
elseif state == 'claimed' and now < tonumber(found[3]) then
  return {name, turn, lost, 'flight', tonumber(found[3]) - now}
end
take(doubts + 1)
return {name, turn, lost, doubts == 0 and 'claimed' or 'doubt', doubts}
""",
    keys=2,
)
"""A claim, and whether the memory is the one that the claimer has seen before.

That memory lives longer than whatever it is about, unless nobody claims for a year.
"""

_OWNED: Final = (
    KEY
    + """
local found = redis.call('HMGET', key, 'token', 'state', 'body', 'doubts')
local mine = found[1] == ARGV[1]
local owned = mine and found[2] == 'claimed'
"""
)

RENEW: Final = Script(
    _OWNED
    + """
if not owned then return 0 end
redis.call('HSET', key, 'until', now + tonumber(ARGV[2]), 'doubts', ARGV[3])
live(tonumber(ARGV[2]) + keep * 1000000)
return 1
"""
)

COMPLETE: Final = Script(
    _OWNED
    + """
if mine and found[2] == 'done' and found[3] == ARGV[3] then return 1 end
if not owned then return 0 end
redis.call('HSET', key, 'state', 'done', 'body', ARGV[3])
live(tonumber(ARGV[2]))
return 1
"""
)

DOUBT: Final = Script(
    _OWNED
    + """
if mine and found[2] == 'doubt' and found[4] == ARGV[3] then return 1 end
if not owned then return 0 end
redis.call('HSET', key, 'state', 'doubt', 'doubts', ARGV[3])
live(tonumber(ARGV[2]))
return 1
"""
)

RELEASE: Final = Script(
    _OWNED
    + """
if not owned then return 0 end
redis.call('DEL', key)
return 1
"""
)


class Connection(Protocol):
    """What is used of redis-py's connection."""

    def pack_commands(self, commands: Sequence[Sequence[Argument]]) -> list[bytes]: ...

    async def send_packed_command(self, command: list[bytes]) -> None: ...

    async def read_response(self) -> object: ...

    async def disconnect(self, nowait: bool = False) -> None: ...


class Pool(Protocol):
    """What is used of redis-py's pool."""

    def make_connection(self) -> object: ...

    async def get_connection(self) -> Connection: ...

    async def release(self, connection: Connection) -> None: ...

    async def aclose(self) -> None: ...


@define(eq=False)
class Ask:
    """One operation, and the caller who waits for it."""

    script: Script
    arguments: tuple[Argument, ...]
    answer: asyncio.Future[object]

    def command(self, *, whole: bool) -> tuple[Argument, ...]:
        """By the script's name, or with its whole text, which Redis then knows too."""
        if whole:
            return ("EVAL", self.script.text, self.script.keys, *self.arguments)
        return ("EVALSHA", self.script.digest, self.script.keys, *self.arguments)

    def notify(self, answer: object) -> None:
        """Answer the caller, unless it gave up."""
        if not self.answer.done():
            self.answer.set_result(answer)


async def run(connection: Connection, batch: Sequence[Ask]) -> list[object]:
    """Send a batch in one piece, and return the answer or `Failure` of each."""
    answers = await _send(connection, [ask.command(whole=False) for ask in batch])
    unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        again = await _send(connection, [batch[n].command(whole=True) for n in unknown])
        for n, answer in zip(unknown, again, strict=True):
            answers[n] = answer
    return [_failure(a) if isinstance(a, Exception) else a for a in answers]


async def _send(connection: Connection, commands: Sequence[Sequence[Argument]]) -> list[object]:
    await connection.send_packed_command(connection.pack_commands(commands))
    return [await _read(connection) for _ in commands]


async def _read(connection: Connection) -> object:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def find_refusal(answers: Sequence[object]) -> str:
    """What the server said if it does nothing now, since another one is in charge or it loads."""
    failures = (answer for answer in answers if isinstance(answer, Failure))
    return next((failure.reason for failure in failures if failure.did_nothing), "")


def is_refusal(error: BaseException) -> bool:
    """Whether the server did nothing, and may do it later, or another one in its place."""
    context = error.__context__  # redis-py's words for a master that Sentinel has replaced
    return (
        isinstance(error, _REFUSALS)
        or isinstance(context, _REFUSALS)
        or any(sign in str(error) for sign in _SIGNS)
    )


def is_unknown(error: BaseException) -> bool:
    """Whether the server doesn't know a script by its name."""
    return isinstance(error, NoScriptError)


def _failure(error: Exception) -> Failure:
    if isinstance(error, MovedError) or str(error).startswith("MOVED "):  # before redis-py 6
        return Failure("it is one node of a cluster: use redis+cluster://")
    return Failure(words(error), is_refusal(error))


def words(error: BaseException) -> str:
    """What an error says; empty for a timeout that says nothing."""
    return str(error) or ("" if isinstance(error, TimeoutError) else type(error).__name__)


def _hashed(text: str) -> str:
    return sha256(encoded(text)).hexdigest()


def _tagged(name: str) -> str:
    """The hash tag of a scope: whatever belongs to a merchant is on one node of a cluster."""
    scope, colon, _ = name.partition(":")
    return f"{PREFIX}{{{_hashed(scope if colon else '')[:16]}}}:"


def memory_name(key: str) -> str:
    """The name of what says which memory a key is in."""
    return f"{_tagged(key)}memory"


def key_name(key: str) -> str:
    """The key's name in Redis, from which it can't be read."""
    return f"{_tagged(key)}key:{_hashed(key)}"


def window_arguments(window: Window, token: str) -> tuple[str, int, int, bytes]:
    """What every script of a window begins with."""
    # A window without an endpoint is named by its scope alone.
    name = f"{_tagged(window.name + ':')}window:{_hashed(window.name)}"
    per = max(1, micro(window.limit.per))
    return name, window.limit.requests, per, encoded(token)


def reserve_of(lane: Lane) -> str:
    """The share of the slots known to be ours that a lane leaves to others."""
    return str(BULK_RESERVE if lane is Lane.BULK else 0)


def is_hopeless(error: BaseException) -> bool:
    """Whether connecting again soon can't help: wrong password, certificate or database."""
    refused = isinstance(error.__context__, ssl.SSLCertVerificationError)
    return refused or isinstance(error, ResponseError | AuthenticationError)
