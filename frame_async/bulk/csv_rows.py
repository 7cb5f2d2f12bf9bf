"""Reading requests from CSV (RFC 4180), row by row, without holding the file."""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

from frame_async.bulk.columns import build_request
from frame_async.bulk.layouts import OTHERS, PLAIN, Layout
from frame_async.bulk.meaning import on_one_line, trimmed
from frame_async.bulk.rows import Row
from frame_async.bulk.unpacking import NOT_UTF_8, UTF_16, is_wide
from frame_async.errors import Problem, ValidationError

_SEPARATORS: Final = (",", ";", "\t")
_NAMED_SEPARATOR: Final = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*')
_NO_HEADER: Final = Problem("", "has no header", "name the columns in the first line")
_LONGEST: Final = 1 << 20
"""Bytes of a line; of one that never ends, only so much is read that it can be refused."""
_TOO_LONG: Final = Problem("", f"has a line of more than {_LONGEST} bytes", "check its quotes")


def read_csv(
    source: str | Path | BinaryIO, layout: Layout = PLAIN, *, delimiter: str = "", quote: str = '"'
) -> Iterator[Row]:
    """Read a CSV file in UTF-8, with or without a byte-order mark, one `Row` per record.

    The first record names the columns; ``layout`` says what to make of names that are not a
    request's. The separator is the comma, semicolon or tab that the header has most of
    outside quotes, or what a first line ``sep=;`` says, or ``delimiter``. Cells may have a
    ``quote`` around them; with an empty one, none has. They are trimmed of all white space
    that nobody sees. Blank lines are skipped. A wrong row is yielded with its problems and
    doesn't end the reading.

    Raises:
        ValidationError: the file or its header can't be used; the message has the line.
        OSError: the file can't be opened or read.
    """
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            yield from _rows(_Lines(file, delimiter, quote), layout)
    else:
        yield from _rows(_Lines(source, delimiter, quote), layout)


def _rows(lines: "_Lines", layout: Layout) -> Iterator[Row]:
    header = _header(lines, layout)
    number = 0
    records = lines.records(lines)
    while True:
        line, cells = lines.number + 1, []  # a traceback shows local variables: keep no old cells
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            problem = Problem("", f"is not CSV: {error}", "check its quotes")
            yield Row(line, "", None, (_TOO_LONG if lines.cut >= line else problem,), number)
            continue
        if lines.cut >= line:
            number += 1
            yield Row(line, "", None, (_TOO_LONG,), number)
        elif any(map(str.strip, cells)):
            number += 1
            yield row_of(line, number, header, cells, layout)


class _Lines:
    """The lines of a file as text, counted; bytes that are not UTF-8 become surrogates."""

    def __init__(self, file: BinaryIO, separator: str, quote: str) -> None:
        self._pieces = self._read(file)
        self.separator = separator
        self.quote = quote
        self.number = 0
        self.cut = 0
        """The latest line that was too long."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._pieces)
        self.number += 1
        if self.number == 1 and is_wide(raw):
            del raw
            raise _unusable(1, [UTF_16])
        if self.number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        return raw.decode("utf-8", "surrogateescape")

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Lines as the cells in them."""
        if not self.quote:
            return csv.reader(lines, delimiter=self.separator, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(lines, delimiter=self.separator, quotechar=self.quote, strict=True)

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        # A file splits at LF only; the bytes of one line, at CR too, as old Macs end lines.
        held = b""
        while chunk := file.readline(_LONGEST):
            *pieces, last = (held + chunk).splitlines(keepends=True)
            held = b""
            yield from pieces
            if last.endswith(b"\n"):
                yield last
            elif len(last) < _LONGEST:
                held = last
            else:
                self.cut = self.number + 1
                yield last
                _skip_line(file)
            del chunk, pieces, last  # the next read may raise, and a traceback shows variables
        if held:
            yield held


def _skip_line(file: BinaryIO) -> None:
    while (chunk := file.readline(_LONGEST)) and not chunk.endswith(b"\n"):
        del chunk


def _header(lines: _Lines, layout: Layout) -> list[str]:
    names = _names(lines)
    problems = problems_of_header(names, layout)
    if not problems:
        return names
    del names  # without a header, these are the cells of a row
    raise _unusable(lines.number or 1, problems)


def problems_of_header(names: list[str], layout: Layout) -> list[Problem]:
    """Why a file can't have these columns; whoever raises them drops the names before."""
    problems = layout.problems_of(names) if any(names) else [_NO_HEADER]
    if problems and any(name != _tidy(name) for name in names):
        problems.insert(0, Problem("", *NOT_UTF_8))
    return problems


def _names(lines: _Lines) -> list[str]:
    first = next((line for line in lines if line.strip()), "")
    if named := _NAMED_SEPARATOR.fullmatch(first):  # as Excel writes it, for Excel
        lines.separator, first = lines.separator or named.group(1), next(lines, "")
    # A name may have line breaks inside its quotes: the header ends where all are closed.
    while lines.quote and first.count(lines.quote) % 2 and len(first) < _LONGEST:
        if not (more := next(lines, "")):
            break
        first += more
    if not lines.separator:
        parts = first.split(lines.quote)[::2] if lines.quote else [first]
        lines.separator = max(_SEPARATORS, key="".join(parts).count)
    record = lines.records(chain([first], lines))
    del first
    try:
        return [on_one_line(name) for name in next(record, None) or ()]
    except csv.Error as error:
        problem = Problem("", f"is not CSV: {error}", "check its quotes")
    raise _unusable(lines.number, [problem])


def _unusable(line: int, problems: Iterable[Problem]) -> ValidationError:
    return ValidationError(f"unusable CSV, line {line}", tuple(problems))


def row_of(
    line: int,
    number: int,
    header: list[str],
    cells: list[str],
    layout: Layout,
    faults: Sequence[Problem] = (),
) -> Row:
    """The row that cells describe, unless there are faults."""
    cells = list(map(trimmed, cells))
    by_column = dict(zip(header, cells, strict=False))
    by_field = layout.fields_of(by_column)
    reference = _tidy(by_field.get("client_reference_id", ""))
    key = _tidy(by_column.get(layout.key, "")) if layout.key else ""
    by_field.pop("", None)
    problems = tuple(faults) or _shape_problems(header, cells) or layout.key_problems(key)
    problems = problems or (() if OTHERS in layout.renames else _nameless(header, cells))
    if not problems:
        try:
            return Row(line, reference, build_request(by_field), (), number, key)
        except ValidationError as error:
            problems = error.problems
    return Row(line, reference, None, problems, number, key)


def _shape_problems(header: list[str], cells: list[str]) -> tuple[Problem, ...]:
    if len(cells) == len(header):
        return ()
    rule = f"has {len(cells)} cells where the header has {len(header)}"
    return (Problem("", rule, "check its separators and quotes"),)


def _nameless(header: Sequence[str], cells: Sequence[str]) -> tuple[Problem, ...]:
    """Columns without a name are left out, unless there is something in them."""
    if "" not in header:
        return ()
    return tuple(
        Problem(f"column {number}", "has no name", "name it in the header, or take it out")
        for number, (name, cell) in enumerate(zip(header, cells, strict=True), 1)
        if cell and not name
    )


def _tidy(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
