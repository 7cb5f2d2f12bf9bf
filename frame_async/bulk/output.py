"""The output of a bulk run: one line per row, whole or not there at all."""

import csv
import io
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from frame_async.errors import ConfigurationError
from frame_async.serialization import dump_json

OutputFormat = Literal["jsonl", "csv"]

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


class Output:
    """Where the lines go: a file, which can be cut back, or a pipe, which can't.

    Args:
        path: the file; None for the standard output.
        format_: how a line is written.
        known: bytes that this run had written; what is beyond them is cut off.

    Raises:
        ConfigurationError: it has lost what this run wrote.
        OSError: it can't be opened or written.
    """

    def __init__(self, path: Path | None, format_: OutputFormat, known: int = 0) -> None:
        self.size = 0
        """Bytes that were written, whole lines only."""
        self._format = format_
        self._descriptor = _opened(path)
        self._file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._owned = path is not None
        try:
            self._settle(path, known)
        except BaseException:
            self.close()
            raise

    def _settle(self, path: Path | None, known: int) -> None:
        if self._file and path is not None:
            found = os.fstat(self._descriptor).st_size
            if found < known:
                raise ConfigurationError(
                    f"the output {path} has lost {known - found} of the {known} bytes that this "
                    "run had written (put it back, or start over with another output)"
                )
            os.ftruncate(self._descriptor, known)
            os.lseek(self._descriptor, known, os.SEEK_SET)
            self.size = known
        if self._format == "csv" and not known:
            self._write(_csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))))

    def append(self, result: Mapping[str, Any]) -> None:
        """Write one line, and hand it to the system before this returns.

        Raises:
            OSError: it couldn't be written whole; what there was of it is gone again.
        """
        line = dump_json(result) + b"\n" if self._format == "jsonl" else _csv_line(result)
        self._write(line)

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
                    os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)


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


def _opened(path: Path | None) -> int:
    if path is None:
        return 1
    return os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


def _csv_line(result: Mapping[str, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        [_cell(name, result.get(name)) for name in COLUMNS]
    )
    return text.getvalue().encode()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "error" and isinstance(value, Mapping):
        value = value["message"]
    # One line for one row, whatever a reference has in it.
    return "".join(c if c.isprintable() else " " for c in str(value))
