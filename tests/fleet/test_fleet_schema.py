"""The tables of runs: made, upgraded, or made by somebody else."""

from pathlib import Path
from secrets import token_hex
from typing import Any

import psycopg
import pytest
from support.fleet_runs import KEY, asked, asking, drained, fleet_on
from support.servers import ENCODED_PASSWORD, PASSWORD

from frame_async import FrameClient
from frame_async.emulator import Emulator
from frame_async.errors import OutcomeUnknownError, StoreError
from frame_async.fleet import open_fleet
from frame_async.fleet.queue import sql
from frame_async.fleet.schema import VERSION
from frame_async.protocol.retry import RetryPolicy
from frame_async.stores import Claimed, Done
from frame_async.stores._postgres_schema import VERSION as STORES
from frame_async.stores.postgres import PostgresStore

OLD = (Path(__file__).parents[1] / "support" / "schemas" / "postgres_1.sql").read_text()


async def carry_out(url: str, script: str) -> None:
    """Run a script as psql does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(script.encode())


async def test_a_role_that_may_create_nothing(database: str) -> None:
    """Who may create runs the printed SQL; applications then need no right to create anything."""
    role = f"app_{token_hex(4)}"
    server, name = database.rsplit("/", 1)
    theirs = f"postgresql://{role}:{ENCODED_PASSWORD}@{server.rpartition('@')[2]}/{name}"
    await asked(database, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        async with Emulator(limit=None) as emulator:
            with pytest.raises(StoreError, match="frame-async fleet schema"):
                async with fleet_on(theirs, emulator):
                    pass
            await carry_out(database, sql(role, with_procrastinate=True))
            await carry_out(database, sql(role))  # again: nothing happens
            async with fleet_on(theirs, emulator) as fleet:
                await fleet.enqueue(asking("a", "b"), run="orders")
                await drained(fleet)
                assert [r.result async for r in fleet.results("orders")] == ["created", "created"]
            # What an upgrade would need is named as well.
            await carry_out(database, "ALTER TABLE frame_async_bulk_rows DROP COLUMN begun")
            with pytest.raises(StoreError, match="frame-async fleet schema"):
                async with fleet_on(theirs, emulator):
                    pass
    finally:
        await carry_out(database, f"DROP OWNED BY {role}; DROP ROLE {role}")


async def filled(database: str, scope: str) -> None:
    """A database of version 1 with keys, a window, and a run of five rows, one of them done."""
    procrastinate = sql(with_procrastinate=True).partition("CREATE TABLE IF NOT EXISTS frame_")[0]
    await carry_out(database, procrastinate.removeprefix("BEGIN;"))
    await carry_out(database, OLD)
    claim = "SELECT frame_async_1_claim(sha256('{}'), '{{}}', '{}', 60000000, 60000000, 2000)"
    for key in ("open", "done"):
        await asked(database, claim.format(key, key))
    done = "SELECT frame_async_1_change(sha256('done'), 'done', 'done', 60000000, 0, 'x', 0, 2000)"
    assert await asked(database, done) == [(True,)]
    requests = [
        f'{{"client_reference_id":"{name}","line_items":[{{"product":"prod_1"}}]}}'
        for name in "abcde"
    ]
    values: dict[str, Any] = {"scope": scope, "queue": f"frame-{scope}", "requests": requests}
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO frame_async_bulk_runs (id, name, queue, mode, target, account,"
            " key_column, hold, total, complete) VALUES ('r', 'old.csv', %(queue)s, 'sandbox',"
            " 'sandbox', %(scope)s, '', false, 5, true)",
            values,
        )
        await connection.execute(
            "SELECT frame_async_bulk_1_enqueue('r', 'frame_async:create_session',"
            " '{1,2,3,4,5}', '{1,2,3,4,5}', '{2,3,4,5,6}',"
            """ '{"\\"a\\"","\\"b\\"","\\"c\\"","\\"d\\"","\\"e\\""}', '{1,2,3,4,5}',"""
            " %(requests)s::text[], array_fill(NULL::text, ARRAY[5]), '{}')",
            values,
        )
        await connection.execute(
            "UPDATE frame_async_bulk_rows SET ending = 0, request = NULL, ended_at = now(), result"
            """ = '{"row":1,"line":2,"reference":"a","result":"created"}' WHERE known_as = 1;"""
            " UPDATE frame_async_bulk_rows SET doubles = 1 WHERE known_as = 2;"
            " DELETE FROM procrastinate_jobs WHERE (args ->> 'row')::int = 1"
        )


async def test_a_filled_database_of_the_version_before(database: str) -> None:
    """Opening it upgrades it: rows, jobs, results and keys are as they were, and work goes on."""
    async with Emulator(limit=None) as emulator:
        async with FrameClient(KEY, base_url=emulator.base_url) as client:
            scope = client.scope
        await filled(database, scope)
        before = await asked(database, "SELECT * FROM frame_async_keys ORDER BY name")
        async with fleet_on(database, emulator) as fleet:
            (run,) = await fleet.runs.all()
            progress = await fleet.runs.progress(run, 10)
            assert (progress.done, progress.open, progress.lost, progress.doubtful) == (1, 4, 0, 1)
            assert await asked(database, "SELECT * FROM frame_async_keys ORDER BY name") == before
            await drained(fleet)
            found = [result async for result in fleet.results("old.csv")]
        assert [result.reference for result in found] == ["a", "b", "c", "d", "e"]
        assert [result.possible_duplicates for result in found] == [0, 1, 0, 0, 0]
        assert len(emulator.ledger) == 4
    versions = "SELECT (SELECT max(version) FROM frame_async_version), max(version)"
    assert await asked(database, f"{versions} FROM frame_async_bulk_version") == [(STORES, VERSION)]
    store = PostgresStore(database)
    assert not isinstance(await store.claim("open", "{}", 1.0), Claimed | Done)
    assert await store.claim("done", "{}", 1.0) == Done(b"x")
    await store.aclose()


async def test_both_versions_side_by_side(database: str) -> None:
    """While hosts are upgraded one by one, the functions of the version before still work."""
    async with Emulator(limit=None) as emulator:
        async with FrameClient(KEY, base_url=emulator.base_url) as client:
            await filled(database, client.scope)
        async with fleet_on(database, emulator) as fleet:
            await asked(
                database,
                "SELECT frame_async_bulk_1_enqueue('r', 'frame_async:create_session', '{6}', '{6}',"
                """ '{7}', '{"\\"f\\""}', '{6}', '{"{\\"client_reference_id\\":\\"f\\","""
                """\\"line_items\\":[{\\"product\\":\\"prod_1\\"}]}"}', '{NULL}', '{}')""",
            )
            await drained(fleet)
            assert len(emulator.created("f")) == 1


async def test_tables_of_a_newer_version_are_left_alone(database: str) -> None:
    """They are refused with the way out, and nothing is changed."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator):
        pass
    await carry_out(
        database,
        f"INSERT INTO frame_async_bulk_version VALUES ({VERSION + 1});"
        " DROP FUNCTION frame_async_bulk_2_enqueue",
    )
    with pytest.raises(StoreError, match="upgrade frame-async"):
        async with open_fleet(database, api_key=KEY):
            pass
    assert await asked(database, "SELECT to_regproc('frame_async_bulk_2_enqueue')") == [(None,)]


@pytest.mark.parametrize(
    "what",
    [
        "FUNCTION frame_async_bulk_2_enqueue",
        "FUNCTION frame_async_bulk_2_give_jobs",
        "INDEX frame_async_bulk_rows_told",
        "TABLE frame_async_bulk_version",
        "TABLE frame_async_bulk_runs CASCADE",
    ],
)
async def test_whatever_is_missing_is_made_anew(database: str, what: str) -> None:
    """Each part that somebody dropped is there again when the database is opened."""
    async with Emulator(limit=None) as emulator:
        async with fleet_on(database, emulator):
            pass
        await carry_out(database, f"DROP {what}")
        async with fleet_on(database, emulator) as fleet:
            assert (await fleet.enqueue(asking("a"), run="orders")).added == 1


async def test_a_store_that_forgot_leaves_the_runs_knowledge(database: str) -> None:
    """A row that was about to be sent is in doubt, also if the store of keys lost its memory."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        await fleet.enqueue(asking("a"), run="orders")
        await asked(database, "UPDATE frame_async_bulk_rows SET begun = 1")
        progress = await fleet.runs.progress((await fleet.runs.all())[0], 0)
        assert progress.doubtful == 1
        await drained(fleet)
        (result,) = [result async for result in fleet.results("orders")]
        assert (result.result, result.possible_duplicates) == ("created", 1)
        await fleet.enqueue(asking("b"), run="held", hold=True)
        await asked(database, "UPDATE frame_async_bulk_rows SET begun = 1 WHERE ending IS NULL")
        await drained(fleet)
        (result,) = [result async for result in fleet.results("held")]
        assert (result.result, result.possible_duplicates) == ("unknown", 1)
        assert emulator.created("b") == ()
        policy = RetryPolicy(on_unknown="raise")
        key = result.idempotency_key
        with pytest.raises(OutcomeUnknownError):  # the store has learned it again
            await fleet.work.client.payment_link_sessions.create(
                asking("b")[0], idempotency_key=key, retry=policy
            )
