"""The SQLite store's own: its file, its faults, its thread, its time."""

import asyncio
import gc
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence, Sized
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from support.full_windows import ratios
from support.store_workers import environment

from frame_async.errors import ConfigurationError, IdempotencyConflictError, StoreError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import (
    Claimed,
    Done,
    InDoubt,
    InFlight,
    Window,
    _sqlite_file,
    _sqlite_time,
    _sqlite_writer,
)
from frame_async.stores._keys import Change, State
from frame_async.stores._processes import is_dead, this_process
from frame_async.stores._sqlite_batches import Operation, perform
from frame_async.stores._sqlite_rows import Transaction
from frame_async.stores.sqlite import SQLiteStore
from frame_async.testing.store_conformance import HandClock

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes and forks of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path where no file is yet."""
    return tmp_path / "frame.sqlite"


async def done(path: Path | str, key: str = "k", body: bytes = b"{}") -> None:
    """Complete one key."""
    store = SQLiteStore(path)
    await complete(store, key, body)
    await store.aclose()


async def complete(store: SQLiteStore, key: str, body: bytes = b"{}", keep: float = 600) -> None:
    """Claim and complete a key."""
    claim = await store.claim(key, "a=1", 60)
    assert isinstance(claim, Claimed)
    assert await store.complete(key, claim.token, body, keep)


async def refused(path: Path | str) -> str:
    """What the store says when it can't use the file."""
    store = SQLiteStore(path)
    with pytest.raises(StoreError) as caught:
        await store.claim("k", "a=1", 60)
    await store.aclose()
    assert str(path) in caught.value.message
    return caught.value.message


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def query(path: Path, statement: str) -> list[Any]:
    """Ask the file itself, or change it."""
    connection = sqlite3.connect(path, isolation_level=None)
    rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


class TestFile:
    """Whose the file is, and where it may be."""

    @POSIX
    async def test_it_is_for_its_owner_only(self, path: Path) -> None:
        """File and journal can be read by nobody else, whatever the umask says."""
        old = os.umask(0)
        try:
            store = SQLiteStore(path)
            await complete(store, "k")
            names = sorted(child.name for child in path.parent.iterdir())
            assert len(names) > 1
            assert {mode(path.parent / name) for name in names} == {0o600}
        finally:
            os.umask(old)
        await store.aclose()

    @POSIX
    async def test_it_is_private_from_its_first_byte(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When SQLite first opens the file it is there, empty, and for its owner only."""
        seen: list[tuple[int, int]] = []
        connect = sqlite3.connect

        def watched(*args: Any, **named: Any) -> sqlite3.Connection:
            seen.append((mode(path), path.stat().st_size))
            connection: sqlite3.Connection = connect(*args, **named)
            return connection

        monkeypatch.setattr(sqlite3, "connect", watched)
        await done(path)
        assert seen == [(0o600, 0)]

    @POSIX
    async def test_an_empty_file_of_others_becomes_private(self, path: Path) -> None:
        """An empty file that everyone may read is made private before it is used."""
        path.touch()
        path.chmod(0o666)
        await done(path)
        assert mode(path) == 0o600

    async def test_a_link_leads_to_the_file(self, tmp_path: Path, path: Path) -> None:
        """Through a symbolic link, to a file that needn't be there yet, it is one store."""
        link = tmp_path / "link"
        link.symlink_to(path)
        await done(link)
        if os.name == "posix":
            assert mode(path) == 0o600
        store = SQLiteStore(path)
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        await store.aclose()

    async def test_a_relative_path_stays_where_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative path means the folder in which the store was made."""
        monkeypatch.chdir(tmp_path)
        store = SQLiteStore("here.sqlite")
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")
        await complete(store, "k")
        await store.aclose()
        assert (tmp_path / "here.sqlite").exists()

    @pytest.mark.parametrize("name", ["a?b#c%41 é.db", "file:x", ":memory: 2"])
    async def test_any_name_is_a_name(self, tmp_path: Path, name: str) -> None:
        """A name that looks like something else is the name of a file."""
        await done(tmp_path / name)
        assert (tmp_path / name).stat().st_size

    @pytest.mark.parametrize("name", ["", ":memory:", "a\x00b"])
    def test_what_is_no_path_is_a_mistake(self, name: str) -> None:
        """No path, SQLite's name for memory, or a NUL character: a configuration error."""
        with pytest.raises(ConfigurationError, match="MemoryStore"):
            SQLiteStore(name)

    async def test_expired_records_make_room(self, path: Path) -> None:
        """What has expired is deleted and its room used again: the file stays as it is."""
        clock = HandClock()
        store = SQLiteStore(path, now=clock)
        sizes = []
        for round_ in range(6):
            names = [f"{round_} {n}" for n in range(300)]
            await asyncio.gather(*(complete(store, name, b"x" * 900, keep=5) for name in names))
            clock.seconds += 10
            sizes.append(path.stat().st_size)
        assert max(sizes[2:]) < sizes[0] * 1.7
        assert query(path, "SELECT count(*) FROM keys")[0][0] <= 600
        await store.aclose()

    async def test_room_is_given_back(self, path: Path) -> None:
        """After much has expired, the file becomes smaller as it is used."""
        clock = HandClock()
        store = SQLiteStore(path, now=clock)
        await asyncio.gather(*(complete(store, f"{n}", b"x" * 200_000, 5) for n in range(60)))
        large = path.stat().st_size
        clock.seconds += 10
        for n in range(100):
            await complete(store, f"later {n}", keep=5)
        assert path.stat().st_size < 0.8 * large
        await store.aclose()

    async def test_the_journal_stays_small(self, path: Path) -> None:
        """After a large transaction the journal gives its room back."""
        store = SQLiteStore(path)
        await store.transact(lambda c: c.execute("CREATE TABLE mine (text TEXT)").close())
        for value in ("x", "y"):
            rows = [(value * 100_000,)] * 60

            def write(c: sqlite3.Connection, rows: list[tuple[str]] = rows) -> None:
                c.execute("DELETE FROM mine")
                c.executemany("INSERT INTO mine VALUES (?)", rows)

            await store.transact(write)
        assert path.with_name(f"{path.name}-journal").stat().st_size <= 4_000_000
        await store.aclose()

    async def test_a_lapsed_claim_is_forgotten_after_a_week(self, path: Path) -> None:
        """A claim whose process died is in doubt for a week; who opens the file then drops it."""
        clock = HandClock()
        store = SQLiteStore(path, now=clock)
        for key in ("early", "late"):
            await store.claim(key, "a=1", 60)
        clock.seconds += 6.9 * 86_400
        assert isinstance(await store.claim("early", "a=1", 60), InDoubt)
        await store.aclose()
        clock.seconds += 0.2 * 86_400
        store = SQLiteStore(path, now=clock)
        await store.claim("other", "a=1", 60)
        rows = query(path, "SELECT CAST(key AS TEXT) FROM keys ORDER BY 1")
        assert rows == [("early",), ("other",)]
        await store.aclose()

    async def test_a_lapsed_claim_counts_for_nothing_after_a_week(self, path: Path) -> None:
        """A key that was claimed more than a week ago is free, although the file still has it."""
        clock = HandClock()
        store = SQLiteStore(path, now=clock)
        await store.claim("k", "a=1", 60)
        clock.seconds += 7.1 * 86_400
        assert isinstance(await store.claim("k", "another=1", 60), Claimed)
        await store.aclose()


class TestFaults:
    """A file that can't be used is said so, by path, fault and fix; nothing is lost."""

    async def test_no_folder(self, tmp_path: Path) -> None:
        """A folder that doesn't exist is named, and isn't made."""
        message = await refused(tmp_path / "no" / "frame.sqlite")
        assert "in a folder that doesn't exist (create the folder)" in message
        assert not (tmp_path / "no").exists()

    async def test_a_folder(self, tmp_path: Path) -> None:
        """A folder is no file."""
        assert "is a folder (name a file in it)" in await refused(tmp_path)

    @POSIX
    async def test_a_pipe(self, path: Path) -> None:
        """A pipe is no file, and isn't waited for."""
        os.mkfifo(path)
        assert "is not a regular file" in await refused(path)

    async def test_a_second_name(self, tmp_path: Path, path: Path) -> None:
        """A hard link would hide the journal: it is refused."""
        await done(path)
        os.link(path, tmp_path / "other")
        assert "hard link" in await refused(tmp_path / "other")

    async def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        """What the system says is passed on."""
        assert "too long" in await refused(tmp_path / ("x" * 300))

    @pytest.mark.parametrize("content", [b"hello, world\n" * 100, b"\x00" * 4096, b"xy"])
    async def test_not_sqlite(self, path: Path, content: bytes) -> None:
        """Another kind of file is refused, and left as it is."""
        path.write_bytes(content)
        assert "is not an SQLite file" in await refused(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("mark", ["CREATE TABLE keys (a)", "PRAGMA application_id = 7"])
    async def test_another_applications(self, path: Path, mark: str) -> None:
        """An SQLite file that isn't ours is refused, and left as it is."""
        query(path, mark)
        before = path.read_bytes()
        assert "belongs to another application (choose another path)" in await refused(path)
        assert path.read_bytes() == before

    async def test_another_format(self, path: Path) -> None:
        """A file of another version of ours is refused, saying which."""
        await done(path)
        query(path, "PRAGMA user_version = 9")
        assert "has format 9, not 3" in await refused(path)

    @pytest.mark.parametrize("damage", ["cut", "garbled"])
    async def test_damage(self, path: Path, damage: str) -> None:
        """A file that was cut short or overwritten in part is refused when it is opened."""
        store = SQLiteStore(path)
        await asyncio.gather(*(complete(store, f"{n}", b"x" * 900) for n in range(200)))
        await store.aclose()
        content = bytearray(path.read_bytes())
        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            content[8192:] = os.urandom(len(content) - 8192)
        path.write_bytes(content)
        assert "is damaged" in await refused(path)
        assert "restore it from a backup" in await refused(path)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE keys SET state = 'nonsense'",
            "DELETE FROM time",
            "UPDATE time SET ahead = 'nonsense'",
        ],
    )
    async def test_nonsense_in_a_record(self, path: Path, change: str) -> None:
        """A record that can't be right is damage."""
        await done(path)
        query(path, change)
        assert "is damaged" in await refused(path)

    @pytest.mark.parametrize(
        "nonsense",
        [
            "windows SET requests = 0",
            "windows SET per = 'x'",
            "windows SET per = -1.0",
            "windows SET known = x''",
            "windows SET paced_to = 'soon'",
            "windows SET used = 9; DELETE FROM slots",
            "slots SET held = 7",
            "slots SET frees_at = 'never'",
        ],
    )
    async def test_nonsense_in_a_window(self, path: Path, nonsense: str) -> None:
        """A window that can't be read is damage."""
        store = SQLiteStore(path)
        window = Window("w", RateLimit(5))
        await store.enter(window, "a", Lane.BULK, 60)
        for statement in f"UPDATE {nonsense}".split("; "):
            query(path, statement)
        with pytest.raises(StoreError, match="is damaged"):
            await store.enter(window, "a", Lane.BULK, 60)
        await store.aclose()

    @pytest.mark.parametrize("opened", [True, False])
    async def test_a_locked_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, opened: bool
    ) -> None:
        """A file that another process holds is an error soon, and works again once it is free."""
        monkeypatch.setattr(_sqlite_file, "PATIENCE", 0.2)
        await done(path)
        store = SQLiteStore(path)
        if opened:
            await complete(store, "before")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked by another process") as caught:
            await store.claim("other", "a=1", 60)
        assert str(path) in caught.value.message
        holder.close()
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        await store.aclose()

    async def test_waiting_for_the_file_stops_nobody(self, path: Path) -> None:
        """While the store waits for another process, the event loop goes on."""
        await done(path)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        store = SQLiteStore(path)
        waiting = asyncio.create_task(store.claim("k", "a=1", 60))
        for _ in range(20):  # a loop that stood still would find it done, and in vain
            await asyncio.sleep(0.01)
        assert not waiting.done()
        holder.close()
        assert await waiting == Done(b"{}")
        await store.aclose()

    async def test_made_by_another_at_the_same_moment(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that another process fills while this one looks at it is no foreign file."""
        others: list[threading.Thread] = []

        class Slow(sqlite3.Connection):
            """Lets another store make the tables between its first look and its second."""

            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                rows = super().execute(statement, *values)
                if statement == "PRAGMA application_id" and not others:
                    others.append(threading.Thread(target=asyncio.run, args=[done(path, "other")]))
                    others[0].start()
                    others[0].join(0.3)  # it may have to wait until this look is over
                return rows

        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Slow, **k))
        store = SQLiteStore(path)
        await complete(store, "k")
        await asyncio.to_thread(others[0].join)
        assert await store.claim("other", "a=1", 60) == Done(b"{}")
        await store.aclose()

    async def test_a_mended_fault(self, path: Path) -> None:
        """After the fault is mended the same store works."""
        path.write_bytes(b"not ours" * 100)
        store = SQLiteStore(path)
        for _ in range(2):
            with pytest.raises(StoreError):
                await store.claim("k", "a=1", 60)
        path.unlink()
        await complete(store, "k")
        await store.aclose()

    async def test_a_journal_in_use(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that another process uses with the journal of a newer SQLite is locked."""
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
        store = SQLiteStore(path)
        await complete(store, "k")
        assert query(path, "PRAGMA journal_mode") == [("wal",)]
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM keys").fetchall()
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
        monkeypatch.setattr(_sqlite_file, "PATIENCE", 0.2)
        assert "is locked" in await refused(path)
        holder.close()
        await store.aclose()

    async def test_a_disk_without_a_journal(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where SQLite can't keep the journal that is needed, the file isn't used."""

        class Odd(sqlite3.Connection):
            def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
                odd = statement.startswith("PRAGMA journal_mode")
                return super().execute("SELECT 'memory'" if odd else statement, *args)

        connect = sqlite3.connect
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **named: connect(*args, **named, factory=Odd)
        )
        assert "can't be written safely where it is" in await refused(path)

    async def test_a_defect_of_ours(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever goes wrong unforeseen is a store error, and the thread lives on."""
        store = SQLiteStore(path)
        with monkeypatch.context() as patch:
            patch.setattr(Transaction, "finish", lambda _: 1 / 0)
            with pytest.raises(StoreError, match="ZeroDivisionError"):
                await store.claim("k", "a=1", 60)
        assert isinstance(await store.claim("k", "a=1", 60), Claimed)
        await store.aclose()

    async def test_no_thread(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, that is a store error."""

        def fail(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        store = SQLiteStore(path)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(StoreError, match="can't start new thread"):
                await store.claim("k", "a=1", 60)
        assert isinstance(await store.claim("k", "a=1", 60), Claimed)
        await store.aclose()

    @POSIX
    @pytest.mark.parametrize(("file", "folder"), [(0o444, 0o777), (0o666, 0o555)])
    def test_read_only(self, file: int, folder: int) -> None:
        """A file or folder that may only be read is refused before anything is sent."""
        ran = subprocess.run(
            [sys.executable, "-c", READ_ONLY, oct(file), oct(folder)],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "can't be written: attempt to write a readonly database" in ran.stdout
        assert "make the file, its folder and its disk writable" in ran.stdout


READ_ONLY = """
import asyncio, os, sys, tempfile
from frame_async.errors import StoreError
from frame_async.stores.sqlite import SQLiteStore

async def main():
    path = os.path.join(place, "frame.sqlite")
    for change in (lambda: None, restrict):
        change()
        store = SQLiteStore(path)
        try:
            await store.claim("k", "a=1", 60)
        except StoreError as error:
            print(error)
        await store.aclose()

def restrict():
    os.unlink(os.path.join(place, "frame.sqlite-journal"))
    os.chmod(os.path.join(place, "frame.sqlite"), int(sys.argv[1], 8))
    os.chmod(place, int(sys.argv[2], 8))
    if os.getuid() == 0:
        os.setuid(65534)

with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    else:
        asyncio.run(main())
        sys.stdout.flush()
        os._exit(0)
"""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many operations each transaction has."""
    sizes: list[int] = []

    def counted(operations: Sequence[Operation], rows: Transaction) -> list[object]:
        sizes.append(len(operations))
        return perform(operations, rows)

    monkeypatch.setattr(_sqlite_writer, "perform", counted)
    return sizes


class Calls(SimpleQueue[bool]):
    """Notes how many operations the thread is woken for."""

    found: list[int]
    jobs: Sized

    @classmethod
    def of(cls, store: SQLiteStore) -> "Calls":
        """The calls for a store that wasn't used yet."""
        calls, writer = cls(), store._writer()
        calls.found, calls.jobs, writer._calls = [], writer._jobs, calls
        return calls

    def put(self, item: bool, block: bool = True, timeout: float | None = None) -> None:
        if item:
            self.found.append(len(self.jobs))
        super().put(item, block, timeout)


class TestThread:
    """One thread writes for everyone."""

    async def test_a_closed_store_says_so(self, path: Path) -> None:
        """After it was closed, every operation is an error that says so."""
        store, window = SQLiteStore(path), Window("w", RateLimit(5))
        await complete(store, "k")
        await store.aclose()
        operations = [
            store.claim("k", "a=1", 1),
            store.renew("k", "t", 1, 1),
            store.complete("k", "t", b"", 1),
            store.doubt("k", "t", 1, 1),
            store.release("k", "t"),
            store.enter(window, "t", Lane.BULK, 1),
            store.leave(window, "t", sent=True),
            store.refuse(window, "t", 1),
        ]
        for operation in operations:
            with pytest.raises(StoreError, match="is closed"):
                await operation

    async def test_closing_an_unused_store(self, path: Path) -> None:
        """A store that was never used makes no file."""
        store = SQLiteStore(path)
        await store.aclose()
        assert not path.exists()

    async def test_closing_finishes_what_was_asked_for(self, path: Path) -> None:
        """Operations that wait when the store is closed are carried out."""
        store = SQLiteStore(path)
        claims = [asyncio.create_task(store.claim(f"{n}", "a=1", 60)) for n in range(600)]
        await asyncio.sleep(0)
        thread = store._writer()._thread
        await asyncio.gather(store.aclose(), store.aclose())
        await store.aclose()
        assert all(isinstance(claim.result(), Claimed) for claim in claims)
        assert thread is not None
        assert not thread.is_alive()

    async def test_calls_at_once_share_a_commit(self, path: Path, batches: list[int]) -> None:
        """Two hundred operations at once need a few transactions, not two hundred."""
        store = SQLiteStore(path)
        await asyncio.gather(*(store.claim(f"{n}", "a=1", 60) for n in range(200)))
        assert len(batches) <= 4
        await store.aclose()

    async def test_what_comes_in_turn_after_turn_shares_a_commit(self, path: Path) -> None:
        """Operations that come one in each turn of the loop wake the thread once, all together."""
        store = SQLiteStore(path)
        calls = Calls.of(store)

        async def claim_after(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await claimed(store, f"{turns}")

        await asyncio.gather(*(claim_after(turns) for turns in range(10)))
        assert calls.found == [10]
        await store.aclose()

    async def test_nobody_waits_long_for_others(self, path: Path) -> None:
        """Though operations never cease to come, the thread is woken for the first ones soon."""
        store = SQLiteStore(path)
        calls, tasks = Calls.of(store), list["asyncio.Task[object]"]()
        while not calls.found:
            tasks.append(asyncio.create_task(store.claim(f"{len(tasks)}", "a=1", 60)))
            await asyncio.sleep(0)
        assert calls.found[0] < 30
        await asyncio.gather(*tasks)
        await store.aclose()

    async def test_each_of_many_claims_gets_its_own_answer(
        self, path: Path, batches: list[int]
    ) -> None:
        """Free, done, taken, doubled and conflicting keys in one transaction: each as if alone."""
        store = SQLiteStore(path)
        await complete(store, "done", b"{1}")
        taken = await claimed(store, "taken")
        keys = ["free", "done", "twice", "taken", "twice", *(f"{n}" for n in range(90)), "other"]
        await claimed(store, "other")
        asked = (store.claim(key, "a=2" if key == "other" else "a=1", 60) for key in keys)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert batches[-1] == len(keys)
        kinds = [type(answer) for answer in answers]
        assert kinds == [Claimed, Done, Claimed, InFlight, InFlight, *[Claimed] * 90, kinds[-1]]
        assert isinstance(answers[-1], IdempotencyConflictError)
        tokens = [answer.token for answer in answers if isinstance(answer, Claimed)]
        assert len(set(tokens)) == len(tokens) == 92
        assert all(
            [await store.release("free", tokens[0]), await store.release("twice", tokens[1])]
        )
        assert await store.release("taken", taken.token)
        await store.aclose()

    @pytest.mark.parametrize("version", [sqlite3.sqlite_version_info, (3, 32, 3)])
    async def test_each_of_many_completions_gets_its_own_answer(
        self,
        path: Path,
        batches: list[int],
        monkeypatch: pytest.MonkeyPatch,
        version: tuple[int, int, int],
    ) -> None:
        """Of completions in one transaction, those whose claim was lost fail, and no other."""
        monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
        store = SQLiteStore(path)
        tokens = [(await claimed(store, f"{n}")).token for n in range(70)]
        await store.release("3", tokens[3])
        await claimed(store, "others")
        ends = [store.complete("others", "not its token", b"", 60)]
        ends += [store.complete(f"{n}", token, b"%d" % n, 60) for n, token in enumerate(tokens)]
        ends += [store.complete("5", tokens[5], b"5", 60), store.complete("6", "not mine", b"", 60)]
        ends += [store.complete("7", tokens[7], b"another", 60), store.complete("x", "t", b"", 60)]
        answers = await asyncio.gather(*ends)
        assert batches[-1] == len(ends)
        assert [n for n, good in enumerate(answers) if not good] == [0, 4, 72, 73, 74]
        for n in set(range(70)) - {3}:
            assert await store.claim(f"{n}", "a=1", 60) == Done(b"%d" % n)
        assert isinstance(await store.claim("3", "a=1", 60), Claimed)
        assert isinstance(await store.claim("others", "a=1", 60), InFlight)
        assert query(path, "SELECT count(*) FROM keys") == [(71,)]
        await store.aclose()

    async def test_who_claims_while_it_is_completed_finds_it_done(self, path: Path) -> None:
        """In one transaction completions come first, and everything else in its turn."""
        store = SQLiteStore(path)
        one, two = await claimed(store, "one"), await claimed(store, "two")
        three = await claimed(store, "three")
        answers = await asyncio.gather(
            store.claim("one", "a=1", 60),
            store.complete("one", one.token, b"{}", 60),
            store.release("two", two.token),
            store.claim("two", "a=1", 60),
            store.complete("three", three.token, b"{}", 60),
            store.release("three", three.token),
        )
        assert list(answers[:3]) == [Done(b"{}"), True, True]
        assert isinstance(answers[3], Claimed)
        assert list(answers[4:]) == [True, False]
        await store.aclose()

    async def test_more_than_one_transaction_holds(self, path: Path) -> None:
        """However many operations wait, each is carried out."""
        store = SQLiteStore(path)
        first = asyncio.create_task(store.claim("first", "a=1", 60))
        await asyncio.sleep(0)
        answers = await asyncio.gather(*(store.claim(f"{n}", "a=1", 60) for n in range(1000)))
        assert all(isinstance(answer, Claimed) for answer in [*answers, await first])
        await store.aclose()

    async def test_a_callers_mistake_is_its_own(self, path: Path) -> None:
        """An operation that can't be written fails alone."""
        store = SQLiteStore(path)
        token = (await claimed(store, "k")).token
        answers = await asyncio.gather(
            store.claim("before", "a=1", 60),
            store.renew("k", token, 60, 2**70),
            store.claim("after", "a=1", 60),
            store.claim("fingerprint", "\ud800", 60),
            store.complete("k", "\ud800", b"{}", 60),
            return_exceptions=True,
        )
        assert isinstance(answers[1], OverflowError)
        assert isinstance(answers[3], UnicodeEncodeError)
        assert isinstance(answers[4], bool)
        assert isinstance(answers[0], Claimed)
        assert isinstance(answers[2], Claimed)
        assert await store.release("k", token)
        await store.aclose()

    async def test_a_cancelled_caller(self, path: Path) -> None:
        """What was asked for is carried out, though the caller was cancelled meanwhile."""
        store = SQLiteStore(path)
        token = (await claimed(store, "k")).token
        task = asyncio.create_task(store.complete("k", token, b"{}", 600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        await store.aclose()

    def test_several_loops_at_once(self, path: Path) -> None:
        """Threads with a loop each can use one store at the same time."""
        store = SQLiteStore(path)
        answers: list[object] = []

        async def work() -> None:
            answers.extend(
                await asyncio.gather(*(store.claim(f"{n}", "a=1", 60) for n in range(100)))
            )

        threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(isinstance(answer, Claimed) for answer in answers) == 100
        assert sum(isinstance(answer, InFlight) for answer in answers) == 300
        asyncio.run(store.aclose())

    def test_a_loop_that_is_gone(self, path: Path) -> None:
        """When a loop is closed before its answer came, the others go on."""
        store = SQLiteStore(path)
        loop = asyncio.new_event_loop()
        first = asyncio.run(claimed(store, "k"))
        loop.run_until_complete(submit(store, "k", first.token))
        loop.close()

        async def after() -> None:
            assert await store.claim("k", "a=1", 60) == Done(b"{}")
            await store.aclose()

        asyncio.run(after())

    def test_a_store_that_nobody_has(self, path: Path) -> None:
        """The thread of a store that was dropped unclosed ends, and lets go of the file."""
        store = SQLiteStore(path)
        asyncio.run(complete(store, "k"))
        thread = store._writers[os.getpid()]._thread
        del store
        gc.collect()
        assert thread is not None
        thread.join(5)
        assert not thread.is_alive()

    @POSIX
    @pytest.mark.parametrize("name", ["FORK", "LEFT_OPEN"])
    def test_in_a_process_of_its_own(self, path: Path, name: str) -> None:
        """Forked children use the file beside their parent; an end without closing is clean."""
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPTS[name], str(path)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.split() == ["fine"]
        assert query(path, "PRAGMA integrity_check") == [("ok",)]


SCRIPTS = {
    "FORK": """
import asyncio, os, sys, warnings
from frame_async.stores import Claimed, Done
from frame_async.stores.sqlite import SQLiteStore
warnings.filterwarnings("ignore", "This process", DeprecationWarning)

async def work(who, turns):
    async def one(n):
        key = f"{who} {n}"
        claim = await store.claim(key, "a=1", 60)
        assert isinstance(claim, Claimed), claim
        assert await store.complete(key, claim.token, key.encode(), 600)
        assert await store.claim(key, "a=1", 60) == Done(key.encode())
    await asyncio.gather(*(one(n) for n in range(turns)))

async def parent():
    busy = asyncio.create_task(work("parent", 300))
    children = []
    for n in range(6):
        await asyncio.sleep(0.02)
        child = os.fork()
        if not child:
            asyncio.events._set_running_loop(None)
            asyncio.set_event_loop(None)
            asyncio.run(work(f"child {n}", 20))
            asyncio.run(store.aclose())
            os._exit(0)
        children.append(child)
    await busy
    for child in children:
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                break
            await asyncio.sleep(0.01)
        assert status == 0, status
    for n in range(6):
        assert await store.claim(f"child {n} 7", "a=1", 60) == Done(f"child {n} 7".encode())
    await store.aclose()

store = SQLiteStore(sys.argv[1])
asyncio.run(parent())
print("fine")
""",
    "LEFT_OPEN": """
import asyncio, sys
from frame_async.stores.sqlite import SQLiteStore

async def main():
    await asyncio.gather(*(store.claim(f"{n}", "a=1", 60) for n in range(50)))

store = SQLiteStore(sys.argv[1])
asyncio.run(main())
print("fine")
""",
}


async def claimed(store: SQLiteStore, key: str) -> Claimed:
    answer = await store.claim(key, "a=1", 60)
    assert isinstance(answer, Claimed)
    return answer


async def submit(store: SQLiteStore, key: str, token: str) -> None:
    """Ask for something, and don't wait for it."""
    change = Change(state=State.DONE, seconds=600, body=b"{}")
    store._writer().submit(lambda rows: rows.change(key, token, change))


class Host:
    """A host that can be booted again, and whose clock starts anew then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.path = path
        self.clock = HandClock()
        self.boot = "one"
        monkeypatch.setattr(_sqlite_file, "boot_id", lambda: self.boot)

    def store(self) -> SQLiteStore:
        """The store of a process that was just started."""
        return SQLiteStore(self.path, now=self.clock)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, path: Path) -> Host:
    """A host that was up for 1,000 seconds."""
    return Host(monkeypatch, path)


async def end_of_memory(store: SQLiteStore) -> list[str]:
    """What the store says until it goes on, with a key that it knew."""
    said: list[str] = []
    while len(said) < 5:
        try:
            # SQLite's log may have been whole: then it is known.
            assert isinstance(await store.claim("k", "a=1", 60), InDoubt | Done)
        except StoreError as error:
            said.append(error.message)
        else:
            break
    return said


class TestLostMemory:
    """A file that forgot while it was in use is not taken for one that never knew."""

    @pytest.mark.parametrize("sole", [False, True])
    @pytest.mark.parametrize("damage", ["deleted", "replaced", "emptied", "restored", "moved in"])
    async def test_every_key_is_in_doubt(
        self, tmp_path: Path, path: Path, damage: str, sole: bool
    ) -> None:
        """After the file was deleted, replaced, emptied or restored: said, then all in doubt.

        A process that has the file for itself is refused for good.
        """
        store, copy = SQLiteStore(path, sole=sole), tmp_path / "copy"
        await complete(store, "earlier")
        await store.aclose()
        shutil.copy(path, copy)
        store = SQLiteStore(path, sole=sole)
        await complete(store, "k")
        if damage == "deleted":
            path.unlink()
        elif damage == "replaced":
            await done(tmp_path / "other")
            (tmp_path / "other").replace(path)
        elif damage == "emptied":
            os.truncate(path, 0)
        elif damage == "restored":
            path.write_bytes(copy.read_bytes())
        else:
            copy.replace(path)
        said = await end_of_memory(store)
        assert said
        if sole:
            assert len(said) == 5
            assert all("deleted, emptied, replaced or restored" in one for one in said)
            await store.aclose()
            return
        assert len(said) <= 2
        assert isinstance(await store.claim("never seen", "a=1", 60), InDoubt)
        await store.aclose()
        store = SQLiteStore(path)  # another process
        assert isinstance(await store.claim("new", "a=1", 60), InDoubt)
        await store.aclose()

    @pytest.mark.parametrize("damage", ["zeroed", "cut", "garbled head"])
    @pytest.mark.parametrize("sole", [False, True])
    async def test_what_cannot_be_read_is_refused(
        self, path: Path, damage: str, sole: bool
    ) -> None:
        """Zeroed, cut or overwritten in part: no claim succeeds until there is another file."""
        store = SQLiteStore(path, sole=sole)
        for number in range(50):
            await complete(store, f"k{number}", b"{}" * 2000)
        size = path.stat().st_size
        if damage == "cut":
            os.truncate(path, size // 2 // 4096 * 4096)
        else:
            with path.open("r+b") as file:
                file.write(b"\0" * (size if damage == "zeroed" else 100))
        for number in range(5):
            try:
                answer = await store.claim(f"k{number}", "a=1", 60)
            except StoreError:
                continue
            assert isinstance(answer, InDoubt | Done)  # SQLite's log had all of it
        await store.aclose()

    async def test_it_lasts_as_long_as_anything_was_kept(self, path: Path) -> None:
        """Doubts end after 25 hours, or after the longest time that something was kept."""
        for keep, seconds in [(600, 90_000), (1e6, 1e6)]:
            clock = HandClock()
            store = SQLiteStore(path, now=clock)
            await complete(store, "k", keep=keep)
            path.unlink()
            with pytest.raises(StoreError, match="deleted, emptied, replaced or restored"):
                await store.claim("k", "a=1", 60)
            clock.seconds += seconds - 1
            assert isinstance(await store.claim("k", "a=1", 60), InDoubt)
            clock.seconds += 2
            assert isinstance(await store.claim("other", "a=1", 60), Claimed)
            await store.aclose()
            path.unlink()

    async def test_a_file_that_was_put_back_knows_all(self, tmp_path: Path, path: Path) -> None:
        """Moved away and back, or replaced by a copy of its latest state: nothing is lost."""
        store = SQLiteStore(path)
        await complete(store, "k")
        path.replace(tmp_path / "away")
        (tmp_path / "away").replace(path)
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        assert isinstance(await store.claim("other", "a=1", 60), Claimed)
        await store.aclose()

    async def test_each_process_that_watched_says_so(self, path: Path) -> None:
        """Though another has made a new file by then, who knew the old one says it is gone."""
        mine, others = SQLiteStore(path), SQLiteStore(path)
        await complete(mine, "k")
        await complete(others, "theirs")
        path.unlink()
        await done(path, "new")
        for store in (mine, others):
            with pytest.raises(StoreError, match="deleted"):
                await store.claim("k", "a=1", 60)
            assert await store.claim("new", "a=1", 60) == Done(b"{}")
        assert isinstance(await mine.claim("k", "a=1", 60), InDoubt)
        await mine.aclose()
        await others.aclose()

    async def test_what_was_settled_since_is_known(self, path: Path) -> None:
        """A key that was completed after the loss is done, and one of a batch is in doubt."""
        store = SQLiteStore(path)
        await complete(store, "k")
        path.unlink()
        assert len(await first_words(store)) == 1
        claims = await asyncio.gather(*(store.claim(f"n{n}", "a=1", 60) for n in range(40)))
        assert {type(claim) for claim in claims} == {InDoubt}
        assert isinstance(claims[0], InDoubt)
        assert claims[0].doubts == 1
        assert await store.complete("n0", claims[0].token, b"{}", 60)
        assert await store.claim("n0", "a=1", 60) == Done(b"{}")
        await store.aclose()


async def first_words(store: SQLiteStore) -> list[str]:
    """What the store says of a loss, once."""
    with pytest.raises(StoreError) as caught:
        await store.claim("k", "a=1", 60)
    return [caught.value.message]


class TestTime:
    """The time of the file goes on over boots, and nothing is forgotten early."""

    @pytest.mark.parametrize("uptime", [5.0, 900.0, 1e6])
    async def test_a_reboot_ends_claims(self, host: Host, uptime: float) -> None:
        """After a reboot, however long ago, every claim is in doubt, and it is written once."""
        store = host.store()
        await claimed(store, "k")
        await store.aclose()
        host.boot, host.clock.seconds = "two", uptime
        for expected in (InDoubt, InFlight):
            store = host.store()
            assert isinstance(await store.claim("k", "a=1", 60), expected)
            await store.aclose()

    async def test_a_restart_without_reboot_ends_nothing(self, host: Host) -> None:
        """A process that starts anew in the same boot finds leases running."""
        store = host.store()
        await claimed(store, "k")
        await store.aclose()
        host.clock.seconds += 59
        store = host.store()
        assert isinstance(await store.claim("k", "a=1", 60), InFlight)
        await store.aclose()

    @pytest.mark.parametrize("uptime", [5.0, 1e6])
    async def test_a_reboot_keeps_what_is_done(self, host: Host, uptime: float) -> None:
        """What was done is kept for as long as was said, time while off not counted."""
        store = host.store()
        await complete(store, "k", keep=100)
        await store.aclose()
        host.boot, host.clock.seconds = "two", uptime
        store = host.store()
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        host.clock.seconds += 98
        assert await store.claim("k", "a=1", 60) == Done(b"{}")
        host.clock.seconds += 3
        assert isinstance(await store.claim("k", "a=1", 60), Claimed)
        await store.aclose()

    @pytest.mark.parametrize("uptime", [5.0, 1e6])
    async def test_a_reboot_frees_slots_a_period_later(self, host: Host, uptime: float) -> None:
        """After a reboot every slot is freed one period from then."""
        window = Window("w", RateLimit(2, 60))
        store = host.store()
        for token in ("a", "b"):
            assert not await store.enter(window, token, Lane.INTERACTIVE, 1000)
        await store.leave(window, "a", sent=True)
        host.clock.seconds += 50
        await store.aclose()
        host.boot, host.clock.seconds = "two", uptime
        store = host.store()
        wait = await store.enter(window, "c", Lane.INTERACTIVE, 1000)
        assert wait == pytest.approx(60)
        host.clock.seconds += wait + 1e-6
        assert not await store.enter(window, "c", Lane.INTERACTIVE, 1000)
        assert not await store.enter(window, "d", Lane.INTERACTIVE, 1000)
        await store.aclose()

    async def test_another_machine(self, host: Host) -> None:
        """A store whose file another machine writes says so, until it is made anew."""
        mine = host.store()
        await claimed(mine, "k")
        host.boot = "another machine"
        theirs = host.store()
        assert isinstance(await theirs.claim("k", "a=1", 60), InDoubt)
        for _ in range(2):
            with pytest.raises(StoreError, match="another machine"):
                await mine.claim("k", "a=1", 60)
        assert isinstance(await theirs.claim("k", "a=1", 60), InFlight)
        await mine.aclose()
        await theirs.aclose()

    @pytest.mark.parametrize(
        ("uptime", "expected"), [(5.0, InDoubt), (1030.0, InFlight), (1061.0, InDoubt)]
    )
    async def test_no_boot_id(self, host: Host, uptime: float, expected: type) -> None:
        """Without a boot id a clock that is behind means a reboot; else leases run out."""
        host.boot = ""
        store = host.store()
        await claimed(store, "k")
        await complete(store, "done", keep=2000)
        await store.aclose()
        host.clock.seconds = uptime
        store = host.store()
        assert isinstance(await store.claim("k", "a=1", 60), expected)
        assert isinstance(await store.claim("done", "a=1", 60), Done)
        await store.aclose()

    async def test_a_clock_that_goes_back_stands_still(self, host: Host) -> None:
        """Within a boot the file's time never goes back, so nothing lasts longer for it."""
        store = host.store()
        host.clock.seconds += 100
        await claimed(store, "k")
        host.clock.seconds -= 50
        answer = await store.claim("k", "a=1", 60)
        assert isinstance(answer, InFlight)
        assert answer.lease == pytest.approx(60)
        await store.aclose()

    def test_the_clock_of_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The clock is the time since boot, or the monotonic one where that is missing."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            assert now <= _sqlite_time.host_clock()() <= now + 1
        monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
        assert _sqlite_time.host_clock() is time.monotonic

    def test_the_boot_id(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The boot id is Linux's, the same each time; empty where there is none."""
        if sys.platform.startswith("linux"):
            assert len(_sqlite_time.boot_id()) == 36
            assert _sqlite_time.boot_id() == _sqlite_time.boot_id()
        monkeypatch.setattr(_sqlite_time, "_BOOT_ID", tmp_path / "none")
        assert _sqlite_time.boot_id() == ""


CLAIMER = """
import asyncio, sys, time
from frame_async.stores.sqlite import SQLiteStore

async def main():
    await SQLiteStore(sys.argv[1]).claim("k", "a=1", 1000)

asyncio.run(main())
print("claimed", flush=True)
time.sleep(1000)
"""


@pytest.mark.alone
async def test_a_full_window_costs_no_more_than_a_small_one(tmp_path: Path) -> None:
    """Entering and leaving takes at most 1.5 times as long with 6,000 places as with 160."""
    assert (await ratios(tmp_path, (160, 6_000)))[6_000] <= 1.5


class TestDeadProcesses:
    """A claim names its process, so that nobody waits for the lease of one that died."""

    @pytest.fixture
    def claimer(self, path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Another process that has claimed a key for long."""
        command = [sys.executable, "-c", CLAIMER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as claimer:
            assert claimer.stdout is not None
            assert claimer.stdout.readline() == b"claimed\n"
            yield claimer
            claimer.kill()

    async def test_a_living_one_keeps_its_claim(
        self, path: Path, claimer: subprocess.Popen[bytes]
    ) -> None:
        """As long as a process lives its claim is in flight, also while it stands still."""
        store = SQLiteStore(path)
        assert isinstance(await store.claim("k", "a=1", 30), InFlight)
        claimer.send_signal(signal.SIGSTOP)
        assert isinstance(await store.claim("k", "a=1", 30), InFlight)
        await store.aclose()

    @pytest.mark.parametrize("waited_for", [True, False])
    async def test_a_dead_one_is_known_at_once(
        self, path: Path, claimer: subprocess.Popen[bytes], waited_for: bool
    ) -> None:
        """Once a process was killed, its claim is in doubt, whether its parent knows or not."""
        store = SQLiteStore(path)
        assert isinstance(await store.claim("k", "a=1", 30), InFlight)
        claimer.kill()
        if waited_for:
            claimer.wait()
        async with asyncio.timeout(1):
            while isinstance(claim := await store.claim("k", "a=1", 30), InFlight):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert isinstance(claim, InDoubt)
        assert claim.doubts == 1
        assert isinstance(await store.claim("k", "a=1", 30), InFlight), "it is ours now"
        await store.aclose()

    @pytest.mark.parametrize(
        ("process", "dead"),
        [
            ("", False),
            ("nonsense", False),
            ("1 2 3 4", False),
            ("{pid} {start} {namespace}", False),
            ("{pid} 1 {namespace}", True),
            ("{pid} 1 another", False),
            ("4194304999 1 {namespace}", False),
            ("4194303 1 {namespace}", True),
            ("-1 1 {namespace}", False),
        ],
    )
    def test_who_is_dead(self, process: str, dead: bool) -> None:
        """Only a process of this namespace that is gone, or another one by now, is dead."""
        here = this_process()
        pid, start, namespace = here.split()
        named = process.format(pid=pid, start=start, namespace=namespace)
        assert is_dead(named, here) is dead
        assert not is_dead(named, "")
