"""What is PostgreSQL's own: tables and their lives, and a server that restarts or hangs."""

import asyncio
import gc
import importlib
import random
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.servers import (
    Doorman,
    Server,
    assert_tells_no_secret,
    compare_with_memory,
    empty_postgres,
    ends,
    free_port,
    in_a_child,
    new_postgres,
    patiently,
    postgres_url,
    shown,
    without_frames_of_tests,
)

from frame_async.errors import ConfigurationError, StoreError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, Done, InDoubt, InFlight, Window

psycopg = pytest.importorskip("psycopg")

from frame_async.stores import _postgres_schema  # noqa: E402
from frame_async.stores._links import Failure  # noqa: E402
from frame_async.stores.postgres import PostgresStore  # noqa: E402

API_KEY = "sk_live_VeRySeCrEt"

DROPS = [
    *(f"DROP TABLE frame_async_{name} CASCADE" for name in ("keys", "windows", "slots")),
    *(f"DROP INDEX frame_async_{name}" for name in ("keys_forget_at", "slots_held")),
    *(f"DROP INDEX frame_async_{name}" for name in ("slots_frees_at",)),
    "DROP TABLE frame_async_version",
    "ALTER TABLE frame_async_keys DROP CONSTRAINT frame_async_keys_pkey",
    "ALTER TABLE frame_async_windows DROP CONSTRAINT frame_async_windows_pkey",
    *(
        f"DROP FUNCTION frame_async_2_{name} CASCADE"
        for name in [
            "now",
            "forget",
            "change",
            "appoint",
            "window",
            "wait",
            "got",
            "probing",
            "enter",
            "leave",
        ]
    ),
    "DROP FUNCTION frame_async_2_refuse",
    "DROP FUNCTION frame_async_3_claim",
    "DROP FUNCTION frame_async_3_memory",
    "DROP SEQUENCE frame_async_turns",
]


@pytest.fixture
def url() -> str:
    """The URL of a database where nothing of ours is stored."""
    return empty_postgres()


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """A plain connection to the same database."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def fresh(url: str, raw: Any) -> Iterator[str]:
    """The URL of an empty schema, without any of our tables."""
    name = f"fresh_{random.randrange(10**9)}"
    raw.execute(f"CREATE SCHEMA {name}")
    yield f"{url}?options=-csearch_path%3D{name}"
    raw.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    """A store on the empty database."""
    store = PostgresStore(url, timeout=30)
    yield store
    await store.aclose()


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that only this module uses, and each test leaves running."""
    server = new_postgres()
    yield server
    server.stop()


async def claimed(store: PostgresStore, key: str) -> str:
    """Claim a free key."""
    claim = await store.claim(key, "a=1", 60)
    assert isinstance(claim, Claimed)
    return claim.token


async def claimed_soon(store: PostgresStore, key: str) -> None:
    """Claim a key as soon as the server can answer."""
    assert isinstance(await patiently(store, key), Claimed)


class TestSchema:
    """Tables and functions."""

    async def test_many_create_it_at_once(self, fresh: str) -> None:
        """Any number of stores that find nothing at once create it once, and all go on."""
        stores = [PostgresStore(fresh, timeout=30) for _ in range(6)]
        calls = (store.claim(f"{n}", "a=1", 60) for store in stores for n in range(5))
        answers = await asyncio.gather(*calls)
        assert sum(isinstance(answer, Claimed) for answer in answers) == 5
        assert sum(isinstance(answer, InFlight) for answer in answers) == 25
        await asyncio.gather(*(store.aclose() for store in stores))

    async def test_it_can_be_created_beforehand(self, fresh: str) -> None:
        """Running `SCHEMA` by hand is as good, and running it again changes nothing."""
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute(PostgresStore.SCHEMA)
            connection.execute(PostgresStore.SCHEMA)
        store = PostgresStore(fresh, timeout=30)
        await claimed(store, "k")
        await store.aclose()

    async def test_it_is_created_again(self, fresh: str) -> None:
        """When the tables vanish under an open store, it makes them anew."""
        store = PostgresStore(fresh, timeout=30)
        await claimed(store, "k")
        with psycopg.connect(fresh, autocommit=True) as connection:
            (name,) = connection.execute("SELECT current_schema()").fetchone() or ("",)
            connection.execute(f"DROP SCHEMA {name} CASCADE; CREATE SCHEMA {name}")
        assert isinstance(await store.claim("k", "a=1", 60), InDoubt)
        await store.aclose()

    @pytest.mark.parametrize("reopened", [False, True])
    @pytest.mark.parametrize("statement", DROPS)
    async def test_whatever_is_missing_is_made_anew(
        self, fresh: str, statement: str, reopened: bool
    ) -> None:
        """A table, function or index that is dropped alone is there again after the next call."""
        store = PostgresStore(fresh, timeout=30)
        window = Window("w", RateLimit(5))
        await claimed(store, "before")
        assert not await store.enter(window, "t", Lane.BULK, 60)
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute(statement)
            if reopened:
                await store.aclose()
                store = PostgresStore(fresh, timeout=30)
            assert isinstance(await store.claim("k", "a=1", 60), Claimed | InDoubt)
            await store.enter(window, "u", Lane.INTERACTIVE, 60)
            await store.leave(window, "u", sent=True)
            await store.refuse(window, "u", 1)
            assert isinstance(await store.claim("k", "a=1", 60), InFlight)
            if reopened:  # what nothing failed for is missed by the next connection
                query = _postgres_schema.missing(PostgresStore.SCHEMA)
                assert connection.execute(query).fetchone() == (False,)
        await store.aclose()

    async def test_a_changed_table_is_named(self, fresh: str) -> None:
        """A table without a column can't be mended: the error says what to run."""
        store = PostgresStore(fresh, timeout=30)
        await claimed(store, "k")
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute("ALTER TABLE frame_async_keys DROP COLUMN fingerprint CASCADE")
        with pytest.raises(StoreError, match="DROP TABLE frame_async_version"):
            await store.claim("k", "a=1", 60)
        await store.aclose()

    @pytest.mark.parametrize(
        "setting",
        [
            "timezone = 'Asia/Kolkata'",
            "datestyle = 'German'",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "statement_timeout = 1000",
            "lock_timeout = 1",
            "client_encoding = 'SQL_ASCII'",
            "client_encoding = 'LATIN1'",
            "search_path = nowhere",
            "search_path = ''",
        ],
    )
    async def test_settings_are_ours(self, fresh: str, setting: str) -> None:
        """Whatever the server's defaults are for a user, answers are as ever."""
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute(PostgresStore.SCHEMA)
            connection.execute(f"ALTER ROLE CURRENT_USER SET {setting}")
            name, _, value = setting.partition(" = ")
            try:
                store = PostgresStore(fresh, timeout=30)
                await claimed(store, "k")
                assert isinstance(await store.claim("k", "a=1", 60), InFlight)
                link = await store._links.here()
                row = await link.ask(b"t", f"SELECT current_setting('{name}')", [])
                assert row != (value.strip("'"),)
                assert not isinstance(row, Failure)
                await store.aclose()
            finally:
                connection.execute("SET default_transaction_read_only = off")
                connection.execute(f"ALTER ROLE CURRENT_USER RESET {name}")

    @pytest.mark.parametrize("path", ["''", "nowhere", "pg_temp", "pg_catalog"])
    async def test_a_search_path_that_nobody_asked_for(
        self, url: str, raw: Any, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        """Of role, database and environment, no search_path takes the store elsewhere."""
        for store in [PostgresStore(url, timeout=30)]:
            await claimed(store, "k")
            await store.aclose()
        monkeypatch.setenv("PGOPTIONS", f"-csearch_path={path}")
        for scope in ("ROLE CURRENT_USER", "DATABASE postgres"):
            raw.execute(f"ALTER {scope} SET search_path = {path}")
            try:
                store = PostgresStore(url, timeout=30)
                assert isinstance(await store.claim("k", "a=1", 60), InFlight)
                await store.aclose()
            finally:
                raw.execute(f"ALTER {scope} RESET search_path")

    async def test_a_schema_that_is_not_there(self, url: str, raw: Any) -> None:
        """Without the schema, nothing is made anywhere else: the error says what is missing."""
        for name, there in (("nowhere", url + "?options=-csearch_path%3Dnowhere"), ("public", url)):
            if name == "public":
                raw.execute("ALTER SCHEMA public RENAME TO hidden")
            try:
                store = PostgresStore(there, timeout=5)
                with pytest.raises(StoreError, match="no schema"):
                    await store.claim("k", "a=1", 60)
                await store.aclose()
            finally:
                if name == "public":
                    raw.execute("ALTER SCHEMA hidden RENAME TO public")

    async def test_an_encoding_of_the_environment(
        self, fresh: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PGCLIENTENCODING is not followed."""
        monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
        store = PostgresStore(fresh, timeout=30)
        await claimed(store, "k")
        assert isinstance(await store.claim("k", "a=1", 60), InFlight)
        await store.aclose()

    async def test_a_newer_version_is_left_alone(self, fresh: str) -> None:
        """Tables of a later version are not touched; the error says what to do."""
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute("CREATE TABLE frame_async_version (version integer)")
            connection.execute("INSERT INTO frame_async_version VALUES (99)")
        store = PostgresStore(fresh, timeout=30)
        with pytest.raises(StoreError, match=r"version 99.*upgrade frame-async"):
            await store.claim("k", "a=1", 60)
        await store.aclose()

    async def test_missing_privileges_are_said(self, fresh: str, raw: Any) -> None:
        """A user who may not create tables is told what is needed."""
        raw.execute(
            "DO $$BEGIN CREATE ROLE poor LOGIN PASSWORD 'poor'; "
            "EXCEPTION WHEN duplicate_object THEN NULL; END$$"
        )
        place = fresh.partition("@")[2]
        for right, said in (("", "no schema"), ("USAGE", "permission denied for schema")):
            if right:
                name = fresh.rpartition("3D")[2]
                raw.execute(f"GRANT {right} ON SCHEMA {name} TO poor")
            store = PostgresStore(f"postgresql://poor:poor@{place}", timeout=30)
            with pytest.raises(StoreError, match=rf"{said}.*PostgresStore\.SCHEMA"):
                await store.claim("k", "a=1", 60)
            await store.aclose()

    async def test_a_stricter_isolation(self, url: str) -> None:
        """Where transactions are serializable by default, answers are the same."""
        strict = f"{url}?options=-cdefault_transaction_isolation%3Dserializable"
        stores = [PostgresStore(strict, timeout=30, connections=2) for _ in range(2)]
        window = Window("w", RateLimit(5))
        waits = await asyncio.gather(
            *(
                store.enter(window, f"{n} {store_number}", Lane.INTERACTIVE, 60)
                for n in range(4)
                for store_number, store in enumerate(stores)
            )
        )
        assert waits.count(0) == 5
        answers = await asyncio.gather(*(store.claim("k", "a=1", 60) for store in stores))
        assert sorted(type(answer).__name__ for answer in answers) == ["Claimed", "InFlight"]
        for store in stores:
            await store.aclose()


class TestRows:
    """What stands in the tables."""

    async def test_rows_tell_nothing(self, store: PostgresStore, raw: Any) -> None:
        """Neither the idempotency key nor a window's name can be read in any table."""
        await claimed(store, f"order 42 {API_KEY}")
        await store.enter(Window(f"w {API_KEY}", RateLimit(2)), "t", Lane.BULK, 60)
        for table in ("keys", "windows", "slots"):
            rows = raw.execute(f"SELECT * FROM frame_async_{table}").fetchall()
            assert rows
            assert "order" not in str(rows)
            assert "VeRySeCrEt" not in str(rows)

    async def test_what_expired_is_deleted(self, store: PostgresStore, raw: Any) -> None:
        """Claims delete what has expired, a few rows each; what is still good stays."""
        for n in range(20):
            await store.complete(f"{n}", await claimed(store, f"{n}"), b"{}", 0.0)
        await store.complete("good", await claimed(store, "good"), b"{}", 60)
        before = raw.execute("SELECT count(*) FROM frame_async_keys").fetchone()[0]
        assert before < 21
        for n in range(4):
            await claimed(store, f"new {n}")
        assert raw.execute("SELECT count(*) FROM frame_async_keys").fetchone()[0] == 6
        assert await store.claim("good", "a=1", 60) == Done(b"{}")

    async def test_idle_windows_are_deleted(self, store: PostgresStore, raw: Any) -> None:
        """A window that nobody used for long goes with its slots; no other does."""
        for name in ("old", "new"):
            await store.enter(Window(name, RateLimit(2)), "t", Lane.BULK, 60)
        assert raw.execute("SELECT count(*) FROM frame_async_slots").fetchone()[0] == 2
        raw.execute(
            "UPDATE frame_async_windows SET forget_at = 1 WHERE name = sha256('old'::bytea)"
        )
        await claimed(store, "k")
        assert raw.execute("SELECT count(*) FROM frame_async_slots").fetchone()[0] == 1
        assert raw.execute("SELECT count(*) FROM frame_async_windows").fetchone()[0] == 1

    async def test_a_claim_outlives_its_lease(self, store: PostgresStore, raw: Any) -> None:
        """What is left of a claim stays for 26 hours after its lease at least."""
        await store.renew("k", await claimed(store, "k"), 10, 1)
        (kept,) = raw.execute(
            "SELECT forget_at - frame_async_2_now() FROM frame_async_keys WHERE name <> ''"
        ).fetchone()
        assert kept >= 26 * 3600 * 1e6


class TestTime:
    """Only the server's clock counts."""

    async def test_the_clients_clock_is_not_used(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client whose clock is decades off sees and makes the same leases."""
        assert isinstance(await store.claim("k", "a=1", 0.3), Claimed)
        monkeypatch.setattr(time, "time", lambda: 5e9)
        monkeypatch.setattr(time, "time_ns", lambda: 5 * 10**18)
        assert isinstance(await store.claim("k", "a=1", 10), InFlight)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        await asyncio.sleep(0.4)
        assert isinstance(await store.claim("k", "a=1", 10), InDoubt)

    async def test_like_the_memory_store(self, fresh: str) -> None:
        """On random sequences of operations it answers as the memory store does.

        In a schema of its own the function that reads the clock reads a table instead.
        """
        stands = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        assert stands in _postgres_schema.CLOCK
        with psycopg.connect(fresh, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute("CREATE TABLE hand (clock bigint); INSERT INTO hand VALUES (0)")
            connection.execute(PostgresStore.SCHEMA)
            connection.execute(_postgres_schema.CLOCK.replace(stands, "clock FROM hand"))

            def set_time(seconds: float) -> None:
                connection.execute("UPDATE hand SET clock = %s", [round(seconds * 1e6)])

            store = PostgresStore(f"{fresh}%20-csynchronous_commit%3Doff", timeout=30)
            for seed in range(20):
                await compare_with_memory(store, f"{seed}", random.Random(seed), set_time)
            await store.aclose()


class TestTrouble:
    """A server that restarts, hangs, refuses or is away."""

    async def test_a_restart_keeps_everything(self, own: Server) -> None:
        """After a restart the next calls connect again, and find all as it was."""
        store = PostgresStore(postgres_url(own), timeout=5)
        token = await claimed(store, "restart")
        window = Window("restart", RateLimit(1))
        assert await store.enter(window, "a", Lane.BULK, 60) == 0
        await asyncio.to_thread(own.stop)
        await asyncio.to_thread(own.start)
        assert isinstance(await store.claim("restart", "a=1", 60), InFlight)
        assert await store.enter(window, "b", Lane.BULK, 60) > 0
        assert await store.complete("restart", token, b"{}", 60)
        await store.aclose()

    async def test_a_short_absence_is_waited_for(self, own: Server) -> None:
        """Calls that find nobody there wait, within their timeout, and succeed."""
        store = PostgresStore(postgres_url(own), timeout=15)
        await claimed(store, "absence")
        await asyncio.to_thread(own.stop)
        calls = [asyncio.create_task(store.claim(f"a{n}", "a=1", 60)) for n in range(20)]
        await asyncio.sleep(0.3)
        assert not any(call.done() for call in calls)
        await asyncio.to_thread(own.start)
        assert all(isinstance(answer, Claimed) for answer in await asyncio.gather(*calls))
        await store.aclose()

    async def test_a_killed_server_keeps_what_it_promised(self, own: Server) -> None:
        """What was completed before a kill -9 of the server is there after its recovery."""
        store = PostgresStore(postgres_url(own), timeout=15)
        await store.complete("crash", await claimed(store, "crash"), b"{}", 600)
        own.signal_all(9)
        await asyncio.to_thread(own.process.wait)  # type: ignore[union-attr]  # it runs
        await asyncio.to_thread(own.start)
        assert await store.claim("crash", "a=1", 60) == Done(b"{}")
        await store.aclose()

    async def test_an_outage_is_said_once(
        self, own: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However many calls meet a server that is away, the pool says so once each time."""
        store = PostgresStore(postgres_url(own), timeout=1)
        for outage in range(2):
            await claimed_soon(store, f"before {outage}")
            await asyncio.to_thread(own.stop)
            caplog.clear()
            for _ in range(3):
                calls = (store.claim(f"{n}", "a=1", 60) for n in range(20))
                await asyncio.gather(*calls, return_exceptions=True)
            said = [r for r in caplog.records if "connect" in r.msg and r.name == "psycopg.pool"]
            assert len([r for r in said if "discarding" not in r.msg]) == 1
            await asyncio.to_thread(own.start)
        await store.aclose()

    async def test_a_hung_server_hangs_nobody(self, own: Server) -> None:
        """While the server hangs, every call fails within its timeout; then all goes on."""
        store = PostgresStore(postgres_url(own), timeout=0.8)
        await claimed(store, "hung")
        own.freeze()
        try:
            taken: list[float] = []
            for size in (1, 40):
                started = time.monotonic()
                calls = (store.claim(f"h{n}", "a=1", 60) for n in range(size))
                answers = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(answer, StoreError) for answer in answers)
                taken.append(time.monotonic() - started)
            assert taken[1] < 10 * taken[0], "they waited one after the other"
            assert "no answer within 0.8 s" in str(answers[0])
            (link,) = store._links._by_loop.values()
            async with asyncio.timeout(30):  # or an operation lingers
                while link._running:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
        finally:
            own.thaw()
        assert isinstance(await patiently(store, "hung"), InFlight)
        await store.aclose()

    async def test_nobody_there_is_said(self) -> None:
        """When nobody listens, the error says where, and what happened."""
        port = free_port()
        store = PostgresStore(f"postgresql://127.0.0.1:{port}/db", timeout=0.5)
        with pytest.raises(StoreError, match=f"127.0.0.1:{port}/db.*refused"):
            await store.claim("k", "a=1", 60)
        await store.aclose()

    async def test_no_storm(self) -> None:
        """However many wait for a server that fails, it sees few connections."""
        doorman = Doorman()
        server = await doorman.open()
        store = PostgresStore(f"postgresql://127.0.0.1:{doorman.port}/db", timeout=1.5)
        calls = (store.claim(f"{n}", "a=1", 60) for n in range(200))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, StoreError) for answer in answers)
        assert 1 <= doorman.visits <= 24
        await store.aclose()
        server.close()
        await server.wait_closed()

    async def test_a_wrong_password_is_not_shown(self, url: str) -> None:
        """A password that the server refuses is said, and isn't shown."""
        place = url.partition("@")[2]
        store = PostgresStore(f"postgresql://postgres:wr0ng@{place}", timeout=3)
        with pytest.raises(StoreError, match="password authentication failed") as caught:
            await store.claim("k", "a=1", 60)
        assert_tells_no_secret(caught.value)
        await store.aclose()

    async def test_tls_that_is_asked_for_is_needed(self, url: str) -> None:
        """With ``sslmode=require`` a server without TLS is refused, and hears no password."""
        store = PostgresStore(f"{url}?sslmode=require", timeout=3)
        with pytest.raises(StoreError, match="SSL") as caught:
            await store.claim("k", "a=1", 60)
        assert_tells_no_secret(caught.value)
        await store.aclose()

    async def test_a_restart_in_the_middle(self, own: Server) -> None:
        """While the server restarts under load nothing hangs, nothing is lost or had by two."""
        store = PostgresStore(postgres_url(own), timeout=15)
        await patiently(store, "warm")
        answers: dict[str, str] = {}

        async def work(number: int) -> None:
            for turn in range(40):
                key = f"middle {number} {turn}"
                with suppress(StoreError):  # what may have happened is known from the server
                    claim = await store.claim(key, "a=1", 60)
                    assert isinstance(claim, Claimed)
                    answers[key] = "claimed"
                    assert await store.complete(key, claim.token, key.encode(), 60)
                    answers[key] = "done"

        working = asyncio.gather(*(work(number) for number in range(8)))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(own.stop)  # SIGINT: PostgreSQL ends what runs
        await asyncio.to_thread(own.start)
        await asyncio.wait_for(working, 30)
        assert sum(state == "done" for state in answers.values()) > 300
        for key, state in answers.items():
            found = await store.claim(key, "a=1", 60)
            assert isinstance(found, Done) or state == "claimed", (key, found)
            assert not isinstance(found, Claimed), (key, found)
        await store.aclose()

    async def test_no_error_tells_the_password(self, own: Server) -> None:
        """Whatever goes wrong, no error, with all variables of its traceback, shows it."""
        store = PostgresStore(postgres_url(own), timeout=0.5)
        await patiently(store, "secret")
        for trouble in ("freeze", "stop", "close"):
            if trouble == "close":
                await store.aclose()
            else:
                await asyncio.to_thread(getattr(own, trouble))
            with pytest.raises(StoreError) as caught:
                await store.claim("secret", "a=1", 60)
            assert_tells_no_secret(caught.value)
            if trouble == "freeze":
                own.thaw()
        assert "pa55" not in repr(store)
        await asyncio.to_thread(own.start)

    async def test_a_caller_who_leaves_disturbs_nobody(self, store: PostgresStore) -> None:
        """Cancelling some of many calls leaves the others their answers."""
        calls = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(60)]
        await asyncio.sleep(0.02)
        for call in calls[::3]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(a, Claimed) for a in answers[1::3] + answers[2::3])

    async def test_giving_back_comes_after_taking(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who is cancelled while entering and leaves at once leaves no slot behind."""
        window = Window("w", RateLimit(1))
        await store.leave(window, "nobody", sent=False)
        (link,) = store._links._by_loop.values()
        usable, delays = link._usable, iter([0.1])

        async def slow_at_first(deadline: float) -> Any:
            await asyncio.sleep(next(delays, 0))
            return await usable(deadline)

        monkeypatch.setattr(link, "_usable", slow_at_first)
        entering = asyncio.create_task(store.enter(window, "a", Lane.INTERACTIVE, 60))
        await asyncio.sleep(0.02)
        entering.cancel()
        await store.leave(window, "a", sent=False)
        await asyncio.sleep(0.3)
        assert await store.enter(window, "b", Lane.INTERACTIVE, 60) == 0

    async def test_operations_can_be_repeated(self, store: PostgresStore) -> None:
        """Doing the same again with the same token changes nothing, and says the same."""
        token = await claimed(store, "k")
        for _ in range(2):
            assert await store.renew("k", token, 60, 1)
        for _ in range(2):
            assert await store.complete("k", token, b"{}", 60)
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        doubted = await claimed(store, "d")
        for _ in range(2):
            assert await store.doubt("d", doubted, 3, 60)
        window = Window("w", RateLimit(2))
        for _ in range(3):
            assert await store.enter(window, "one", Lane.INTERACTIVE, 60) == 0
        assert await store.enter(window, "two", Lane.INTERACTIVE, 60) == 0
        assert await store.enter(window, "three", Lane.INTERACTIVE, 60) > 0
        assert await store.enter(window, "one", Lane.INTERACTIVE, 60) == 0

    async def test_a_closed_store_says_so(self, url: str) -> None:
        """After closing, every operation raises a `StoreError`, also if it never connected."""
        store = PostgresStore(url, timeout=30)
        await store.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await store.claim("k", "a=1", 60)

    async def test_closing_waits_for_answers(self, url: str) -> None:
        """What was on its way when the store was closed gets its answer, or an error."""
        store = PostgresStore(url, timeout=30)
        calls = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(20)]
        await asyncio.sleep(0.05)
        await store.aclose()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, Claimed | StoreError) for answer in answers)


class TestLoopsAndProcesses:
    """One store, used from more than one event loop or process."""

    def test_one_loop_after_another(self, url: str, raw: Any) -> None:
        """A second event loop gets connections of its own; the first one's were closed."""
        store = PostgresStore(f"{url}?application_name=loops", timeout=30)
        assert isinstance(asyncio.run(store.claim("k", "a=1", 60)), Claimed)
        assert isinstance(asyncio.run(store.claim("k", "a=1", 60)), InFlight)
        counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'loops'"
        until = time.monotonic() + 30  # the server is not in a hurry to end a session
        while raw.execute(counted).fetchone() != (0,):
            assert time.monotonic() < until, "a connection was left open"
            time.sleep(0.05)
        asyncio.run(store.aclose())
        gc.collect()  # an open connection would warn here

    def test_a_program_that_forgets_to_close_ends(self) -> None:
        """An event loop ends though its store is still waiting for a server to answer."""

        async def forget(port: int) -> None:
            store = PostgresStore(f"postgresql://127.0.0.1:{port}/0")
            asking = asyncio.create_task(store.claim("k", "a=1", 60))
            await asyncio.sleep(0.2)
            assert not asking.done()

        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert ends(lambda: asyncio.run(forget(silent.getsockname()[1])))

    def test_loops_side_by_side(self, url: str) -> None:
        """Event loops in several threads use one store at once, and one closes it for all."""
        store = PostgresStore(url, timeout=30)
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
        """A forked child connects for itself, and the parent's connections go on."""

        async def parent(store: PostgresStore) -> None:
            await claimed(store, "k")
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

        store = PostgresStore(url, timeout=30)
        asyncio.run(parent(store))


class TestAddress:
    """What the URL may be."""

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "postgresql",
            "mysql://u:s3cret@host/db",
            "postgresql://u:s3c@ret@host/db",
            "postgresql://u:s3cret@host:port@/db",
            "postgresql://u:s3cret@host/db?nonsense=1",
            "postgresql://u:s3cret@host/db?nonsense",
            "postgresql://u:s3cret@host/db#part",
            "postgresql://u:s3cret@host/db?sslmode=disable&sslmode=require",
            "postgresql://u:s3cret@host/db?client_encoding=LATIN1",
            "host=somewhere password=s3cret",
        ],
    )
    def test_what_can_not_be_used(self, bad: str) -> None:
        """A URL that can't be used is said so before any I/O, without showing it."""
        with pytest.raises(ConfigurationError) as caught:
            PostgresStore(bad)
        text = shown(without_frames_of_tests(caught.value))
        assert "s3c" not in text
        assert "ret@" not in text

    def test_both_spellings(self) -> None:
        """``postgres://`` is as good, and neither user nor password is shown."""
        store = PostgresStore("postgres://user:s3cret@host:1234/db")
        assert repr(store) == "PostgresStore(postgresql://host:1234/db)"

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True])
    def test_a_timeout_out_of_bounds(self, timeout: float) -> None:
        """A timeout must be a number of seconds above 0."""
        with pytest.raises(ConfigurationError, match="timeout"):
            PostgresStore("postgresql://host/db", timeout=timeout)

    @pytest.mark.parametrize("connections", [0, -1, 10**6, True])
    def test_connections_out_of_bounds(self, connections: int) -> None:
        """There must be a connection at least."""
        with pytest.raises(ConfigurationError, match="connections"):
            PostgresStore("postgresql://host/db", connections=connections)

    @pytest.mark.parametrize("library", ["psycopg", "psycopg_pool"])
    def test_a_missing_library_is_named(
        self, library: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without one of the libraries the error names the extra that brings both."""
        monkeypatch.setitem(sys.modules, library, None)
        monkeypatch.delitem(sys.modules, "frame_async.stores._postgres_link")
        monkeypatch.delitem(sys.modules, "frame_async.stores.postgres")
        with pytest.raises(ConfigurationError, match=r"frame-async\[postgres\]"):
            importlib.import_module("frame_async.stores.postgres")
