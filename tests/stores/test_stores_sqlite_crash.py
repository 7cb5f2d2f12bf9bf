"""What was acknowledged survives: kill -9, a full disk, and the order of writes and syncs.

``FRAME_SOAK_KILLS`` says how many writers are killed (6 unless told).
"""

import asyncio
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.store_workers import BODY, command, environment, started

from frame_async import FrameClient, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.errors import StoreError
from frame_async.stores import Claimed, Done
from frame_async.stores.sqlite import SQLiteStore

SOAK = "FRAME_SOAK_KILLS" in os.environ
KILLS = int(os.environ.get("FRAME_SOAK_KILLS", "6"))
AT_ONCE = 4 if SOAK else 3

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def killed_writers(path: Path) -> list[str]:
    """Start writers, kill them at a random moment, and return what they had been told."""
    work = command("complete", "sqlite", str(path), 8, 100_000)
    with started([work] * AT_ONCE) as workers:
        first = workers[0].stdout
        assert first is not None
        lines = [first.readline()]
        time.sleep(random.uniform(0, 0.15))
        for worker in workers:
            worker.kill()
        lines += [worker.communicate()[0] for worker in workers]
    # A line that was cut short was not said.
    return [key for text in lines for key in re.findall(r"(\S+)\n", text)]


async def everything_is_there(path: Path, keys: list[str]) -> None:
    store = SQLiteStore(path)
    answers = await asyncio.gather(*(store.claim(key, "a=1", 60) for key in keys))
    for key, answer in zip(keys, answers, strict=True):
        assert answer == Done(BODY + key.encode())
    await store.aclose()


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Whenever writers are killed, the file is sound and every acknowledged key is done."""
    path = tmp_path / "frame.sqlite"
    known: list[str] = []
    for _ in range(max(1, KILLS // AT_ONCE)):
        known += killed_writers(path)
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        asyncio.run(everything_is_there(path, known))
    assert len(known) > KILLS


def calls_of(log: str) -> Iterator[tuple[str, str]]:
    """System calls of a trace in order: what was called, and on which file."""
    unfinished: dict[str, str] = {}
    for line in log.splitlines():
        pid, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            unfinished[pid] = rest
            continue
        if "resumed>" in rest:
            rest = unfinished.pop(pid)
        found = re.match(r"\s*(\w+)\((\d+)<([^>]*)>", rest)
        if found:
            yield found[1], found[3] if found[2] != "1" else "stdout"


SOLE = """
import asyncio, os, sys
from pathlib import Path
from frame_async.stores.sqlite import SQLiteStore

async def main(place, count):
    store = SQLiteStore(Path(place), sole=True)
    for turn in range(int(count)):
        key = f"k{turn}"
        claim = await store.claim(key, "a=1", 60)
        await store.complete(key, claim.token, BODY + key.encode(), 3600)
        os.write(1, f"{key}\\n".encode())
    await asyncio.sleep(float(sys.argv[3]))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""
"""Completes keys in a file that it has for itself, and says so."""


def sole_writer(path: Path, count: int, rest: float) -> list[str]:
    """How to start one; it rests before it closes the file."""
    body = f"BODY = {BODY!r}\n"
    return [sys.executable, "-c", body + SOLE, str(path), str(count), str(rest)]


def test_what_a_sole_process_was_told_survives_kill_9(tmp_path: Path) -> None:
    """Its log is taken up by whoever opens the file next, shared or not."""
    path = tmp_path / "frame.sqlite"
    with subprocess.Popen(
        sole_writer(path, 30, 60), env=environment(), stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        keys = [writer.stdout.readline().strip() for _ in range(30)]
        writer.kill()
    assert path.with_name("frame.sqlite-wal").exists()
    asyncio.run(everything_is_there(path, keys))
    assert not path.with_name("frame.sqlite-wal").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strace is Linux's")
@pytest.mark.parametrize("sole", [False, True])
def test_it_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path, sole: bool) -> None:
    """Before each answer, every write to file and journal was followed by its fsync."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    path, log = tmp_path / "frame.sqlite", tmp_path / "log"
    traced = "trace=write,pwrite64,ftruncate,fsync,fdatasync"
    work = command("complete", "sqlite", str(path), 1, 10)
    if sole:
        work = sole_writer(path, 10, 0)
    ran = subprocess.run(
        [strace, "-f", "-y", "-s", "0", "-e", traced, "-o", str(log), *work],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in ran.stderr:
        pytest.skip(f"strace may not trace here: {ran.stderr[:80]}")
    assert ran.returncode == 0
    dirty: set[str] = set()
    written = acknowledged = 0
    for call, file in calls_of(log.read_text()):
        if file == "stdout":
            acknowledged += 1
            assert not dirty
            assert written
            written = 0
        elif file.startswith(str(path)) and call in ("fsync", "fdatasync"):
            dirty.discard(file)
        elif file.startswith(str(path)):
            dirty.add(file)
            written += 1
    assert acknowledged == 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 KB; skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "frame-test", str(place)]
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("no tmpfs here")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs may not be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def filled(store: SQLiteStore) -> tuple[list[str], StoreError]:
    """Complete keys until the store can't; what was done, and why it stopped."""
    done: list[str] = []
    with pytest.raises(StoreError) as caught:
        for turn in range(1_000):
            claim = await store.claim(f"{turn}", "a=1", 60)
            assert isinstance(claim, Claimed)
            assert await store.complete(f"{turn}", claim.token, BODY * 5, 3600)
            done.append(f"{turn}")
    return done, caught.value


async def test_a_full_disk(small_disk: Path) -> None:
    """A full disk is said so; what was done stays done, and room makes it work again."""
    store = SQLiteStore(small_disk / "frame.sqlite")
    done, error = await filled(store)
    assert len(done) > 10
    assert str(small_disk) in error.message
    assert "no room left" in error.message
    assert "free some space" in error.message
    larger = ["mount", "-o", "remount,size=4m", str(small_disk)]
    subprocess.run(larger, check=True)
    for key in done:
        assert await store.claim(key, "a=1", 60) == Done(BODY * 5)
    assert isinstance(await store.claim("another", "a=1", 60), Claimed)
    await store.aclose()


LIMITED = """
import asyncio, resource, signal, sys
from support.store_workers import fill
from frame_async.errors import StoreError
from frame_async.stores.sqlite import SQLiteStore

async def main():
    store = SQLiteStore(sys.argv[1])
    try:
        await fill(store)
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, hard))
    print(await store.claim("another", "a=1", 60))
    await store.aclose()

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
asyncio.run(main())
"""


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """A limit on the size of files is said so; without it the same store works again."""
    path = tmp_path / "frame.sqlite"
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    *done, error, another = ran.stdout.splitlines()
    assert len(done) > 10
    assert f"the store {path} can't be read or written" in error
    assert "limits on the size of files" in error
    assert another.startswith("Claimed")
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT count(*) FROM keys WHERE state = 'done'").fetchone()
    connection.close()
    assert rows == (len(done),)


CALLER = """
import asyncio, sys
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest

async def main(url, store):
    order = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
    async with FrameClient("sk_sandbox_crash", base_url=url, store=store) as frame:
        await frame.payment_link_sessions.create(order, idempotency_key="k")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_survivor_takes_over_within_a_second(
    emulator: Emulator, order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """While one waits for the key of another process that is killed, it has it a second later.

    What the dead one had sent is admitted.
    """
    store = f"sqlite:///{tmp_path}/frame.sqlite"
    emulator.add_fault("hang", times=1)
    caller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CALLER, emulator.base_url, store)
    )
    try:
        async with asyncio.timeout(30):
            while not emulator.ledger:  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.05)
        async with FrameClient(
            "sk_sandbox_crash", base_url=emulator.base_url, store=store
        ) as frame:
            create = frame.payment_link_sessions.create
            waiting = asyncio.create_task(create(order, idempotency_key="k"))
            await asyncio.sleep(1.5)
            assert not waiting.done()
            killed = time.monotonic()
            caller.kill()
            session = await waiting
            assert time.monotonic() - killed < 1.5
    finally:
        with suppress(ProcessLookupError):
            caller.kill()
        await caller.wait()
    assert session.call.possible_duplicates == 1
    assert len(emulator.ledger) == 2
