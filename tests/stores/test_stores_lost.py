"""A server that lost its memory while we watched isn't an empty one."""

import asyncio
import logging
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from support.servers import (
    Server,
    new_postgres,
    new_valkey,
    open_postgres,
    open_redis,
    patiently,
    postgres_url,
    redis_url,
)

from frame_async import FrameClient, OutcomeUnknownError, PaymentLinkSessionRequest, RetryPolicy
from frame_async.emulator import Emulator
from frame_async.stores import Claimed, Done, InDoubt, Store

redis = pytest.importorskip("redis")
psycopg = pytest.importorskip("psycopg")


@define
class Watched:
    """A server, and how it loses what it remembers."""

    server: Server
    url: str
    open: Callable[[str], Store]
    copies: dict[str, Any] = field(factory=dict[str, Any])


@pytest.fixture
def valkey() -> Iterator[Watched]:
    """A Valkey server of one's own."""
    server = new_valkey()
    yield Watched(server, redis_url(server), open_redis)
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def one_postgres() -> Iterator[Server]:
    """A PostgreSQL server of this module's own."""
    server = new_postgres(durable=False)
    yield server
    server.stop()


@pytest.fixture
def postgres(one_postgres: Server) -> Watched:
    """An empty database."""
    url = postgres_url(one_postgres)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return Watched(one_postgres, url, open_postgres)


def flush(valkey: Watched) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


def restart(valkey: Watched) -> None:
    """A restart without persistence."""
    valkey.server.stop(signal.SIGKILL)
    valkey.server.start()


def save(valkey: Watched) -> None:
    """Write a snapshot."""
    with redis.Redis.from_url(valkey.url) as client:
        client.save()
    folder = valkey.server.folder
    shutil.copy(folder / "dump.rdb", folder / "older.rdb")


def restore(valkey: Watched) -> None:
    """Begin again with an older snapshot."""
    valkey.server.stop(signal.SIGKILL)
    folder = valkey.server.folder
    shutil.copy(folder / "older.rdb", folder / "dump.rdb")
    valkey.server.start()


def run_sql(statement: str) -> Callable[[Watched], None]:
    """Run a statement of an administrator."""

    def run(postgres: Watched) -> None:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(statement)

    run.__doc__ = statement
    return run


def _client_program(postgres: Watched, name: str, *options: str, given: bytes = b"") -> bytes:
    program = Path(postgres.server.command[0]).with_name(name)
    command = [str(program), *options, postgres.url]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def dump(postgres: Watched) -> None:
    """pg_dump."""
    postgres.copies["older"] = _client_program(postgres, "pg_dump", "--clean", "--if-exists", "-d")


def undump(postgres: Watched) -> None:
    """Restore the older dump."""
    given = postgres.copies["older"]
    _client_program(postgres, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", given=given)


def nothing(_: Watched) -> None:
    """Nothing happens."""


LOSSES = {
    "flush": ("valkey", nothing, flush),
    "restart": ("valkey", nothing, restart),
    "snapshot": ("valkey", save, restore),
    "truncate": ("postgres", nothing, run_sql("TRUNCATE frame_async_keys")),
    "delete": ("postgres", nothing, run_sql("DELETE FROM frame_async_keys")),
    "drop table": ("postgres", nothing, run_sql("DROP TABLE frame_async_keys CASCADE")),
    "drop schema": (
        "postgres",
        nothing,
        run_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
    ),
    "dump": ("postgres", dump, undump),
}


@define
class Loss:
    """What is watched, and what happens to it."""

    watched: Watched
    before: Callable[[Watched], None]
    happen: Callable[[Watched], None]


@pytest.fixture(params=list(LOSSES))
def loss(request: pytest.FixtureRequest) -> Loss:
    """Each way to lose what was remembered."""
    kind, before, happen = LOSSES[request.param]
    return Loss(request.getfixturevalue(kind), before, happen)


@pytest.fixture
async def opened(loss: Loss) -> AsyncIterator[Callable[[], Store]]:
    """Opens stores as processes do, and closes them in the end."""
    stores: list[Store] = []

    def open_one() -> Store:
        stores.append(loss.watched.open(loss.watched.url))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.aclose()


async def finish(store: Store, key: str) -> None:
    """Claim a key and complete it."""
    claim = await store.claim(key, "a=1", 60)
    assert isinstance(claim, Claimed), claim
    assert await store.complete(key, claim.token, b"{}", 3600)


async def test_what_was_known_is_in_doubt(
    loss: Loss, opened: Callable[[], Store], caplog: pytest.LogCaptureFixture
) -> None:
    """After the loss every key is in doubt, for all who come, and each watcher says it once."""
    watchers = [opened(), opened()]
    await finish(watchers[0], "kept")
    await finish(watchers[1], "kept too")
    await asyncio.to_thread(loss.before, loss.watched)
    for n in range(5):
        for number, watcher in enumerate(watchers):
            await finish(watcher, f"{number} {n}")
    await asyncio.to_thread(loss.happen, loss.watched)
    caplog.set_level(logging.ERROR, "frame_async")
    assert isinstance(await patiently(watchers[0], "0 0"), InDoubt)
    others = [opened(), *watchers]
    for turn in range(3):
        for number, store in enumerate(others):
            claim = await store.claim(f"{number} {turn + 1}", "a=1", 60)
            assert isinstance(claim, InDoubt), (turn, number)
            assert claim.doubts == 1
            assert await store.complete(f"{number} {turn + 1}", claim.token, b"new", 3600)
    assert await others[1].claim("1 1", "a=1", 60) == Done(b"new")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    assert all("is in doubt" in words for words in said)


async def test_a_storm_of_claims_at_the_loss(loss: Loss, opened: Callable[[], Store]) -> None:
    """Of fifty claims at once right after the loss, none takes the key for one never used."""
    watcher = opened()
    await finish(watcher, "kept")
    await asyncio.to_thread(loss.before, loss.watched)
    for n in range(50):
        await finish(watcher, f"{n}")
    await asyncio.to_thread(loss.happen, loss.watched)
    claims = await asyncio.gather(*(watcher.claim(f"{n}", "a=1", 60) for n in range(50)))
    assert {type(claim) for claim in claims} == {InDoubt}


@pytest.mark.parametrize("loss", ["flush", "truncate"], indirect=True)
async def test_a_call_admits_it(
    loss: Loss, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A call with a key of before admits a possible duplicate, or raises if it is to."""
    async with FrameClient(
        emulator.api_key, base_url=emulator.base_url, store=loss.watched.url
    ) as frame:
        create = frame.payment_link_sessions.create
        first = await create(order, idempotency_key="one")
        await create(order, idempotency_key="two")
        await asyncio.to_thread(loss.happen, loss.watched)
        with pytest.raises(OutcomeUnknownError):
            await create(order, idempotency_key="two", retry=RetryPolicy(on_unknown="raise"))
        again = await create(order, idempotency_key="one")
    assert first.call.possible_duplicates == 0
    assert again.call.possible_duplicates == 1
    assert not again.call.replayed


async def test_scopes_lose_apart(valkey: Watched) -> None:
    """What one merchant's keys lost says nothing of another's, which may be on another node."""
    store = valkey.open(valkey.url)
    for key in ("one:k", "other:k"):
        await finish(store, key)
    with redis.Redis.from_url(valkey.url) as client:
        tags = {key.split(b"}")[0] for key in client.scan_iter()}
        assert len(tags) == 2
        (mine,) = {key.split(b"}")[0] for key in client.scan_iter() if key in names_of("one:k")}
        client.delete(*(key for key in client.scan_iter() if key.startswith(mine)))
    assert isinstance(await store.claim("one:new", "a=1", 60), InDoubt)
    assert isinstance(await store.claim("other:new", "a=1", 60), Claimed)
    await store.aclose()


def names_of(key: str) -> set[bytes]:
    """Under which name a key is."""
    from frame_async.stores import _redis_scripts

    return {_redis_scripts.key_name(key).encode()}


@pytest.mark.parametrize("kind", ["valkey", "postgres"])
async def test_nothing_was_lost(kind: str, request: pytest.FixtureRequest) -> None:
    """Processes that come and go, and a server that restarts with its data, leave no doubt."""
    watched: Watched = request.getfixturevalue(kind)
    watcher, other = watched.open(watched.url), watched.open(watched.url)
    for n in range(3):
        await finish(watcher, f"{n}")
        await finish(other, f"other {n}")
        late = watched.open(watched.url)
        await finish(late, f"late {n}")
        await late.aclose()
    claims = [watcher.claim(f"one {n}", "a=1", 60) for n in range(50)]
    claims += [other.claim(f"two {n}", "a=1", 60) for n in range(50)]
    assert {type(claim) for claim in await asyncio.gather(*claims)} == {Claimed}
    if kind == "valkey":
        await asyncio.to_thread(save, watched)
        await asyncio.to_thread(restore, watched)
    else:
        await asyncio.to_thread(watched.server.stop)
        await asyncio.to_thread(watched.server.start)
    assert isinstance(await patiently(watcher, "new"), Claimed)
    assert await patiently(other, "1") == Done(b"{}")
    assert isinstance(await other.claim("other new", "a=1", 60), Claimed)
    await watcher.aclose()
    await other.aclose()


@pytest.mark.parametrize("loss", ["flush", "truncate"], indirect=True)
async def test_the_doubt_ends(loss: Loss, opened: Callable[[], Store]) -> None:
    """Doubt lasts for the longest time that anything was to be kept, and for 25 hours at least."""
    watcher = opened()
    await finish(watcher, "k")
    claim = await watcher.claim("long", "a=1", 60)
    assert isinstance(claim, Claimed)
    await watcher.complete("long", claim.token, b"{}", 200_000)
    loss.happen(loss.watched)
    assert isinstance(await watcher.claim("k", "a=1", 60), InDoubt)
    assert 199_000 < doubtful_seconds(loss.watched) <= 200_001
    set_doubt_over(loss.watched)
    assert isinstance(await watcher.claim("new", "a=1", 60), Claimed)


def doubtful_seconds(watched: Watched) -> float:
    """For how many seconds from now unknown keys are in doubt."""
    if watched.open is open_redis:
        with redis.Redis.from_url(watched.url) as client:
            (name,) = client.keys("*memory")
            seconds, _ = client.time()
            return int(client.hget(name, "doubtful_until")) / 1e6 - int(seconds)
    with psycopg.connect(watched.url) as connection:
        (left,) = connection.execute(
            "SELECT until - frame_async_2_now() FROM frame_async_keys WHERE name = ''"
        ).fetchone() or (0,)
    return left / 1e6


def set_doubt_over(watched: Watched) -> None:
    """Pretend that the time is over."""
    if watched.open is open_redis:
        with redis.Redis.from_url(watched.url) as client:
            (name,) = client.keys("*memory")
            client.hset(name, "doubtful_until", 1)
    else:
        run_sql("UPDATE frame_async_keys SET until = 1 WHERE name = ''")(watched)
