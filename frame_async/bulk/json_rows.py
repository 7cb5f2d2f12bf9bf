"""Reading requests from JSON and from Parquet, row by row, without holding the file."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from frame_async.bulk.columns import build_request
from frame_async.bulk.layouts import PLAIN, Layout
from frame_async.bulk.meaning import meant, on_one_line
from frame_async.bulk.rows import Row
from frame_async.bulk.unpacking import UTF_16, is_wide
from frame_async.errors import ConfigurationError, Problem, UnreadableError, ValidationError
from frame_async.serialization import load_json
from frame_async.shapes import is_mapping

_BATCH: Final = 1_000
_LONGEST: Final = 1 << 20
_PIECE: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
_MARKS: Final = re.compile(rb'\\.|["{}\[\],]', re.DOTALL)
_NAN: Final = re.compile(rb'("(?:[^"\\]|\\.)*")|\bNaN\b', re.DOTALL)
_OPEN: Final = Problem("", "is a JSON array without an end", "check whether the file is whole")
_MORE: Final = Problem("", "has more behind its JSON array", "write one array, or JSON Lines")


def read_jsonl(source: str | Path | BinaryIO, layout: Layout = PLAIN) -> Iterator[Row]:
    """Read JSON Lines in UTF-8: one object per line, with the names of request fields.

    A file that begins with ``[`` is read as an array of objects, one after the other.

    Line items are an array of objects, or members such as ``line_items.0.product``. A
    ``null`` means "not given", at every depth, and so does a NaN; a whole number such as
    ``3600.0`` is an integer; text is trimmed. Blank lines are skipped. A wrong line is
    yielded with its problems and doesn't end the reading.

    Raises:
        ValidationError: the file is UTF-16, or its array has no end, or more behind it.
        OSError: the file can't be opened or read.
    """
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield from _json_rows(file, layout)
    else:
        yield from _json_rows(source, layout)


def _json_rows(file: BinaryIO, layout: Layout) -> Iterator[Row]:
    number = 0
    for line, raw in _values(file):
        number += 1
        try:
            value = _value(raw)
        except UnreadableError as error:
            problem = Problem("", error.problems[0].rule, "write one JSON object on each line")
            yield Row(line, "", None, (problem,), number)
            continue
        finally:
            del raw
        row = build_row(line, number, value, layout)
        del value  # the next read may fail, and a traceback shows variables
        yield row


def _value(raw: bytes) -> Any:
    """What a line or an element says; a NaN, which Python writes and JSON lacks, is a null."""
    try:
        return load_json(raw, "line")
    except UnreadableError:
        if b"NaN" not in raw:
            raise
    finally:
        plain = _NAN.sub(lambda found: found.group(1) or b"null", raw) if b"NaN" in raw else b""
        del raw
    return load_json(plain, "line")


def _values(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each line that isn't blank, or each element of an array, with the line it begins on."""
    begun = False
    for line, raw in enumerate(_lines(file), 1):
        text = raw.removeprefix(_BOM) if line == 1 else raw
        del raw
        if line == 1 and is_wide(text):
            del text
            raise ValidationError("unusable file", [UTF_16])
        if not begun and text.lstrip().startswith(b"["):
            pieces = _pieces(file, text)
            del text  # what is read later may fail, and a traceback shows variables
            yield from _elements(pieces, line)
            return
        if text.strip():
            begun = True
            yield line, text
        del text


def _pieces(file: BinaryIO, piece: bytes) -> Iterator[bytes]:
    """What is left of a file, never cut behind a backslash."""
    while piece:
        while piece.endswith(b"\\") and (more := file.read(1)):
            piece += more
        yield piece
        piece = b""  # for the next read
        piece = file.read(_PIECE)


def _elements(pieces: Iterator[bytes], line: int) -> Iterator[tuple[int, bytes]]:
    """The elements of an array, each cut where it can be refused; they may be no JSON."""
    depth, quoted, count = 0, False, 0
    held = BytesIO()  # which doesn't show what is in it
    for piece in pieces:
        start = 0
        for mark in _MARKS.finditer(piece):
            sign, at = mark.group(), mark.start()
            if quoted or sign == b'"':
                quoted ^= sign == b'"'
                continue
            depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(sign, 0)
            if depth == 1 and sign == b"[":
                start = at + 1
            elif depth == 0 or (depth == 1 and sign == b","):
                _hold(held, piece[start:at])
                element, start = held.getvalue(), at + 1
                held = BytesIO()
                blank = len(element) - len(element.lstrip())
                if count or sign == b"," or element.strip():
                    count += 1
                    yield line + element[:blank].count(b"\n"), element
                line += element.count(b"\n")
                del element
                if depth == 0:
                    more = bool(piece[start:].strip())
                    del piece
                    if more or any(map(bytes.strip, pieces)):
                        raise ValidationError("unusable file", [_MORE])
                    return
        _hold(held, piece[start:])
        del piece
    raise ValidationError("unusable file", [_OPEN])


def _hold(held: BytesIO, piece: bytes) -> None:
    """Keep a part of an element; of one that never ends, only so much that it can be refused."""
    if held.tell() <= _LONGEST:
        held.write(piece)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that never ends, only so much that it can be refused."""
    while raw := file.readline(_LONGEST):
        yield raw
        cut = len(raw) == _LONGEST and not raw.endswith(b"\n")
        del raw  # the next read may fail, and a traceback shows variables
        while cut and (more := file.readline(_LONGEST)):
            cut = not more.endswith(b"\n")
            del more


def build_row(line: int, number: int, value: Any, layout: Layout) -> Row:
    """The row that a JSON value describes."""
    if not is_mapping(value):
        problem = Problem("", "is not a JSON object", "write one object on each line")
        return Row(line, "", None, (problem,), number)
    given = meant(value)
    if layout.renames or layout.key:
        given = {on_one_line(str(name)): item for name, item in given.items()}
    fields = layout.renamed(given)
    reference = fields.get("client_reference_id")
    shown = str(reference) if isinstance(reference, str | int) else ""
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
