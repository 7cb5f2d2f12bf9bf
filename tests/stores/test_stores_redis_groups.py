"""Redis behind Sentinel and in a cluster: real servers, one of which dies."""

import asyncio
import signal
from collections.abc import Iterator
from functools import partial

import pytest
from support.redis_groups import Group, client, cluster, has_copied, sentinels, until
from support.servers import PASSWORD, new_valkey, redis_url

from frame_async import FrameClient, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, StoreError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claim, Claimed, Done, InDoubt, InFlight, Store, Window

pytest.importorskip("redis")

from frame_async.stores.redis import RedisStore

SCOPES = [f"merchant{n}" for n in range(12)]


@pytest.fixture
def watched() -> Iterator[Group]:
    """A master and a replica behind three Sentinels."""
    with sentinels() as group:
        yield group


@pytest.fixture
def clustered() -> Iterator[Group]:
    """Three masters and three replicas."""
    with cluster() as group:
        yield group


async def claimed_soon(store: Store, key: str) -> Claim:
    """Claim a key; a store that can't answer is asked again, for half a minute."""
    for _ in range(60):
        try:
            return await store.claim(key, "a=1", 60)
        except StoreError:
            await asyncio.sleep(0.3)
    return await store.claim(key, "a=1", 60)


async def use(store: Store) -> None:
    """Keys in all states, and a window, for each merchant."""
    for scope in SCOPES:
        claim = await store.claim(f"{scope}:done", "a=1", 60)
        assert isinstance(claim, Claimed)
        assert await store.renew(f"{scope}:done", claim.token, 60, 1)
        assert await store.complete(f"{scope}:done", claim.token, b"{}", 3600)
        assert isinstance(await store.claim(f"{scope}:flight", "a=1", 60), Claimed)
        window = Window(scope, RateLimit(2))
        assert [await store.enter(window, t, Lane.INTERACTIVE, 60) > 0 for t in "abc"] == [
            *(False, False),
            True,
        ]
        await store.leave(window, "a", sent=False)
        assert await store.opens_in(window, Lane.INTERACTIVE, 0) == 0


async def nothing_was_lost(store: Store) -> None:
    """What `use` left is there."""
    for scope in SCOPES:
        assert await claimed_soon(store, f"{scope}:done") == Done(b"{}")
        assert isinstance(await claimed_soon(store, f"{scope}:flight"), InFlight)
        assert isinstance(await claimed_soon(store, f"{scope}:new"), Claimed)


class TestSentinel:
    """One server, named by Sentinels."""

    async def test_a_failover(
        self, watched: Group, emulator: Emulator, order: PaymentLinkSessionRequest
    ) -> None:
        """When the master dies, its replica answers, with all that was copied; calls go on."""
        store = RedisStore(watched.url, timeout=10)
        await use(store)
        async with FrameClient(
            emulator.api_key, base_url=emulator.base_url, store=watched.url
        ) as frame:
            create = frame.payment_link_sessions.create
            first = await create(order, idempotency_key="one")
            (copied,) = [client(watched.servers[0]).wait(1, 5000)]
            assert copied == 1
            watched.servers[0].stop(signal.SIGKILL)
            await nothing_was_lost(store)
            again = await create(order, idempotency_key="one")
        assert again.id == first.id
        assert again.call.replayed
        await store.aclose()

    async def test_a_frozen_master(self, watched: Group) -> None:
        """A master that hangs is replaced as well; when it goes on, nobody listens to it."""
        store = RedisStore(watched.url, timeout=2)
        await use(store)
        client(watched.servers[0]).wait(1, 5000)
        watched.servers[0].freeze()
        await nothing_was_lost(store)
        watched.servers[0].thaw()
        until(lambda: client(watched.servers[0]).info("replication")["role"] == "slave", "role")
        for scope in SCOPES:
            assert isinstance(await store.claim(f"{scope}:newer", "a=1", 60), Claimed)
        await store.aclose()

    async def test_an_empty_replica_takes_over(self, watched: Group) -> None:
        """Failover to a replica that knows nothing leaves doubt, not freedom."""
        store = RedisStore(watched.url, timeout=2)
        await use(store)
        replica = client(watched.servers[1])
        watched.servers[0].stop(signal.SIGKILL)
        replica.replicaof("NO", "ONE")
        replica.flushall()
        for scope in SCOPES:
            assert isinstance(await claimed_soon(store, f"{scope}:done"), InDoubt)
            assert isinstance(await claimed_soon(store, f"{scope}:new"), InDoubt)
        await store.aclose()

    async def test_nobody_knows_the_service(self, watched: Group) -> None:
        """A service that no Sentinel knows is said, without a password."""
        store = RedisStore(watched.url.replace("/shop/0", "/shoppe/0"), timeout=1)
        with pytest.raises(StoreError, match="shoppe") as caught:
            await store.claim("k", "a=1", 60)
        assert PASSWORD not in str(caught.value)
        await store.aclose()


class TestCluster:
    """Many servers, each with its own part."""

    async def test_a_merchant_is_on_one_node(self, clustered: Group) -> None:
        """All merchants' keys are spread over the masters, each merchant's are together."""
        store = RedisStore(clustered.url, timeout=10)
        await use(store)
        tags = [
            {key.split(b"}")[0] for key in client(server).scan_iter()}
            for server in clustered.servers[:3]
        ]
        assert sum(map(len, tags)) == len(set().union(*tags)) == len(SCOPES)
        assert all(tags)
        await store.aclose()

    async def test_a_failover(
        self, clustered: Group, emulator: Emulator, order: PaymentLinkSessionRequest
    ) -> None:
        """When masters die one by one, their replicas answer, with all that was copied."""
        store = RedisStore(clustered.url, timeout=10)
        await use(store)
        async with FrameClient(
            emulator.api_key, base_url=emulator.base_url, store=clustered.url
        ) as frame:
            create = frame.payment_link_sessions.create
            first = await create(order, idempotency_key="one")
            for master in clustered.servers[:3]:
                client(master).wait(1, 5000)
            clustered.servers[0].stop(signal.SIGKILL)
            await nothing_was_lost(store)
            again = await create(order, idempotency_key="one", timeout=60)
        assert again.id == first.id
        await store.aclose()

    async def test_a_frozen_node_hangs_no_call(self, clustered: Group) -> None:
        """While a node hangs its calls end within the timeout, and others' are answered."""
        store = RedisStore(clustered.url, timeout=1)
        await use(store)
        clustered.servers[2].freeze()
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await asyncio.gather(
            *(store.claim(f"{scope}:k", "a=1", 60) for scope in SCOPES), return_exceptions=True
        )
        assert loop.time() - began < 2
        kinds = {type(answer) for answer in answers}
        assert kinds <= {Claimed, StoreError}
        assert Claimed in kinds
        clustered.servers[2].thaw()
        for scope in SCOPES:
            assert isinstance(await claimed_soon(store, f"{scope}:later"), Claimed)
        await store.aclose()

    async def test_slots_that_move(self, clustered: Group) -> None:
        """What MOVED says is followed: a merchant's slot that moves takes the calls along."""
        store = RedisStore(clustered.url, timeout=10)
        assert isinstance(await store.claim("m:k", "a=1", 60), Claimed)
        holders = [s for s in clustered.servers[:3] if client(s).dbsize()]
        (source,) = holders
        target = next(s for s in clustered.servers[:3] if s is not source)
        keys = list(client(source).scan_iter())
        slot = client(source).execute_command("CLUSTER", "KEYSLOT", keys[0])
        ids = [client(s).execute_command("CLUSTER", "MYID") for s in (source, target)]
        client(target).execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        client(source).execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        client(source).execute_command(
            *("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
        )
        assert isinstance(await store.claim("m:k", "a=1", 60), InFlight)
        for server in (target, source):
            client(server).execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        assert isinstance(await store.claim("m:k", "a=1", 60), InFlight)
        assert isinstance(await store.claim("m:other", "a=1", 60), Claimed)
        await store.aclose()

    async def test_one_node_by_itself(self, clustered: Group) -> None:
        """A plain URL of a cluster's node says which URL is right."""
        stores = [RedisStore(redis_url(server), timeout=2) for server in clustered.servers[:2]]
        said = [
            answer
            for store in stores
            for answer in [
                await asyncio.gather(store.claim("m:k", "a=1", 60), return_exceptions=True)
            ]
        ]
        assert any("use redis+cluster://" in str(answer) for answer in said)
        for store in stores:
            await store.aclose()


async def test_a_server_that_loads_is_waited_for() -> None:
    """A server that still loads its data (-LOADING) is asked again, not given up on."""
    server = new_valkey(**{"enable-debug-command": "local"})
    with client(server) as plain:
        plain.execute_command("DEBUG", "POPULATE", 60_000, "x", 200)
        plain.save()
    server.stop(signal.SIGKILL)
    server.command += ["--key-load-delay", "30", "--loading-process-events-interval-bytes", "1024"]
    server.start()
    store = RedisStore(redis_url(server), timeout=30)
    with client(server) as plain:
        assert plain.info("persistence")["loading"] == 1
    assert isinstance(await store.claim("k", "a=1", 60), Claimed)
    await store.aclose()
    server.stop(signal.SIGKILL)


async def test_a_replica_by_itself() -> None:
    """A replica (READONLY) is asked until the timeout, and the reason is said then."""
    master = new_valkey()
    replica = new_valkey(replicaof=f"127.0.0.1 {master.port}", masterauth=PASSWORD)
    until(partial(has_copied, client(replica)), "replica")
    store = RedisStore(redis_url(replica), timeout=1)
    with pytest.raises(StoreError, match="read only replica"):
        await store.claim("k", "a=1", 60)
    client(replica).replicaof("NO", "ONE")
    assert isinstance(await store.claim("k", "a=1", 60), Claimed)
    await store.aclose()
    for server in (master, replica):
        server.stop(signal.SIGKILL)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis+sentinel://host", "/service"),
        ("redis+sentinel://host/", "/service"),
        ("redis+sentinel:///shop", "/service"),
        ("redis+sentinel://host:99999999/shop", "/service"),
        ("redis+sentinel://a,,b/shop", "/service"),
        ("redis+sentinel://host/shop/x", "/service"),
        ("redis+sentinel://:p@ss@host/shop", "percent-encoded"),
        ("redis+sentinel://host/shop#part", "percent-encoded"),
        ("redis+sentinel://host/shop?db=1", "the option db"),
        ("redis+sentinel://host/shop?client_name=a&client_name=b", "the option client_name"),
        ("redis+cluster://host/0", "redis"),
        ("redis+cluster://", "host:6379"),
        ("redis+cluster://host?sentinel_password=x", "sentinel_password"),
        ("redis+cluster://host?max_connections=1", "max_connections"),
        ("redis+other://host", "redis\\+cluster"),
    ],
)
def test_what_can_not_be_used(url: str, named: str) -> None:
    """A part that would be passed over is refused by name."""
    with pytest.raises(ConfigurationError, match=named):
        RedisStore(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+sentinel://a,b:1/shop", "redis+sentinel://a:26379,b:1/shop"),
        ("rediss+sentinel://u:s3cret@a/shop/3", "rediss+sentinel://a:26379/shop"),
        ("redis+cluster://:s3cret@a,[::1]:7000", "redis+cluster://a:6379,::1:7000"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    """A store shows its servers, and nothing of users and passwords."""
    assert repr(RedisStore(url)) == f"RedisStore({shown})"
