"""What is Redis's own: keys and their lives, and a server that restarts, hangs or is away."""

import asyncio
import gc
import importlib
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
from support.servers import (
    ENCODED_PASSWORD,
    Doorman,
    Server,
    assert_tells_no_secret,
    compare_with_memory,
    empty_redis,
    ends,
    free_port,
    in_a_child,
    new_valkey,
    patiently,
    redis_url,
    shown,
    tls_before,
    valkey_server,
    without_frames_of_tests,
)

from frame_async.errors import ConfigurationError, StoreError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, Done, InDoubt, InFlight, Window

redis = pytest.importorskip("redis")

from frame_async.stores import _redis_scripts, _redis_windows  # noqa: E402
from frame_async.stores import redis as redis_store  # noqa: E402
from frame_async.stores.redis import RedisStore  # noqa: E402

API_KEY = "sk_live_VeRySeCrEt"


@pytest.fixture
def url() -> str:
    """The URL of an empty server."""
    return empty_redis()


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """A plain client of the same server."""
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
async def store(url: str) -> AsyncIterator[RedisStore]:
    """A store on the empty server."""
    store = RedisStore(url, timeout=30)
    yield store
    await store.aclose()


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that nobody else uses."""
    server = new_valkey()
    yield server
    server.stop()


async def use_everything(store: RedisStore, name: str) -> None:
    """Leave a key in each of its states, and a window with slots of every kind."""
    for state in ("claimed", "done", "doubt", "free"):
        claim = await store.claim(f"{name} {state}", "a=1", 5)
        assert isinstance(claim, Claimed)
        await store.renew(f"{name} {state}", claim.token, 30, 1)
        if state == "done":
            await store.complete(f"{name} {state}", claim.token, b"{}", 60)
        elif state == "doubt":
            await store.doubt(f"{name} {state}", claim.token, 2, 60)
        elif state == "free":
            await store.release(f"{name} {state}", claim.token)
    window = Window(name, RateLimit(10))
    for token in ("held", "answered", "refused", "unused"):
        await store.enter(window, token, Lane.INTERACTIVE, 30)
    await store.leave(window, "answered", sent=True)
    await store.leave(window, "unused", sent=False)
    await store.refuse(window, "refused", 1)
    await store.refuse(Window(f"{name} only refused", RateLimit(1)), "x", 1)
    await store.leave(Window(f"{name} only left", RateLimit(1)), "x", sent=True)


class TestKeys:
    """What stands in Redis."""

    async def test_every_key_has_a_time_to_live(self, store: RedisStore, raw: Any) -> None:
        """Nothing stays for ever: every key that any operation writes has a time to live."""
        await use_everything(store, "k")
        lives = {key: raw.pttl(key) for key in raw.scan_iter()}
        assert len(lives) == 7
        assert all(life > 0 for life in lives.values()), lives

    async def test_key_names_tell_nothing(self, store: RedisStore, raw: Any) -> None:
        """Keys have our prefix, and neither the idempotency key nor the API key is in them."""
        await use_everything(store, f"order 42 {API_KEY}")
        for key in raw.scan_iter():
            assert key.startswith(b"frame_async:")
            assert b"order" not in key
            assert b"VeRySeCrEt" not in key

    async def test_a_claim_outlives_its_lease(self, store: RedisStore, raw: Any) -> None:
        """What is left of a claim stays for 26 hours after its lease at least, renewed too."""
        claim = await store.claim("k", "a=1", 10)
        assert isinstance(claim, Claimed)
        (key,) = raw.keys("*:key:*")
        assert raw.ttl(key) >= 26 * 3600
        raw.expire(key, 100)
        await store.renew("k", claim.token, 10, 1)
        assert raw.ttl(key) >= 26 * 3600

    async def test_a_window_outlives_its_slots(self, store: RedisStore, raw: Any) -> None:
        """A window is never forgotten while a slot in it is taken."""
        window = Window("w", RateLimit(2, 50_000))
        await store.enter(window, "a", Lane.INTERACTIVE, 90_000)
        (key,) = raw.keys()
        assert raw.ttl(key) >= 140_000 + 26 * 3600
        await store.enter(window, "b", Lane.INTERACTIVE, 1)
        assert raw.ttl(key) >= 140_000 + 26 * 3600

    async def test_something_else_under_the_name(self, store: RedisStore, raw: Any) -> None:
        """Where the name of a key holds something foreign, that call fails, and no other."""
        await store.claim("k", "a=1", 10)
        (key,) = raw.keys("*:key:*")
        raw.delete(key)
        raw.set(key, "foreign")
        answers = await asyncio.gather(
            store.claim("k", "a=1", 10), store.claim("other", "a=1", 10), return_exceptions=True
        )
        assert isinstance(answers[0], StoreError)
        assert "WRONGTYPE" in str(answers[0])
        assert isinstance(answers[1], Claimed)

    async def test_scripts_that_were_flushed(self, store: RedisStore, raw: Any) -> None:
        """A server that lost our scripts gets them again, and the call succeeds."""
        await use_everything(store, "before")
        raw.script_flush()
        await use_everything(store, "after")

    async def test_one_round_trip(self, store: RedisStore, raw: Any) -> None:
        """Each operation is one command, however many run at once."""
        await store.claim("first", "a=1", 10)
        raw.config_resetstat()
        await asyncio.gather(*(store.claim(f"{n}", "a=1", 10) for n in range(50)))
        calls = raw.info("commandstats")
        sent = {name for name in calls if name in ("cmdstat_evalsha", "cmdstat_eval")}
        assert sent == {"cmdstat_evalsha"}
        assert calls["cmdstat_evalsha"]["calls"] == 50


class TestTime:
    """Only the server's clock counts."""

    async def test_the_clients_clock_is_not_used(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client whose clock is decades off sees and makes the same leases."""
        claim = await store.claim("k", "a=1", 0.3)
        assert isinstance(claim, Claimed)
        monkeypatch.setattr(time, "time", lambda: 5e9)
        monkeypatch.setattr(time, "time_ns", lambda: 5 * 10**18)
        assert isinstance(await store.claim("k", "a=1", 10), InFlight)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        await asyncio.sleep(0.4)
        assert isinstance(await store.claim("k", "a=1", 10), InDoubt)

    async def test_like_the_memory_store(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On random sequences of operations it answers as the memory store does.

        The scripts get a hand-set time in place of Redis's `TIME`, in this test only.
        """
        originals = {
            name: script
            for name, script in (vars(_redis_scripts) | vars(_redis_windows)).items()
            if isinstance(script, _redis_scripts.Script)
        }

        def set_time(seconds: float) -> None:
            stands = f"local now = {round(seconds * 1e6)}\n"
            for name, script in originals.items():
                assert _redis_scripts.CLOCK in script.text
                text = script.text.replace(_redis_scripts.CLOCK, stands)
                monkeypatch.setattr(redis_store, name, attrs.evolve(script, text=text))

        for seed in range(30):
            await compare_with_memory(store, f"{seed}", random.Random(seed), set_time)


class TestTrouble:
    """A server that restarts, hangs, refuses or is away."""

    async def test_a_restart_is_survived(self, own: Server) -> None:
        """After a restart the next call connects again; without persistence, keys are in doubt."""
        store = RedisStore(redis_url(own))
        assert isinstance(await store.claim("k", "a=1", 60), Claimed)
        await asyncio.to_thread(own.stop)
        await asyncio.to_thread(own.start)
        assert isinstance(await store.claim("k", "a=1", 60), InDoubt)
        await store.aclose()

    async def test_a_short_absence_is_waited_for(self, own: Server) -> None:
        """Calls that find nobody there wait, within their timeout, and succeed."""
        store = RedisStore(redis_url(own), timeout=10)
        await store.claim("k", "a=1", 60)
        await asyncio.to_thread(own.stop)
        calls = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(20)]
        await asyncio.sleep(0.3)
        assert not any(call.done() for call in calls)
        await asyncio.to_thread(own.start)
        assert all(isinstance(answer, InDoubt) for answer in await asyncio.gather(*calls))
        await store.aclose()

    async def test_a_hung_server_hangs_nobody(self, own: Server) -> None:
        """While the server hangs, every call fails within its timeout; then all goes on."""
        store = RedisStore(redis_url(own), timeout=0.5)
        await patiently(store, "k")
        own.freeze()
        taken: list[float] = []
        for size in (1, 40):
            started = time.monotonic()
            calls = (store.claim(f"{n}", "a=1", 60) for n in range(size))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(answer, StoreError) for answer in answers)
            taken.append(time.monotonic() - started)
        assert taken[1] < 10 * taken[0], "they waited one after the other"
        assert "no answer within 0.5 s" in str(answers[0])
        own.thaw()
        assert isinstance(await patiently(store, "k"), InFlight)
        await store.aclose()

    async def test_nobody_there_is_said(self) -> None:
        """When nobody listens, the error says where, and what happened."""
        port = free_port()
        store = RedisStore(f"redis://127.0.0.1:{port}", timeout=0.3)
        with pytest.raises(StoreError, match=f"redis://127.0.0.1:{port}.*connecting to"):
            await store.claim("k", "a=1", 60)
        await store.aclose()

    async def test_no_storm(self) -> None:
        """However many wait for a server that fails, it sees few connections."""
        doorman = Doorman()
        server = await doorman.open()
        store = RedisStore(f"redis://127.0.0.1:{doorman.port}", timeout=1.5)
        calls = (store.claim(f"{n}", "a=1", 60) for n in range(200))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, StoreError) for answer in answers)
        assert 2 <= doorman.visits <= 12
        await store.aclose()
        server.close()
        await server.wait_closed()

    async def test_a_wrong_password_is_said_at_once(self, url: str) -> None:
        """A password that the server refuses fails at once, and isn't shown."""
        place = url.partition("@")[2]
        store = RedisStore(f"redis://:wr0ng@{place}", timeout=600)
        with pytest.raises(StoreError, match="password") as caught:
            async with asyncio.timeout(30):  # it can't get better by trying again
                await store.claim("k", "a=1", 60)
        assert_tells_no_secret(caught.value)
        await store.aclose()

    async def test_no_error_tells_the_password(self, own: Server) -> None:
        """Whatever goes wrong, no error, with all variables of its traceback, shows it."""
        url = redis_url(own)
        store = RedisStore(url, timeout=0.3)
        await patiently(store, "k")
        for trouble in ("freeze", "stop", "close"):
            if trouble == "close":
                await store.aclose()
            else:
                await asyncio.to_thread(getattr(own, trouble))
            with pytest.raises(StoreError) as caught:
                await store.claim("k", "a=1", 60)
            assert_tells_no_secret(caught.value)
        assert "pa55" not in repr(store)

    async def test_a_caller_who_leaves_disturbs_nobody(self, store: RedisStore) -> None:
        """Cancelling some of many calls leaves the others their answers."""
        calls = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(60)]
        await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(a, asyncio.CancelledError) for a in answers[::3])
        assert all(isinstance(a, Claimed) for a in answers[1::3] + answers[2::3])

    async def test_operations_can_be_repeated(self, store: RedisStore) -> None:
        """Doing the same again with the same token changes nothing, and says the same."""
        claim = await store.claim("k", "a=1", 60)
        assert isinstance(claim, Claimed)
        for _ in range(2):
            assert await store.renew("k", claim.token, 60, 1)
        for _ in range(2):
            assert await store.complete("k", claim.token, b"{}", 60)
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        doubted = await store.claim("d", "a=1", 60)
        assert isinstance(doubted, Claimed)
        for _ in range(2):
            assert await store.doubt("d", doubted.token, 3, 60)
        window = Window("w", RateLimit(2))
        for _ in range(3):
            assert await store.enter(window, "one", Lane.INTERACTIVE, 60) == 0
        assert await store.enter(window, "two", Lane.INTERACTIVE, 60) == 0
        assert await store.enter(window, "three", Lane.INTERACTIVE, 60) > 0
        assert await store.enter(window, "one", Lane.INTERACTIVE, 60) == 0

    async def test_a_closed_store_says_so(self, url: str) -> None:
        """After closing, every operation raises a `StoreError`, also if it never connected."""
        store = RedisStore(url, timeout=30)
        await store.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await store.claim("k", "a=1", 60)
        with pytest.raises(StoreError, match="is closed"):
            await store.enter(Window("w", RateLimit(1)), "a", Lane.BULK, 1)

    async def test_closing_waits_for_answers(self, url: str) -> None:
        """What was on its way when the store was closed gets its answer, or an error."""
        store = RedisStore(url, timeout=30)
        calls = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(20)]
        await asyncio.sleep(0.01)
        await store.aclose()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, Claimed | StoreError) for answer in answers)


class TestLoopsAndProcesses:
    """One store, used from more than one event loop or process."""

    def test_one_loop_after_another(self, url: str) -> None:
        """A second event loop gets a connection of its own; the first one's was closed."""
        store = RedisStore(url, timeout=30)
        assert isinstance(asyncio.run(store.claim("k", "a=1", 60)), Claimed)
        assert isinstance(asyncio.run(store.claim("k", "a=1", 60)), InFlight)
        asyncio.run(store.aclose())
        gc.collect()  # an open connection would warn here

    def test_a_program_that_forgets_to_close_ends(self) -> None:
        """An event loop ends though its store is still waiting for a server to answer."""

        async def forget(port: int) -> None:
            store = RedisStore(f"redis://127.0.0.1:{port}/0")
            asking = asyncio.create_task(store.claim("k", "a=1", 60))
            await asyncio.sleep(0.2)
            assert not asking.done()

        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert ends(lambda: asyncio.run(forget(silent.getsockname()[1])))

    def test_loops_side_by_side(self, url: str) -> None:
        """Event loops in several threads use one store at once, and one closes it for all."""
        store = RedisStore(url, timeout=30)
        answers: list[object] = []
        everybody = threading.Barrier(4)

        async def work(n: int) -> None:
            answers.append(await store.claim(f"{n}", "a=1", 60))
            await asyncio.to_thread(everybody.wait, 10)
            if n == 0:
                await store.aclose()
            await asyncio.sleep(0.3)

        threads = [threading.Thread(target=asyncio.run, args=[work(n)]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [type(answer) for answer in answers] == [Claimed] * 4
        gc.collect()

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_a_forked_child(self, url: str) -> None:
        """A forked child connects for itself, and the parent's connection goes on."""

        async def parent(store: RedisStore) -> None:
            assert isinstance(await store.claim("k", "a=1", 60), Claimed)
            assert in_a_child(child)
            assert isinstance(await store.claim("child", "a=1", 60), InFlight)
            await store.aclose()

        def child() -> bool:
            asyncio.set_event_loop(None)
            asyncio._set_running_loop(None)
            answers = asyncio.run(asked())
            return [type(answer) for answer in answers] == [InFlight, Claimed]

        async def asked() -> list[object]:
            return [await store.claim("k", "a=1", 60), await store.claim("child", "a=1", 60)]

        store = RedisStore(url, timeout=30)
        asyncio.run(parent(store))


class TestTLS:
    """``rediss://``: nobody but the server that was meant gets password and keys."""

    async def test_a_trusted_server(self, tmp_path: Path) -> None:
        """With the authority that signed its certificate, everything works."""
        authority = trustme.CA()
        trusted = tmp_path / "authority.pem"
        authority.cert_pem.write_to_path(trusted)
        empty_redis()
        async with tls_before(valkey_server(), certified(authority, "localhost")) as port:
            store = RedisStore(f"{tls_url(port)}?ssl_ca_certs={trusted}", timeout=5)
            await use_everything(store, "tls")
            assert repr(store) == f"RedisStore(rediss://localhost:{port})"
            await store.aclose()

    @pytest.mark.parametrize("fault", ["authority", "name"])
    async def test_another_server(self, fault: str, tmp_path: Path) -> None:
        """A certificate of an unknown authority, or for another name, gets nothing."""
        authority = trustme.CA()
        trusted = tmp_path / "authority.pem"
        (trustme.CA() if fault == "authority" else authority).cert_pem.write_to_path(trusted)
        name = "localhost" if fault == "authority" else "other.example"
        async with tls_before(valkey_server(), certified(authority, name)) as port:
            store = RedisStore(f"{tls_url(port)}?ssl_ca_certs={trusted}", timeout=600)
            with pytest.raises(StoreError, match="certificate verify failed") as caught:
                async with asyncio.timeout(30):  # it can't get better by trying again
                    await store.claim("k", "a=1", 60)
            assert_tells_no_secret(caught.value)
            await store.aclose()

    async def test_the_wrong_scheme(self, url: str) -> None:
        """A server without TLS is no server for ``rediss://``, and hears no password."""
        store = RedisStore(tls_url(valkey_server().port), timeout=0.5)
        with pytest.raises(StoreError) as caught:
            await store.claim("k", "a=1", 60)
        assert_tells_no_secret(caught.value)
        await store.aclose()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def tls_url(port: int) -> str:
    return f"rediss://:{ENCODED_PASSWORD}@localhost:{port}/0"


class TestAddress:
    """What the URL may be."""

    async def test_a_unix_socket(self, url: str) -> None:
        """A Unix socket works, with its password as an option."""
        password = url.partition("//:")[2].partition("@")[0]
        path = valkey_server().folder / "socket"
        store = RedisStore(f"unix://{path}?db=1&password={password}")
        assert isinstance(await store.claim("k", "a=1", 60), Claimed)
        assert repr(store) == f"RedisStore(unix://{path})"
        await store.aclose()

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "redis",
            "http://:s3cret@host",
            "redis://:s3cret@host:port/0",
            "redis://:s3c#ret@host/0",
            "redis://:1/s3cret@host/0",
            "redis://:1?s3cret@host/0",
            "redis://:s3cret@[::1",
            "redis://:s3cret@host?socket_timeout=100",
            "redis://:s3cret@host?decode_responses=true",
            "redis://:s3cret@host/0?db=1",
            "redis://:s3cret@host?db=1&db=2",
            "redis://:s3cret@host/shop",
            "redis://:s3cret@host/0/1",
            "redis://:s3cret@host?ssl_nonsense=1",
            "unix:///tmp/socket?password=s3cret&nonsense=1",
        ],
    )
    def test_what_can_not_be_used(self, bad: str) -> None:
        """A URL that can't be used is said so before any I/O, without showing it."""
        with pytest.raises(ConfigurationError) as caught:
            RedisStore(bad)
        text = shown(without_frames_of_tests(caught.value))
        assert "s3c" not in text
        assert "ret@" not in text

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True])
    def test_a_timeout_out_of_bounds(self, timeout: float) -> None:
        """A timeout must be a number of seconds above 0."""
        with pytest.raises(ConfigurationError, match="timeout"):
            RedisStore("redis://host", timeout=timeout)

    def test_a_missing_library_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the redis library the error names the extra that brings it."""
        monkeypatch.setitem(sys.modules, "redis.exceptions", None)
        monkeypatch.delitem(sys.modules, "frame_async.stores._redis_scripts")
        monkeypatch.delitem(sys.modules, "frame_async.stores.redis")
        with pytest.raises(ConfigurationError, match=r"frame-async\[redis\]"):
            importlib.import_module("frame_async.stores.redis")
