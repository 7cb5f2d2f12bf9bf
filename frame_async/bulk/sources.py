"""Input files of a bulk run: which reader, and how to read one twice."""

import codecs
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
from frame_async.bulk.unpacking import UTF_8, foreign, is_packed, unpacked
from frame_async.errors import ConfigurationError

Format = Literal["csv", "jsonl", "parquet"]

_BY_SUFFIX: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED: Final = (".gz", ".zst")
_HEAD: Final = 512


@frozen(kw_only=True)
class Reading:
    """How a file is to be read."""

    format: Format | None = None
    """None where its name or its first bytes tell."""
    encoding: str = UTF_8
    """A name that Python knows; of CSV and JSON."""
    delimiter: str = ""
    """Between the cells of CSV; empty to find it in the header."""
    quote: str = '"'
    """Around cells of CSV; empty for none."""


@frozen
class Input:
    """A file of rows that can be read as often as needed, and says the same each time."""

    _file: BinaryIO
    _format: Format
    _reading: Reading
    _layout: Layout
    _pinned: PinnedFile | None = None

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning.

        Raises:
            ValidationError: the file or its header can't be used.
            RunFileError: it isn't what it was at the first reading.
            OSError: it can't be read.
        """
        if self._format == "parquet":
            if is_packed(self._file):
                raise ConfigurationError("Parquet compresses itself: unpack the file first")
            self._file.seek(0)
            return read_parquet(self._file, self._layout)
        file = unpacked(self._file, self._reading.encoding)
        if self._format == "jsonl":
            return read_jsonl(file, self._layout)
        how = self._reading
        return read_csv(file, self._layout, delimiter=how.delimiter, quote=how.quote)

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
    reading: Reading,
    layout: Layout,
    *,
    folder: Path | None = None,
    on_spooling: Callable[[str], None] = lambda _: None,
) -> Generator[Input]:
    """Open a file of rows; what comes from a pipe is put aside in `folder` first, unnamed.

    Without a format, the ending of the name tells it, or else its first bytes.
    `on_spooling` hears what is put aside.

    Raises:
        ConfigurationError: it is a folder, or no table, such as an image.
        ValidationError: it is compressed, and damaged.
        OSError: it can't be opened or read.
    """
    if path is not None and path.is_dir():
        raise ConfigurationError(f"the input {path} is a folder: name one file")
    if path is not None and (path.is_file() or not path.exists()):
        with PinnedFile(path) as pinned:
            file = io.BufferedReader(pinned)
            yield Input(file, _format(file, reading, path), reading, layout, pinned)
        return
    # For its owner only (mode 0600), as every temporary file.
    with tempfile.TemporaryFile(dir=folder) as spooled:
        on_spooling(f"reading the pipe to its end, into a temporary file in {folder or 'TMPDIR'}")
        if path is None:
            shutil.copyfileobj(stdin, spooled)
        else:
            with path.open("rb", buffering=0) as pipe:
                shutil.copyfileobj(pipe, spooled)
        yield Input(spooled, _format(spooled, reading, Path()), reading, layout)


def _format(file: BinaryIO, reading: Reading, path: Path) -> Format:
    if reading.format is not None:
        return reading.format
    head = unpacked(file, UTF_8).read(_HEAD)
    what = foreign(head)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    by_content: Format = "jsonl" if text.startswith((b"{", b"[")) else "csv"
    parquet = head.startswith(b"PAR1")
    del head, text
    if what:
        raise ConfigurationError(
            f"the input {path} is {what}: export the table as CSV, or say --format csv if it "
            "is one all the same"
        )
    suffix = Path(path.stem if path.suffix.lower() in _PACKED else path.name).suffix.lower()
    return "parquet" if parquet else _BY_SUFFIX.get(suffix, by_content)
