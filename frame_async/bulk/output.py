"""The output of a bulk run: one line per row, whole or not there at all."""

import asyncio
import csv
import io
import os
import re
import select
import stat
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal
from zlib import crc32

from frame_async.bulk.meaning import trimmed
from frame_async.bulk.pinned import RunFileError
from frame_async.errors import ConfigurationError
from frame_async.serialization import dump_json
from frame_async.shapes import is_mapping

if sys.platform != "win32":
    import fcntl

OutputFormat = Literal["jsonl", "csv", "raw csv"]
"""How a line is written; "raw csv" leaves cells that a spreadsheet would run as they are."""

COLUMNS: Final = (
    "row",
    "line",
    "reference",
    "result",
    "session_id",
    "status",
    "payment_status",
    "expires",
    "url",
    "error",
    "possible_duplicates",
    "attempts",
    "idempotency_key",
)
"""Members of a JSON line, and columns of a CSV file."""

_FORMULAS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_HEADER: Final = (",".join(COLUMNS) + "\n").encode()
_JSON_HEAD: Final = b'{"row":'
_PIECE: Final = 1 << 20
_LONGEST: Final = 1 << 21
"""Bytes of the longest line that is looked for: an answer is at most half as long."""
# What ends a line or steers a terminal; the rest of Unicode is none of our business.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Output:
    """Where the lines go: a file, which can be cut back, or a pipe, which can't.

    Args:
        path: the file; None for the standard output.
        format_: how a line is written.
        known: bytes that this run had written; what is beyond them is cut off.
        mark: the `mark` that the output had then.
        new: whether it must not have anything in it.

    Raises:
        ConfigurationError: it has lost what this run wrote, or isn't what it wrote, or is a link.
        RunFileError: another run is writing it.
        OSError: it can't be opened or written.
    """

    def __init__(
        self,
        path: Path | None,
        format_: OutputFormat,
        known: int = 0,
        mark: int = 0,
        *,
        new: bool = False,
    ) -> None:
        self.size = known
        """Bytes that were written, whole lines only."""
        self.mark = mark
        """What they are known by: the CRC-32 of all of them."""
        self._format: OutputFormat = format_
        self._path = None if path is None else itself(path)
        self._descriptor = 1 if self._path is None else _opened(self._path)
        self._file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._owned = path is not None
        self._start = 0
        """Where the first byte of ours is: whoever gave the standard output may have written."""
        try:
            if self._path is not None and self._file:
                _lock(self._descriptor, self._path)
                if new:  # seen under the lock: two that begin at once may both have found nothing
                    check_free(self._path)
                check_written(self._path, format_, known, mark)
            self._settle()
        except BaseException:
            self.close()
            raise

    def _settle(self) -> None:
        if self._file and self._owned:
            os.ftruncate(self._descriptor, self.size)
            os.lseek(self._descriptor, self.size, os.SEEK_SET)
        elif self._file:
            self._start = _end_of(self._descriptor) - self.size
        if self._format != "jsonl" and not self.size:
            self._write(_HEADER)

    @property
    def to_file(self) -> bool:
        """Whether it is a file, for which nobody has to wait."""
        return self._file

    async def ready(self) -> None:
        """Wait until a line can be written without holding up the event loop.

        Whoever reads a pipe may be slow, and calls in flight must not time out meanwhile.
        """
        if self._file or os.name == "nt" or select.select((), (self._descriptor,), (), 0)[1]:
            return
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_writer(self._descriptor, ready.set)
        except PermissionError:  # a device that is always ready
            return
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._descriptor)

    def append(self, result: Mapping[str, Any]) -> None:
        """Write one line, and hand it to the system before this returns.

        Raises:
            OSError: it couldn't be written whole; what there was of it is gone again.
        """
        line = (
            dump_json(result) + b"\n"
            if self._format == "jsonl"
            else _csv_line(result, self._format)
        )
        self._write(line)

    def damage(self) -> str:
        """What has happened to the file since it was opened; empty when it is whole.

        Reads all of it. Does nothing for a pipe, or a file that somebody else opened.
        """
        if self._path is None or not self._file:
            return ""
        try:
            named = self._path.stat()
        except OSError:
            return "was deleted"
        if not os.path.samestat(named, os.fstat(self._descriptor)):
            return "was replaced by another file"
        if named.st_size != self.size:
            return f"has {named.st_size:,} bytes instead of {self.size:,}"
        return "" if _mark_of(self._path, self.size) == self.mark else "was changed"

    def sync(self) -> None:
        """Wait until everything is on the disk; does nothing for a pipe."""
        if self._file:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._owned:
            with suppress(OSError):
                os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            if self._file:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._start + self.size)
            raise
        self.size += len(line)
        self.mark = crc32(line, self.mark)


def check_free(path: Path) -> None:
    """See that a new run would not write over somebody's file.

    Raises:
        ConfigurationError: it would.
    """
    if path.is_file() and path.stat().st_size:
        raise ConfigurationError(
            f"the output {path} is there already, and no state file knows of it "
            "(choose another output, or move this one away)"
        )


def check_written(path: Path, format_: OutputFormat, known: int, mark: int) -> None:
    """See that a file begins with the bytes that this run wrote, before anything is cut off.

    Raises:
        ConfigurationError: it was shortened, replaced or edited.
        OSError: it can't be read.
    """
    found = path.stat().st_size if path.is_file() else 0
    if found < known:
        raise ConfigurationError(
            f"the output {path} has lost {known - found} of the {known} bytes that this "
            "run had written (put it back, or say --rewrite to have it written again)"
        )
    if found and not _is_ours(path, format_, known, mark):
        raise ConfigurationError(
            f"the output {path} isn't as this run left it "
            "(put it back, or say --rewrite to have it written again)"
        )


def _is_ours(path: Path, format_: OutputFormat, known: int, mark: int) -> bool:
    if _mark_of(path, known) != mark:
        return False
    with path.open("rb") as file:
        file.seek(known)
        beyond = file.readline(_LONGEST)  # what a run wrote that was killed before it said so
    if format_ == "jsonl":
        return beyond[: len(_JSON_HEAD)] == _JSON_HEAD[: len(beyond)]
    if not known:
        return beyond[: len(_HEADER)] == _HEADER[: len(beyond)]
    return not beyond or beyond[:1].isdigit()


def sync_folder(path: Path) -> None:
    """Wait until the name of a new file is on the disk, where there is a way to."""
    with suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def itself(path: Path) -> Path:
    """The file behind a link: the link stays one, and what it leads to is written.

    Raises:
        ConfigurationError: the link leads nowhere, or somebody else has made it.
    """
    if not path.is_symlink():
        return path
    if not path.exists() or (os.name != "nt" and path.lstat().st_uid not in (0, os.geteuid())):
        raise ConfigurationError(
            f"{path} is a link that leads nowhere, or isn't yours: name the file itself"
        )
    return path.resolve()


def is_whole(path: Path, known: int, mark: int) -> bool:
    """Whether a file is what a run wrote, and nothing else."""
    return path.is_file() and path.stat().st_size == known and _mark_of(path, known) == mark


def _mark_of(path: Path, size: int) -> int:
    mark = 0
    with path.open("rb") as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            mark = crc32(piece, mark)
            size -= len(piece)
    return mark


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep other runs from a file, if it is there.

    Raises:
        RunFileError: another run is writing it.
        OSError: it can't be opened.
    """
    if not path.exists():
        yield
        return
    descriptor = os.open(path, os.O_WRONLY)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunFileError(f"another run is writing the output {path}") from None
    except OSError:  # a file system without locks
        return


def _opened(path: Path) -> int:
    new = not path.exists()
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)  # who has a line can open its payment page
    if new:
        sync_folder(path)
    return descriptor


def _end_of(descriptor: int) -> int:
    """Where the next byte goes in a file that somebody else opened."""
    whence = os.SEEK_CUR
    if sys.platform != "win32" and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        whence = os.SEEK_END
    return os.lseek(descriptor, 0, whence)


def _csv_line(result: Mapping[str, Any], format_: OutputFormat) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        [_cell(name, result.get(name), raw=format_ == "raw csv") for name in COLUMNS]
    )
    return text.getvalue().encode()


def _cell(name: str, value: Any, *, raw: bool) -> str:
    if value is None:
        return ""
    if name == "error" and is_mapping(value):
        value = value["message"]
    # One line for one row, whatever a reference has in it.
    text = _CONTROLS.sub(" ", str(value))
    # Spreadsheets run what begins so as a formula, and references come from strangers.
    runs = not raw and isinstance(value, str) and trimmed(text).startswith(_FORMULAS)
    return f"'{text}" if runs else text
