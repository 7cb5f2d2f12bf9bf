"""Reading requests from a sheet of an Excel workbook (.xlsx), row by row."""

import datetime as dt
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile

from frame_async.bulk.csv_rows import problems_of_header, row_of
from frame_async.bulk.layouts import PLAIN, Layout
from frame_async.bulk.meaning import on_one_line, trimmed
from frame_async.bulk.pinned import RunFileError
from frame_async.bulk.rows import Row
from frame_async.errors import ConfigurationError, FrameError, Problem, ValidationError

_MAIN_PART: Final = "xl/workbook.xml"
_BATCH: Final = 500
_MOST_ROWS: Final = 1 << 20
"""Rows of a sheet, as Excel specifies them; a file may say any number."""
_BOMB_SIZE: Final = 64 << 20
_BOMB_RATIO: Final = 200
"""How many times its size a workbook of more than that is unpacked to; tables have 5 to 40."""
_EXACT: Final = 10**15
"""From here on, a spreadsheet has put zeros in the place of digits."""
_ZEROS: Final = re.compile("0+")
_DAMAGED: Final = Problem("", "is not .xlsx, or damaged", "save it again, or export it as CSV")
_BOMB: Final = Problem(
    "", "unpacks to very many times its size", "export the table as CSV, if you trust the file"
)

_Cells = Sequence[tuple[str, str]]
"""The text of each cell, and the rule that it breaks; empty when it breaks none."""


def is_xlsx(file: BinaryIO) -> bool:
    """Whether a file that is a ZIP archive is a workbook of Excel."""
    try:
        with ZipFile(file) as archive:
            return _MAIN_PART in archive.namelist()
    except (BadZipFile, ValueError):
        return False


def read_xlsx(
    source: str | Path | BinaryIO, layout: Layout = PLAIN, sheet: str = ""
) -> Iterator[Row]:
    """Read a sheet of a workbook, one `Row` per row; without its name, the first that shows.

    Its first row that isn't empty names the columns, as in CSV. Cells say what they mean,
    not how they look: a date is ``2026-11-29``, a formula what it had come to when the file
    was saved. A number with a format of zeros keeps them, ``00042``. Empty rows are skipped;
    rows that are hidden or filtered out are read.

    Raises:
        ConfigurationError: the extra ``xlsx`` isn't installed.
        ValidationError: it is no workbook, has no such sheet, or its header can't be used.
        OSError: it can't be opened or read.
    """
    rows = enumerate(_sheet_rows(source, sheet), 1)
    line, cells = next(((line, cells) for line, cells in rows if any(t for t, _ in cells)), (1, ()))
    header = [on_one_line(text) for text, _ in cells]
    while header and not header[-1]:
        header.pop()
    if problems := problems_of_header(header, layout):
        del rows, cells, header  # without a header, these are the cells of a row
        raise ValidationError(f"unusable sheet, row {line}", problems)
    number = 0
    for line, cells in rows:
        if any(text for text, _ in cells):
            number += 1
            yield _row(line, number, header, cells, layout)


def _row(line: int, number: int, header: list[str], cells: _Cells, layout: Layout) -> Row:
    texts = [text for text, _ in cells]
    while len(texts) > len(header) and not texts[-1]:
        texts.pop()
    texts += [""] * (len(header) - len(texts))
    faults = [
        Problem(name, rule, "correct the cell, or format it as text and enter it again")
        for name, (_, rule) in zip(header, cells, strict=False)
        if rule and layout.renamed({name: ""})
    ]
    return row_of(line, number, header, texts, layout, faults)


def _sheet_rows(source: str | Path | BinaryIO, sheet: str) -> Iterator[_Cells]:
    try:
        openpyxl: Any = import_module("openpyxl")  # untyped, and comes with an extra
    except ImportError:
        raise ConfigurationError(
            "reading .xlsx needs an extra: pip install 'frame-async[xlsx]' "
            "(or export the table as CSV)"
        ) from None
    try:
        _check_size(source)
        # Once for what cells say, once for which of them are formulas.
        values, formulas = (
            _opened(openpyxl, source, sheet, data_only=data_only) for data_only in (True, False)
        )
        while batch := _next(values, formulas):
            for pair in batch:
                yield [_cell(*cells) for cells in zip(*pair, strict=True)]
            del batch
    except (FrameError, RunFileError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
    except Exception:  # noqa: BLE001, S110  # whatever a damaged file leads openpyxl to
        pass
    else:
        return
    raise ValidationError("unusable file", [_DAMAGED])


def _check_size(source: str | Path | BinaryIO) -> None:
    with ZipFile(source) as archive:
        parts = archive.infolist()
    whole = sum(part.file_size for part in parts)  # more of a part is never unpacked
    if whole > max(_BOMB_SIZE, _BOMB_RATIO * sum(part.compress_size for part in parts)):
        raise ValidationError("unusable file", [_BOMB])


def _opened(openpyxl: Any, source: Any, sheet: str, *, data_only: bool) -> Iterator[Any]:
    with warnings.catch_warnings():  # of styles and the like, which have no say here
        warnings.simplefilter("ignore")
        book = openpyxl.load_workbook(source, read_only=True, data_only=data_only, keep_links=False)
    shown = [one for one in book.worksheets if one.sheet_state == "visible"]
    found = [one for one in book.worksheets if one.title == sheet] if sheet else shown
    if not found:
        names = ", ".join(one.title for one in book.worksheets)
        rule = f"has no sheet {sheet!r}" if sheet else "has no sheet that shows"
        raise ValidationError("unusable file", [Problem("", rule, f"its sheets are: {names}")])
    found[0].reset_dimensions()  # which some programs write wrongly
    return iter(found[0].iter_rows(max_row=_MOST_ROWS))


def _next(values: Iterator[Any], formulas: Iterator[Any]) -> list[Any]:
    with warnings.catch_warnings():  # of dates beyond all calendars
        warnings.simplefilter("ignore")
        return list(islice(zip(values, formulas, strict=True), _BATCH))


def _cell(cell: Any, formula: Any) -> tuple[str, str]:
    value = cell.value
    if cell.data_type == "e":
        return str(value), f"is an error of the spreadsheet, {value}"
    if value is None:
        uncounted = formula.data_type == "f"
        return ("=", "is a formula without its result") if uncounted else ("", "")
    if isinstance(value, int | float) and abs(value) >= _EXACT:
        return "?", "is a number of more than 15 digits, of which a spreadsheet keeps 15"
    return _text(value, cell), ""


def _text(value: Any, cell: Any) -> str:
    match value:
        case str():
            return trimmed(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = format(value, ".15g")  # what a spreadsheet shows of it, at most
            zeros = _ZEROS.fullmatch(cell.number_format or "")
            return text.zfill(len(cell.number_format)) if zeros else text
        case dt.datetime():
            return (value.date() if value.time() == dt.time() else value).isoformat()
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return trimmed(str(value))
