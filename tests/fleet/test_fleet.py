"""Runs on a database: enqueued once, worked off by anybody, with one result for each row."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import procrastinate
import psycopg
import pytest
from support.fleets import check_books, refusals

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.bulk.permits import PermitStore
from frame_async.bulk.rows import Row
from frame_async.bulk.state import RowResult, digest
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, StoreError
from frame_async.fleet import TASK, Fleet, open_fleet, register
from frame_async.fleet.runs import FleetRow, FleetRun, queue_of
from frame_async.fleet.work import FleetWork, Terms
from frame_async.serialization import dump
from frame_async.stores import MemoryStore, Window

KEY = "sk_sandbox_fleet_SECRETSECRET"
QUICK: dict[str, Any] = {"stalled_after": 1.5, "attempt_timeout": 5.0}


def rows(count: int, first: int = 1, **fields: Any) -> list[FleetRow]:
    """Rows as they come from a file."""
    requests = {
        n: PaymentLinkSessionRequest(
            client_reference_id=f"order-{n}", line_items=[LineItem(product="prod_1")], **fields
        )
        for n in range(first, first + count)
    }
    return [
        FleetRow(
            n, Row(n + 1, f"order-{n}", request, (), n), digest(request), dump(request).decode()
        )
        for n, request in requests.items()
    ]


def names(count: int) -> list[str]:
    return [f"order-{n}" for n in range(1, count + 1)]


@asynccontextmanager
async def fleet_on(
    url: str, emulator: Emulator, key: str = KEY, **settings: Any
) -> AsyncIterator[Fleet]:
    """A fleet on that database and emulator."""
    options = QUICK | {"rate_limit": None} | settings
    async with open_fleet(url, api_key=key, base_url=emulator.base_url, **options) as fleet:
        yield fleet


async def begin(fleet: Fleet, name: str = "orders.csv", **fields: Any) -> FleetRun:
    """A run for the API key of the fleet."""
    scope = fleet.work.client.scope
    values: dict[str, Any] = {
        "name": name,
        "queue": queue_of(scope),
        "mode": "sandbox",
        "target": "sandbox",
        "account": scope,
        "key_column": "",
    }
    return await fleet.runs.begin(FleetRun(**values | fields))


async def enqueue(fleet: Fleet, given: Sequence[FleetRow], **fields: Any) -> FleetRun:
    """A run with those rows."""
    run = await begin(fleet, **fields)
    await fleet.runs.enqueue(run, TASK, given)
    await fleet.runs.complete(run, len(given))
    found = await fleet.runs.find(run.name)
    assert found is not None
    return found


async def drained(fleet: Fleet) -> None:
    """Work until there is nothing left, which must not take for ever."""
    async with asyncio.timeout(90):
        await fleet.run_worker(drain=True)


async def results(fleet: Fleet, run: FleetRun) -> list[Any]:
    return [result async for result in fleet.runs.results(run)]


async def asked(url: str, statement: str) -> list[Any]:
    """What the database says."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return list(await (await connection.execute(statement.encode())).fetchall())


async def until(url: str, statement: str, wanted: Any = True) -> None:
    """Wait until the database says so."""
    async with asyncio.timeout(30):
        while (await asked(url, statement))[0][0] != wanted:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)


async def test_every_row_gets_one_result(database: str) -> None:
    """Rows are worked off, their jobs are gone afterwards, and so are their requests."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(30))
        await drained(fleet)
        found = await results(fleet, run)
        assert check_books(found, names(30), emulator) == 0
        assert [result["row"] for result in found] == list(range(1, 31))
        progress = await fleet.runs.progress(run, 10)
    assert progress.finished
    assert progress.counts[RowResult.CREATED] == 30
    assert await asked(database, "SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert await asked(
        database, "SELECT count(*) FROM frame_async_bulk_rows WHERE request IS NOT NULL"
    ) == [(0,)]


async def test_rows_are_enqueued_once(database: str) -> None:
    """Again, or at the same time, changes nothing: one job for each row."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        given = rows(50)
        run = await begin(fleet)
        first = await fleet.runs.enqueue(run, TASK, given[:30])
        assert (first.added, first.again, list(first.changed)) == (30, 0, [])
        enqueued = await asyncio.gather(*(fleet.runs.enqueue(run, TASK, given) for _ in range(4)))
        assert sum(each.added for each in enqueued) == 20
        jobs = await asked(database, "SELECT args ->> 'row' FROM procrastinate_jobs")
        assert sorted(int(row) for (row,) in jobs) == list(range(1, 51))
        linked = "SELECT count(*) FROM frame_async_bulk_rows r JOIN procrastinate_jobs j"
        linked += " ON j.id = r.job AND (j.args ->> 'row')::bigint = r.known_as"
        assert await asked(database, linked) == [(50,)]


async def test_a_changed_row_is_named_and_stays(database: str) -> None:
    """Another file under the name of a run sends nothing, and the rows are named."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(3))
        other = rows(4, customer_email="b@example.com")
        enqueued = await fleet.runs.enqueue(run, TASK, other)
        assert (enqueued.added, list(enqueued.changed)) == (1, [2, 3, 4])
        await drained(fleet)
        emails = Counter(
            entry.body["customer_email"]
            for entry in emulator.ledger
            if entry.body and "customer_email" in entry.body
        )
        assert sum(emails.values()) == 1


async def test_a_row_without_its_job_gets_another(database: str) -> None:
    """Where somebody removed jobs, the progress says so, and enqueuing again mends it."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        given = rows(5)
        run = await enqueue(fleet, given)
        await asked(
            database, "DELETE FROM procrastinate_jobs WHERE (args->>'row')::int < 3 RETURNING 1"
        )
        assert (await fleet.runs.progress(run, 0)).lost == 2
        for enqueued in await asyncio.gather(
            *(fleet.runs.enqueue(run, TASK, given) for _ in range(4))
        ):
            assert enqueued.added == 0
        assert (await fleet.runs.progress(run, 0)).lost == 0
        assert await asked(database, "SELECT count(*) FROM procrastinate_jobs") == [(5,)]
        await drained(fleet)
        check_books(await results(fleet, run), names(5), emulator)


async def test_a_row_that_is_handed_out_again_costs_nothing(database: str) -> None:
    """A job whose row has a result asks nobody; one whose session is stored asks the store."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(2))
        await drained(fleet)
        before = await results(fleet, run)
        await asked(
            database,
            "UPDATE frame_async_bulk_rows SET ending = NULL, result = NULL, job = NULL,"
            """ request = '{"client_reference_id":"order-1","line_items":[{"product":"prod_1"}]}'"""
            " WHERE known_as = 1 RETURNING 1",
        )
        for row in (1, 2):
            await fleet.app.configure_task(TASK, queue=run.queue).defer_async(run=run.id, row=row)
        fleet.work.stopping.clear()
        await drained(fleet)
        after = await results(fleet, run)
        assert len(emulator.ledger) == 2
        assert after[0]["session_id"] == before[0]["session_id"]
        assert after[0]["possible_duplicates"] == 0
        assert after[1] == before[1]


async def test_the_first_result_stays(database: str) -> None:
    """Should two workers have had a row, what the first one wrote is what counts."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(1))
        await fleet.runs.note_duplicates(run.id, 1, 2)
        assert (await fleet.runs.progress(run, 1)).doubtful == 1
        await fleet.runs.end(run.id, 1, RowResult.CREATED, 2, {"row": 1, "from": "first"})
        await fleet.runs.end(run.id, 1, RowResult.REFUSED, 0, {"row": 1, "from": "second"})
        assert await results(fleet, run) == [{"row": 1, "from": "first"}]
        progress = await fleet.runs.progress(run, 1)
        (row,) = progress.in_doubt
        assert (progress.counts[RowResult.CREATED], row.possible_duplicates) == (1, 2)


async def test_places_in_the_window_are_shared_and_used(database: str) -> None:
    """Two workers on one window: no 429, no row waits in hand, and the window is used."""
    limit = RateLimit(10, 1.0)
    async with Emulator(limit=limit.requests, period=limit.per) as emulator:
        async with (
            fleet_on(database, emulator, rate_limit=limit) as one,
            fleet_on(database, emulator, rate_limit=limit) as two,
        ):
            run = await enqueue(one, rows(40))
            await asyncio.gather(drained(one), drained(two))
            assert check_books(await results(one, run), names(40), emulator) == 0
            assert one.work.put_off + two.work.put_off == 0
        assert refusals(emulator) == 0


async def test_a_worker_of_ones_own_app_works_them_off_too(database: str) -> None:
    """A plain procrastinate worker does: a row that finds no place is put off, not held."""
    limit = RateLimit(2, 1.0)  # of which rows get one: less than any machine works off
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=database, min_size=1, max_size=4)
    )
    async with Emulator(limit=limit.requests, period=limit.per) as emulator, app.open_async():
        options = QUICK | {"rate_limit": limit, "base_url": emulator.base_url, "api_key": KEY}
        fleet = register(app, database, **options)
        with pytest.raises(ConfigurationError, match="procrastinate schema --apply"):
            await fleet.prepare()
        await app.schema_manager.apply_schema_async()
        await fleet.prepare()
        run = await enqueue(fleet, rows(5))
        working = asyncio.create_task(
            app.run_worker_async(
                concurrency=4, fetch_job_polling_interval=0.1, install_signal_handlers=False
            )
        )
        await until(database, "SELECT count(*) FROM frame_async_bulk_rows WHERE ending IS NULL", 0)
        working.cancel()
        await asyncio.wait({working})
        assert check_books(await results(fleet, run), names(5), emulator) == 0
        assert refusals(emulator) == 0
        assert fleet.work.put_off
        await fleet.aclose()


async def test_rows_without_a_place_are_put_off_far_apart() -> None:
    """Each to a time of its own, as places come; one that comes again gets the next place."""
    async with (
        Emulator(limit=None) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        window = Window("w", RateLimit(11, 20.0))
        permits = PermitStore(MemoryStore())
        while not (wait := await permits.take(window, 5.0)):
            pass
        terms = Terms(window=window, attempt_timeout=1.0, call_timeout=1.0)
        work = FleetWork(client, cast("Any", None), permits, terms)
        times = [work._slot(first=True) for _ in range(30)]
        assert times[0] == pytest.approx(wait, abs=1.0)
        assert times[-1] - times[0] == pytest.approx(29 * 2.0, abs=1.0)
        assert work._slot(first=False) == pytest.approx(wait, abs=1.0)


async def test_a_stop_lets_rows_in_hand_finish(database: str) -> None:
    """After `stop`, nothing new is taken and what is on the wire gets its result."""
    async with Emulator(limit=None, latency=0.5) as emulator:
        async with fleet_on(database, emulator) as fleet:
            run = await enqueue(fleet, rows(20))
            working = asyncio.create_task(fleet.run_worker(concurrency=4))
            await until(
                database, "SELECT count(*) >= 4 FROM procrastinate_jobs WHERE status='doing'"
            )
            fleet.stop()
            await working
            done = await results(fleet, run)
            progress = await fleet.runs.progress(run, 10)
        assert 4 <= len(done) == len(emulator.created()) < 20
        assert (progress.in_hand, progress.open, progress.lost) == (0, 20 - len(done), 0)
        async with fleet_on(database, emulator) as fleet:
            await drained(fleet)
            assert check_books(await results(fleet, run), names(20), emulator) == 0


async def test_a_second_stop_gives_them_back(database: str) -> None:
    """Rows in hand go back at once; what may have come of them is admitted."""
    async with Emulator(limit=None) as emulator:
        slow = emulator.add_fault("delay", seconds=60.0)
        async with fleet_on(database, emulator) as fleet:
            run = await enqueue(fleet, rows(6))
            working = asyncio.create_task(fleet.run_worker(concurrency=6))
            await until_true(lambda: len(emulator.created()) == 6)
            fleet.stop(0.0)
            async with asyncio.timeout(30):
                await working
            assert await results(fleet, run) == []
        assert await asked(database, "SELECT DISTINCT status::text FROM procrastinate_jobs") == [
            ("todo",)
        ]
        emulator.remove_fault(slow)
        async with fleet_on(database, emulator) as fleet:
            await drained(fleet)
            found = await results(fleet, run)
            assert check_books(found, names(6), emulator) == 6
            assert all(result["possible_duplicates"] == 1 for result in found)
            progress = await fleet.runs.progress(run, 10)
    assert len(progress.in_doubt) == 6


async def until_true(condition: Any) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # no event of ours
            await asyncio.sleep(0.02)


async def test_what_a_dead_worker_had_is_taken_over(database: str) -> None:
    """Its jobs come back within a bounded time after its last sign of life, and are done."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(3))
        # A worker that fetched two of them, and was never heard of again; and one pruned since.
        await asked(
            database,
            "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 hour') RETURNING id)"
            " UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead"
            " WHERE (args ->> 'row')::int < 3 RETURNING 1",
        )
        await drained(fleet)
        assert check_books(await results(fleet, run), names(3), emulator) == 0


async def test_rows_of_another_key_are_not_seen(database: str) -> None:
    """Each API key has its own queue: a worker with another one leaves the rows alone."""
    async with Emulator(limit=None) as emulator:
        async with fleet_on(database, emulator) as fleet:
            run = await enqueue(fleet, rows(3))
        async with fleet_on(database, emulator, key="sk_sandbox_of_somebody_else") as fleet:
            await drained(fleet)
            assert (await fleet.runs.progress(run, 0)).open == 3
        assert emulator.ledger == ()


async def test_rows_of_another_key_are_not_sent(database: str) -> None:
    """Should such a row come in all the same, the worker stops and the row stays."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(1), account="another", name="theirs")
        await fleet.run_worker()
        assert "theirs was enqueued for another API key" in fleet.halted
        assert (await fleet.runs.progress(run, 0)).open == 1
        assert emulator.ledger == ()


async def test_a_key_that_is_not_accepted_ends_the_worker(database: str) -> None:
    """401 is senseless to repeat: the worker ends and says so, and no row is lost."""
    async with Emulator(limit=None) as emulator:
        emulator.add_fault("refuse", status=401)
        async with fleet_on(database, emulator) as fleet:
            run = await enqueue(fleet, rows(5))
            await fleet.run_worker(concurrency=1)
            assert "401" in fleet.halted
            progress = await fleet.runs.progress(run, 0)
            assert (progress.open, progress.lost) == (5, 0)
        assert len(emulator.ledger) <= 2


async def test_the_wrong_mode_ends_the_worker(database: str) -> None:
    """A session that isn't of the run's mode stops the worker; its row has its result."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, rows(5), mode="live")
        await fleet.run_worker(concurrency=1)
        assert "live was meant" in fleet.halted
        assert (await fleet.runs.progress(run, 0)).counts[RowResult.CREATED] == 1


async def test_a_refused_row_is_a_result(database: str) -> None:
    """What the server refuses ends with its reason; taken up again, it is sent once more."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        fault = emulator.add_fault("refuse", status=422, reference="order-2")
        given = rows(3)
        run = await enqueue(fleet, given)
        await drained(fleet)
        found = await results(fleet, run)
        assert [result["result"] for result in found] == ["created", "refused", "created"]
        assert found[1]["error"]["status"] == 422
        emulator.remove_fault(fault)
        enqueued = await fleet.runs.enqueue(run, TASK, given, [RowResult.REFUSED])
        assert (enqueued.added, enqueued.again) == (0, 1)
        fleet.work.stopping.clear()
        await drained(fleet)
        assert check_books(await results(fleet, run), names(3), emulator) == 0


async def test_an_outage_is_waited_for(database: str) -> None:
    """While the server can't be reached, rows are tried one at a time, and none is given up."""
    async with Emulator(limit=None) as emulator:
        address = emulator.base_url
        async with fleet_on(database, emulator) as fleet:
            run = await enqueue(fleet, rows(10))
            await emulator.aclose()
            working = asyncio.create_task(fleet.run_worker(drain=True))
            await until_true(lambda: fleet.work.outage.why)
            port = int(address.split(":")[2].split("/")[0])
            async with Emulator(limit=None, port=port) as back:
                await working
                assert check_books(await results(fleet, run), names(10), back) == 0


async def test_the_database_keeps_no_secret(database: str) -> None:
    """Neither the API key nor the database's password is in any table."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        await enqueue(fleet, rows(2))
        await drained(fleet)
        await begin(fleet, name="open")
    tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
    seen = ""
    for (table,) in await asked(database, tables):
        seen += str(await asked(database, f"SELECT t::text FROM {table} t"))
    assert "order-1" in seen
    assert KEY not in seen
    assert "SECRETSECRET" not in seen


async def test_a_database_that_is_not_there_is_an_error_without_secrets() -> None:
    """It says so, with no word of the password and none of the key."""
    key = "sk_sandbox_hush-hush"
    with pytest.raises(StoreError, match="can't answer") as caught:
        async with open_fleet("postgresql://me:hush-hush@127.0.0.1:1/nothing", api_key=key):
            pass
    from support.servers import shown, without_frames_of_tests

    assert "hush-hush" not in shown(without_frames_of_tests(caught.value))


async def test_another_run_of_the_same_name_is_refused(database: str) -> None:
    """The name of a run stands for one mode, address, key and key column."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        await begin(fleet)
        for field, words in (
            ("target", "name the same mode and address"),
            ("account", "another API key"),
            ("key_column", "name the same column"),
        ):
            with pytest.raises(ConfigurationError, match=words):
                await begin(fleet, **{field: "other"})


async def test_any_text_passes(database: str) -> None:
    """References with characters that a database may not like come out as they went in."""
    texts = ["a\x00b", "per cent %s %(x)s", "ö€😀", "'; DROP TABLE x; --", "\\u0000", "{}"]
    given = []
    for n, text in enumerate(texts, 1):
        try:
            request = PaymentLinkSessionRequest(
                client_reference_id=text, line_items=[LineItem(product="prod_1")]
            )
        except ValueError:
            continue
        row = Row(n, text, request, (), n)
        given.append(FleetRow(n, row, digest(request), dump(request).decode()))
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        run = await enqueue(fleet, given)
        await drained(fleet)
        found = await results(fleet, run)
    assert [result["reference"] for result in found] == [row.row.reference for row in given]
    assert all(result["result"] == "created" for result in found)


async def test_the_settings_of_its_connections_are_ours(
    database: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever database and environment say, the queue's connections are as the store's are."""
    monkeypatch.setenv("PGOPTIONS", "-csearch_path=nowhere -cdatestyle=German")
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True, client_encoding="utf8") as connection:
        for setting in ("search_path = pg_catalog", "timezone = 'Asia/Kolkata'"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    async with open_fleet(database, api_key=emulator.api_key, base_url=emulator.base_url) as fleet:
        wanted = {"search_path": "public", "timezone": "UTC", "client_encoding": "UTF8"}
        for setting, value in {**wanted, "datestyle": "ISO, MDY"}.items():
            found = await fleet.app.connector.execute_query_one_async(
                "SELECT current_setting(%(name)s) AS value", name=setting
            )
            assert found == {"value": value}
