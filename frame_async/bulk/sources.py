"""Input files of a bulk run: which reader, and how to read one twice."""

import io
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
from frame_async.bulk.pinned import PinnedFile
from frame_async.bulk.rows import Row
from frame_async.errors import ConfigurationError

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
    """A file of rows that can be read as often as needed, and says the same each time."""

    _file: BinaryIO
    _format: Format
    _layout: Layout
    _pinned: PinnedFile | None = None

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning.

        Raises:
            ValidationError: the file or its header can't be used.
            RunFileError: it isn't what it was at the first reading.
            OSError: it can't be read.
        """
        self._file.seek(0)
        return _READERS[self._format](self._file, self._layout)

    def check(self) -> None:
        """See that the file is still the one that was checked.

        Raises:
            RunFileError: it isn't.
        """
        if self._pinned is not None:
            self._pinned.check()


@contextmanager
def open_input(
    path: Path | None,
    stdin: BinaryIO,
    format_: Format | None,
    layout: Layout,
    *,
    folder: Path | None = None,
    on_spooling: Callable[[str], None] = lambda _: None,
) -> Generator[Input]:
    """Open a file of rows; what comes from a pipe is put aside in `folder` first, unnamed.

    Without a format, the ending of the name tells it, and for a pipe its first byte.
    `on_spooling` hears what is put aside.

    Raises:
        ConfigurationError: it is a folder.
        OSError: it can't be opened or read.
    """
    if path is not None and path.is_dir():
        raise ConfigurationError(f"the input {path} is a folder: name one file")
    if path is not None and (path.is_file() or not path.exists()):
        with PinnedFile(path) as pinned:
            chosen: Format = format_ or _BY_SUFFIX.get(path.suffix.lower(), "csv")
            yield Input(io.BufferedReader(pinned), chosen, layout, pinned)
        return
    # For its owner only (mode 0600), as every temporary file.
    with tempfile.TemporaryFile(dir=folder) as spooled:
        on_spooling(f"reading the pipe to its end, into a temporary file in {folder or 'TMPDIR'}")
        if path is None:
            shutil.copyfileobj(stdin, spooled)
        else:
            with path.open("rb", buffering=0) as pipe:
                shutil.copyfileobj(pipe, spooled)
        yield Input(spooled, format_ or _sniffed(spooled), layout)


def _sniffed(file: BinaryIO) -> Format:
    file.seek(0)
    head = file.read(64)
    if head.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "csv"
