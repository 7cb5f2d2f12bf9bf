"""Input files of a bulk run: which reader, and how to read one twice."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

from attrs import frozen

from frame_async.bulk.csv_rows import read_csv
from frame_async.bulk.json_rows import read_jsonl, read_parquet
from frame_async.bulk.layouts import Layout
from frame_async.bulk.rows import Row

Format = Literal["csv", "jsonl", "parquet"]

_READERS: Final[Mapping[Format, Callable[[BinaryIO, Layout], Iterator[Row]]]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}
_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@frozen
class Input:
    """A file of rows that can be read as often as needed."""

    _file: BinaryIO
    _format: Format
    _layout: Layout

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning.

        Raises:
            ValidationError: the file or its header can't be used.
            OSError: it can't be read.
        """
        self._file.seek(0)
        return _READERS[self._format](self._file, self._layout)


@contextmanager
def open_input(
    path: Path | None, stdin: BinaryIO, format_: Format | None, layout: Layout
) -> Generator[Input]:
    """Open a file of rows; without a path, what comes from a pipe, put aside on disk first.

    Without a format, the ending of the name tells it, and for a pipe its first byte.
    """
    if path is not None:
        with path.open("rb") as file:
            yield Input(file, format_ or _BY_SUFFIX.get(path.suffix.lower(), "csv"), layout)
        return
    with tempfile.TemporaryFile() as spooled:
        shutil.copyfileobj(stdin, spooled)
        yield Input(spooled, format_ or _sniffed(spooled), layout)


def _sniffed(file: BinaryIO) -> Format:
    file.seek(0)
    head = file.read(64)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "csv"
