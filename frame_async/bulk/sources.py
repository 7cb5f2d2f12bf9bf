"""Input files of a bulk run: which reader, and how to read one twice."""

import codecs
import io
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

from attrs import evolve, frozen

from frame_async.bulk.csv_rows import read_csv
from frame_async.bulk.json_rows import read_jsonl, read_parquet
from frame_async.bulk.layouts import Layout
from frame_async.bulk.pinned import PinnedFile
from frame_async.bulk.rows import Row
from frame_async.bulk.unpacking import UTF_8, ZIP, foreign, is_packed, unpacked
from frame_async.bulk.xlsx_rows import is_xlsx, read_xlsx
from frame_async.errors import ConfigurationError

Format = Literal["csv", "jsonl", "parquet", "xlsx"]

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
_PARQUET: Final = b"PAR1"
_WORKBOOKS: Final = (".xlsx", ".xlsm")
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
    sheet: str = ""
    """Of a workbook; empty for the first that shows."""


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
            self._file.seek(0)
            return read_parquet(self._file, self._layout)
        if self._format == "xlsx":
            return read_xlsx(self._file, self._layout, self._reading.sheet)
        file = unpacked(self._file, self._reading.encoding)
        if self._format == "jsonl":
            return read_jsonl(file, self._layout)
        how = self._reading
        return read_csv(file, self._layout, delimiter=how.delimiter, quote=how.quote)

    @property
    def reference_column(self) -> str:
        """See `Layout.reference_column`."""
        return self._layout.reference_column

    def keyed(self, column: str) -> "Input":
        """The same file, whose rows are told apart by that column; by what they say without."""
        return evolve(self, layout=evolve(self._layout, key=column))

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
        with (
            PinnedFile(path) as pinned,
            _opened(io.BufferedReader(pinned), path, reading, layout, folder) as opened,
        ):
            yield evolve(opened, pinned=pinned)
        return
    # For its owner only (mode 0600), as every temporary file.
    with tempfile.TemporaryFile(dir=folder) as spooled:
        on_spooling(f"reading the pipe to its end, into a temporary file in {folder or 'TMPDIR'}")
        if path is None:
            shutil.copyfileobj(stdin, spooled)
        else:
            with path.open("rb", buffering=0) as pipe:
                shutil.copyfileobj(pipe, spooled)
        with _opened(spooled, Path(), reading, layout, folder) as opened:
            yield opened


@contextmanager
def _opened(
    file: BinaryIO, path: Path, reading: Reading, layout: Layout, folder: Path | None
) -> Generator[Input]:
    with ExitStack() as stack:
        if is_packed(file) and _head(file).startswith((_PARQUET, ZIP)):
            # These are read from place to place, which nothing that is compressed can be.
            plain = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            shutil.copyfileobj(unpacked(file, UTF_8), plain)
            file = plain
        found = reading.format or _format(file, path, reading.encoding)
        if reading.sheet and found != "xlsx":
            raise ConfigurationError(f"--sheet is for workbooks (.xlsx), and {path} is none")
        yield Input(file, found, reading, layout)


def _head(file: BinaryIO, encoding: str = UTF_8) -> bytes:
    return unpacked(file, encoding).read(_HEAD)


def _format(file: BinaryIO, path: Path, encoding: str) -> Format:
    head = _head(file)
    suffix = Path(path.stem if path.suffix.lower() in _PACKED else path.name).suffix.lower()
    if head.startswith(ZIP) and (suffix in _WORKBOOKS or is_xlsx(file)):
        return "xlsx"
    if head.startswith(_PARQUET):
        return "parquet"
    if encoding != UTF_8:
        head = _head(file, encoding)
    what = foreign(head)
    json = head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"["))
    del head  # a traceback shows variables
    if what:
        raise ConfigurationError(
            f"the input {path} is {what}: export the table as CSV, or say --format csv if it "
            "is one all the same"
        )
    named = _BY_SUFFIX.get(suffix, "csv")
    return "jsonl" if json and named == "csv" else named
