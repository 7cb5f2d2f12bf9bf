"""The input is one file from beginning to end."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bulk_runs import Place, ended, orders, until

from frame_async.bulk.pinned import PinnedFile, RunFileError
from frame_async.emulator import Emulator

_LONG = b"0123456789abcdef" * 200_000  # three chunks and a piece


def _written_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"X")


def _with_its_time(path: Path) -> None:
    before = path.stat()
    _written_in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _cut(path: Path) -> None:
    os.truncate(path, 2_500_000)


def _replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(_LONG)
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_written_in_place, "time of change"),
        (_with_its_time, "its content, behind byte 1,048,576"),
        (_appended, "its size, from 3,200,000 to 3,200,004 bytes"),
        (_cut, "its size, from 3,200,000 to 2,500,000 bytes"),
        (_replaced, "another file has taken its place"),
    ],
)
def test_a_change_is_noticed(tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    """Whatever is done to a file between two readings, the second says so."""
    path = tmp_path / "orders.csv"
    path.write_bytes(_LONG)
    with PinnedFile(path) as pinned:
        reader = io.BufferedReader(pinned)
        assert reader.read() == _LONG
        reader.seek(0)
        assert reader.read(100) == _LONG[:100]
        os.utime(path, ns=(1, path.stat().st_mtime_ns))  # somebody read it
        change(path)
        with pytest.raises(RunFileError, match=says):
            reader.read()


def test_a_file_that_is_deleted_can_still_be_read(tmp_path: Path) -> None:
    """What was opened is what is read, whoever takes away its name."""
    path = tmp_path / "orders.csv"
    path.write_bytes(_LONG)
    with PinnedFile(path) as pinned:
        reader = io.BufferedReader(pinned)
        assert reader.read(10) == _LONG[:10]
        path.unlink()
        reader.seek(-5, os.SEEK_END)
        assert reader.read() == _LONG[-5:]
        pinned.check()


@pytest.mark.parametrize("how", ["reversed", "appended", "replaced"])
async def test_a_change_stops_the_run(tmp_path: Path, how: str) -> None:
    """A file that changes during its run gives exit status 4, and no order a second session."""
    names = [f"order-{n}" for n in range(600)]
    async with Emulator(limit=None, latency="20ms") as emulator:
        place = Place(tmp_path, emulator.base_url, orders(600))
        process = await place.start("--concurrency", "4")
        await until(lambda: place.output.exists() and place.output.stat().st_size > 2_000, 120)
        head, *rows = orders(600).splitlines(keepends=True)
        if how == "appended":
            with place.orders.open("a") as file:
                file.write("more,acc,prod_1\n")
        else:
            target = place.orders if how == "reversed" else tmp_path / "new"
            target.write_text("".join([head, *reversed(rows)]))
            target.replace(place.orders)
        ran = await ended(process)
        assert ran.status == 4
        assert "was changed during the run" in ran.out
        assert max(len(emulator.created(name)) for name in names) == 1


async def test_a_fifo_is_read_as_a_pipe_is(tmp_path: Path) -> None:
    """A FIFO has all its rows read first, which is said, and leaves no file behind."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url)
        place.orders.unlink()
        os.mkfifo(place.orders)
        code = f"open({str(place.orders)!r}, 'w').write({orders(3)!r})"
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        process = await place.start(stdin=subprocess.DEVNULL)
        ran = await ended(process)
        await writer.wait()
        assert (ran.status, len(emulator.created("order-2"))) == (0, 1)
        assert "reading the pipe to its end" in ran.err
        assert {path.name for path in tmp_path.iterdir()} >= {"orders.csv", "out.jsonl"}


def test_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    """A folder as input is a mistake of usage, said in a word."""
    place = Place(tmp_path)
    words = place.words()
    words[words.index(str(place.orders))] = str(tmp_path)
    done = subprocess.run(
        words, env=place.environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, "is a folder" in done.stderr) == (2, True)
