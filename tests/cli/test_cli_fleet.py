"""``frame-async bulk --queue``, ``worker`` and ``bulk status``, as a shell has them."""

import asyncio
import csv
import json
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.bulk_runs import KEY, Desk, Place, orders, until
from support.fleets import FleetPlace, check_books, until_done
from support.proxies import Proxy
from support.servers import PASSWORD, postgres_server, postgres_url

from frame_async.emulator import Emulator

NAMES = [f"order-{n}" for n in range(20)]


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database of one's own."""
    from uuid import uuid4

    server, name = postgres_server(), f"fleet_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url(server), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def desk(
    tmp_path: Path,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Desk:
    """The commands, in this process; the emulator is there for its address only."""
    return Desk(Place(tmp_path, emulator.base_url, orders(20)), monkeypatch, capfd)


@pytest.fixture
async def place(tmp_path: Path, database: str) -> AsyncIterator[FleetPlace]:
    """A fleet whose commands are processes."""
    async with Emulator(limit=None) as emulator:
        place = FleetPlace(tmp_path, database, emulator.base_url, 0, 60.0)
        place.emulator = emulator
        yield place
        place.kill()


def bulk(desk: Desk, url: str, *options: str, key: str = KEY) -> Any:
    """Run ``frame-async bulk --queue``."""
    words = ["bulk", str(desk.place.orders), "--queue", url, *options]
    return desk.invoke(words, key=key)


def status(desk: Desk, url: str, *options: str) -> Any:
    """Run ``frame-async bulk status``."""
    return desk.invoke(["bulk", "status", "--queue", url, *options])


def test_the_same_command_again_enqueues_nothing(desk: Desk, database: str) -> None:
    """A file is enqueued once; rows that were added to it are, too; wrong rows have a result."""
    desk.write(orders(20) + "wrong,acc,\n")
    ran = bulk(desk, database)
    assert ran.status == 1
    assert "line 22 (wrong): line_items" in ran.err
    assert "run orders.csv: 21 rows, 21 enqueued, 0 known before, 1 of all invalid" in ran.out
    assert database not in ran.out + ran.err
    ran = bulk(desk, database)
    assert "21 rows, 0 enqueued, 21 known before" in ran.out
    desk.write(orders(20) + "wrong,acc,\nmore,acc,prod_1\n")
    ran = bulk(desk, database, "--json")
    assert (ran.summary["enqueued"], ran.summary["known"], ran.summary["run"]) == (
        1,
        21,
        "orders.csv",
    )
    ran = status(desk, database)
    assert ran.status == 4
    assert "orders.csv: 1 of 22 rows done, created 0, failed 1, in doubt 0, waiting 21" in ran.out


def test_another_file_of_the_same_name_is_noticed(desk: Desk, database: str) -> None:
    """Its rows are named, nothing of them is sent, and the way out is said."""
    bulk(desk, database)
    desk.write(orders(20, first=100))
    ran = bulk(desk, database)
    assert ran.status == 1
    assert "20 rows were changed after they were enqueued, and stay as they were" in ran.out
    assert "give it a --run of its own" in ran.out
    ran = bulk(desk, database, "--run", "second")
    assert ran.status == 0
    assert "run second: 20 rows, 20 enqueued" in ran.out
    ran = status(desk, database)
    assert ran.out.count("of 20 rows done") == 2
    assert status(desk, database, "-o", "x.jsonl").status == 2


def lines_of(count: int) -> tuple[str, list[str]]:
    head, *rows = orders(count).splitlines(keepends=True)
    return head, rows


def test_rows_that_moved_are_enqueued_once(desk: Desk, database: str) -> None:
    """Rows that were reversed, inserted or removed are known by what they say."""
    bulk(desk, database)
    head, rows = lines_of(20)
    for text in (rows[::-1], ["new,acc,prod_1\n", *rows[3:]], rows):
        desk.write("".join([head, *text]))
        assert bulk(desk, database).status == 0
    ran = status(desk, database, "--json")
    assert (ran.summary["rows"], ran.summary["pending"]) == (21, 21)


def test_a_row_that_has_changed_waits_for_a_word(desk: Desk, database: str) -> None:
    """It stands where another stood: named, and enqueued when it is said to be new."""
    bulk(desk, database)
    head, rows = lines_of(20)
    moved = ["new,acc,prod_1\n", *rows]
    desk.write("".join([head, *moved]))
    assert bulk(desk, database).status == 0
    moved[4] = "order-3,acc,prod_2\n"
    desk.write("".join([head, *moved]))
    for _ in range(2):
        ran = bulk(desk, database, "--json")
        assert (ran.status, ran.summary["changed_lines"], ran.summary["enqueued"]) == (1, [6], 0)
    ran = bulk(desk, database, "--again", "changed", "--json")
    assert (ran.status, ran.summary["enqueued"]) == (0, 1)
    assert bulk(desk, database).status == 0


def test_a_mended_row_takes_the_place_of_the_wrong_one(desk: Desk, database: str) -> None:
    """--again invalid: what was wrong is forgotten, and the mended row enqueued."""
    desk.write(orders(2) + "bad,acc,\n")
    assert bulk(desk, database).status == 1
    desk.write(orders(2) + "bad,acc,prod_1\n")
    assert bulk(desk, database, "--json").summary["changed_lines"] == [4]
    ran = bulk(desk, database, "--again", "invalid", "--json")
    assert (ran.status, ran.summary["enqueued"]) == (0, 1)
    told = status(desk, database, "--json").summary
    assert (told["rows"], told["invalid"], told["pending"]) == (3, 0, 3)


def test_a_key_of_its_own_for_each_row(desk: Desk, database: str) -> None:
    """--key auto takes the reference, as without a queue, and goes on with it."""
    for _ in range(2):
        ran = bulk(desk, database, "--key", "auto")
        assert ran.status == 0
        assert "rows are known by client_reference_id (--key auto)" in ran.err
    assert "20 known before" in ran.out
    assert bulk(desk, database).status == 2


def test_a_queue_from_a_file(desk: Desk, database: str, tmp_path: Path) -> None:
    """The URL of a queue may be in a file, for all three commands."""
    named = tmp_path / "queue.url"
    named.write_text(database)
    named.chmod(0o600)
    assert bulk(desk, f"@{named}").status == 0
    assert status(desk, f"@{named}").status == 4
    ran = desk.invoke(["worker", "--queue", f"@{named}.none"])
    assert (ran.status, f"{named}.none can't be read" in " ".join(ran.err.split())) == (2, True)


def test_secrets_are_not_enqueued(desk: Desk, database: str) -> None:
    """A row with payment method data refuses the whole file, without a word of what it is."""
    card = (
        '{"type":"card","card_number":"4242424242424242","exp_month":1,"exp_year":2030,"cvc":"9"}'
    )
    good = '{"line_items":[{"product":"p"}],"client_reference_id":"a"}\n'
    bad = '{"line_items":[{"product":"p"}],"customer":"c","payment_method_data":' + card + "}\n"
    desk.write(good + bad, "cards.jsonl")
    for options in ((), ("--set", f"payment_method_data={card}")):
        if options:
            desk.write(good, "cards.jsonl")
        ran = bulk(desk, database, *options)
        assert ran.status == 2
        assert "must not lie in a queue: nothing was enqueued" in ran.err
        assert "payment_method_data: is secret" in ran.err
        assert "4242" not in ran.out + ran.err
    assert bulk(desk, database, "--check", *options).status == 2
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT to_regclass('frame_async_bulk_rows')").fetchone()
    assert found == (None,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "out.jsonl"), "results are written by: frame-async bulk status"),
        (("--emulator",), "doesn't go together"),
        (("--store", "memory://"), "doesn't go together"),
        (("--concurrency", "4"), "--concurrency is for the worker"),
        (("--grace", "4"), "--grace is for the worker"),
    ],
)
def test_options_of_another_kind_of_run(desk: Desk, options: Any, words: str) -> None:
    """What means nothing with a queue is refused, not ignored."""
    ran = bulk(desk, "postgresql://nowhere", *options)
    assert ran.status == 2
    assert words in ran.err


def test_a_run_without_a_queue(desk: Desk) -> None:
    """--run is for queues."""
    ran = desk.run("--run", "x")
    assert ran.status == 2
    assert "say --queue, too" in ran.err


def test_the_mode_has_to_be_said(desk: Desk, database: str) -> None:
    """Live mode is said when rows are enqueued, as without a queue."""
    ran = bulk(desk, database, key="sk_production_x")
    assert ran.status == 2
    assert "say --mode live" in ran.err


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "postgresql://u:hush@127.0.0.1:1/db"])
def test_a_queue_that_is_not_there(desk: Desk, url: str) -> None:
    """Every command says so, with the exit status for it, and never the password."""
    for words in (["bulk", str(desk.place.orders)], ["bulk", "status"], ["worker"]):
        ran = desk.invoke([*words, "--queue", url])
        assert ran.status == (2 if url.startswith("redis") else 4), ran.err
        assert "frame-async" in ran.err
        assert "hush" not in ran.out + ran.err
        assert "postgresql" in ran.err


def test_a_run_that_is_not_there(desk: Desk, database: str) -> None:
    """A name that no run has is a mistake; no runs at all are none."""
    assert status(desk, database, "--run", "x").status == 2
    ran = status(desk, database)
    assert (ran.status, ran.out) == (0, "no runs in this queue\n")


async def test_enqueueing_that_is_killed_goes_on(place: FleetPlace) -> None:
    """Kill -9 at random moments: run again, each row has one job, and one result in the end."""
    path, chance = place.folder / "orders.csv", random.Random(5)
    path.write_text(orders(4_000))
    words = ("bulk", str(path), "--queue", place.url, "--json")
    for _ in range(2):
        process = await place.start(*words)
        async with asyncio.timeout(30):
            while not await jobs_of(place) and process.returncode is None:  # noqa: ASYNC110  # processes
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1 * chance.random())
        if process.returncode is None:
            process.kill()
        await process.communicate()
    ran = await place.run(*words)
    assert ran.status == 0, ran.err
    assert ran.summary["known"] + ran.summary["enqueued"] == 4_000
    jobs = await jobs_of(place)
    assert len(jobs) == len(set(jobs)) == 4_000


async def jobs_of(place: FleetPlace) -> list[int]:
    """The rows that have a job."""
    async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as connection:
        try:
            found = await connection.execute(
                "SELECT (args ->> 'row')::bigint FROM procrastinate_jobs"
            )
        except psycopg.errors.UndefinedTable:
            return []
        return [row for (row,) in await found.fetchall()]


async def test_a_worker_drains_the_queue_and_status_waits(place: FleetPlace) -> None:
    """`bulk status --wait -o` ends with the last row, and has one line for each."""
    await place.enqueue(orders(20))
    output = place.folder / "results.csv"
    waiting = asyncio.create_task(
        place.run(
            *("bulk", "status", "--queue", place.url, "--run", "orders.csv", "--wait"),
            *("-o", str(output), "--every", "0.1", "--forget"),
        )
    )
    worker = await place.start_worker("--drain")
    async with asyncio.timeout(60):
        assert await worker.wait() == 0
    ran = await waiting
    assert ran.status == 0, ran.err
    assert "orders.csv: 20 of 20 rows done, created 20, failed 0, in doubt 0\n" in ran.out
    with output.open() as file:
        assert [row["reference"] for row in csv.DictReader(file)] == NAMES
    assert "20 rows got their result here" in place.logs[worker.pid].read_text()
    ran = await place.run("bulk", "status", "--queue", place.url)
    assert ran.out == "no runs in this queue\n"


async def test_a_signal_ends_a_worker_in_order(place: FleetPlace) -> None:
    """SIGTERM or SIGINT: what is in hand gets its result, the rest stays, and the status is 0."""
    emulator = place.emulator
    slow = emulator.add_fault("delay", seconds=1)
    await place.enqueue(orders(60))
    workers = [await place.start_worker("--concurrency", "2") for _ in range(2)]
    await until(lambda: all(place.is_working(worker) for worker in workers))
    before = len(emulator.created())
    await until(lambda: len(emulator.created()) >= before + 4)
    assert await place.stop(signal.SIGTERM, signal.SIGINT) == [0, 0]
    results = await place.results()
    assert 4 <= len(results) == len(emulator.created()) < 60
    emulator.remove_fault(slow)
    await place.start_worker()
    await until_done(place, 60)
    names = [f"order-{n}" for n in range(60)]
    assert check_books(await place.results(), names, emulator) == 0
    assert await place.stop() == [0]


async def test_a_worker_whose_key_is_refused_says_so(place: FleetPlace) -> None:
    """Exit status 4, the reason, and neither key nor password."""
    place.emulator.add_fault("refuse", status=401)
    await place.enqueue(orders(3))
    worker = await place.start_worker()
    async with asyncio.timeout(60):
        assert await worker.wait() == 4
    said = place.logs[worker.pid].read_text()
    assert "401" in said
    assert KEY not in said
    assert PASSWORD not in said
    progress = await place.progress()
    assert (progress["pending"], progress["lost"], progress["in_hand"]) == (3, 0, 0)


async def test_status_for_machines(place: FleetPlace) -> None:
    """--json has every number; in_doubt lists rows that may exist twice."""
    emulator = place.emulator
    emulator.add_fault("create_and_drop", reference="order-1", times=1)
    emulator.add_fault("refuse", status=422, reference="order-2")
    await place.enqueue(orders(4))
    await place.start_worker("--drain")
    await until_done(place, 60)
    ran = await place.run("bulk", "status", "--queue", place.url, "--json")
    said = json.loads(ran.out)
    assert ran.status == said["exit_status"] == 1
    assert (said["rows"], said["created"], said["refused"], said["pending"]) == (4, 3, 1, 0)
    assert said["in_doubt"] == [
        {"line": 3, "reference": "order-1", "result": "created", "possible_duplicates": 1}
    ]
    assert said["seconds_left"] == 0
    ran = await place.run("bulk", "status", "--queue", place.url, "-o", "-")
    assert [json.loads(line)["reference"] for line in ran.out.splitlines()] == NAMES[:4]
    assert "order-1): created, and up to 1 beside it" in ran.err


async def test_a_worker_behind_a_proxy(place: FleetPlace, tmp_path: Path) -> None:
    """A worker goes through the proxy whose URL is in a file."""
    place.base_url = "https://frame.invalid"
    async with Proxy(status=403, credentials="payer:p4ss-w0rd") as proxy:
        (named := tmp_path / "proxy").write_text(proxy.url)
        named.chmod(0o600)
        assert (await place.enqueue(orders(1))).status == 0
        worker = await place.start_worker("--proxy", f"@{named}")
        await until(lambda: bool(proxy.heads))
        worker.kill()
        await worker.wait()
    assert b"CONNECT frame.invalid:443 " in proxy.heads[0]
    assert b"Proxy-Authorization: Basic " in proxy.heads[0]
