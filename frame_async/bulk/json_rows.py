"""Reading requests from JSON Lines and from Parquet, row by row, without holding the file."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

from frame_async.bulk.columns import build_request
from frame_async.bulk.layouts import PLAIN, Layout
from frame_async.bulk.meaning import meant
from frame_async.bulk.rows import Row
from frame_async.errors import ConfigurationError, Problem, UnreadableError, ValidationError
from frame_async.serialization import load_json
from frame_async.shapes import is_mapping

_BATCH: Final = 1_000
_LONGEST: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"


def read_jsonl(source: str | Path | BinaryIO, layout: Layout = PLAIN) -> Iterator[Row]:
    """Read JSON Lines in UTF-8: one object per line, with the names of request fields.

    Line items are an array of objects, or members such as ``line_items.0.product``. A
    ``null`` means "not given", at every depth, and so does a NaN; a whole number such as
    ``3600.0`` is an integer; text is trimmed. Blank lines are skipped. A wrong line is
    yielded with its problems and doesn't end the reading.

    Raises:
        OSError: the file can't be opened or read.
    """
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield from _json_rows(file, layout)
    else:
        yield from _json_rows(source, layout)


def _json_rows(file: BinaryIO, layout: Layout) -> Iterator[Row]:
    number = 0
    for line, raw in enumerate(_lines(file), 1):
        text = raw.removeprefix(_BOM) if line == 1 else raw
        if not text.strip():
            continue
        number += 1
        try:
            value = load_json(text, "line")
        except UnreadableError as error:
            problem = Problem("", error.problems[0].rule, "write one JSON object on each line")
            yield Row(line, "", None, (problem,), number)
            continue
        yield build_row(line, number, value, layout)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that never ends, only so much that it can be refused."""
    while raw := file.readline(_LONGEST):
        yield raw
        while len(raw) == _LONGEST and not raw.endswith(b"\n"):
            raw = file.readline(_LONGEST)


def build_row(line: int, number: int, value: Any, layout: Layout) -> Row:
    """The row that a JSON value describes."""
    if not is_mapping(value):
        problem = Problem("", "is not a JSON object", "write one object on each line")
        return Row(line, "", None, (problem,), number)
    given = meant(value)
    fields = layout.renamed(given)
    reference = fields.get("client_reference_id")
    shown = reference if isinstance(reference, str) else ""
    key = str(given.get(layout.key, "")) if layout.key else ""
    problems = layout.key_problems(key) or _twice(fields, layout)
    if not problems:
        try:
            return Row(line, shown, build_request(layout.constants, fields), (), number, key)
        except ValidationError as error:
            problems = error.problems
    return Row(line, shown, None, problems, number, key)


def _twice(fields: Mapping[str, Any], layout: Layout) -> tuple[Problem, ...]:
    both = [name for name in layout.constants if name in fields]
    return tuple(Problem(name, "is given twice", "keep one of the two") for name in both)


def read_parquet(source: str | Path | BinaryIO, layout: Layout = PLAIN) -> Iterator[Row]:
    """Read a Parquet file, one `Row` per record; columns as in JSON Lines.

    Raises:
        ConfigurationError: the extra ``parquet`` isn't installed.
        ValidationError: the file is no Parquet file.
        OSError: it can't be opened or read.
    """
    for number, value in enumerate(_records(source), 1):
        yield build_row(number, number, value, layout)


def _records(source: str | Path | BinaryIO) -> Iterator[Any]:
    try:
        arrow: Any = import_module("pyarrow")  # untyped, and comes with an extra
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "reading Parquet needs an extra: pip install 'frame-async[parquet]'"
        ) from None
    try:
        for batch in parquet.ParquetFile(source).iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()
    except (arrow.ArrowException, ValueError, OverflowError):
        problem = Problem("", "is not Parquet", "check the file, or name its format")
    except OSError as error:
        if error.errno is not None:
            raise
        problem = Problem("", "is damaged", "check the file")  # arrow's words, not the system's
    else:
        return
    raise ValidationError("unusable file", [problem])
