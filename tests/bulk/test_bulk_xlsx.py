"""Workbooks of Excel: what their cells mean, and files that no spreadsheet made."""

import datetime as dt
import gzip
import io
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from frame_async.bulk import Layout, Row, read_xlsx
from frame_async.bulk.sources import Reading, open_input
from frame_async.errors import ConfigurationError, ValidationError

openpyxl: Any = import_module("openpyxl")  # untyped

HEADER = ("client_reference_id", "line_items.0.product", "expires_in")
SHEET = "xl/worksheets/sheet1.xml"


def workbook(*rows: tuple[Any, ...], change: Callable[[Any], None] = lambda _: None) -> bytes:
    """A workbook with these rows on its first sheet."""
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    change(book)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def rewritten(data: bytes, old: str, new: str, part: str = SHEET) -> bytes:
    """The workbook with other XML in a part of it, as other programs write it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name == part:
                assert old in text.decode()
                text = text.decode().replace(old, new).encode()
            after.writestr(name, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def read(data: bytes, layout: Layout | None = None, sheet: str = "") -> list[Row]:
    return list(read_xlsx(io.BytesIO(data), layout or Layout(), sheet))


def references(rows: list[Row]) -> list[str]:
    assert [row.problems for row in rows if row.problems] == []
    return [row.reference for row in rows]


def said(rows: list[Row]) -> list[str]:
    return [str(problem) for row in rows for problem in row.problems]


def test_cells_say_what_they_mean() -> None:
    """Whole floats are integers, dates are ISO dates, text and formats of zeros keep them."""

    def keep_zeros(book: Any) -> None:
        book.worksheets[0]["A4"].number_format = "00000"

    rows = read(
        workbook(
            HEADER,
            ("007", "prod_1", 3600.0),
            (1001, " prod_1\u00a0", None),
            (42, "prod_1", "900"),
            (dt.datetime(2026, 11, 29), "prod_1", None),  # noqa: DTZ001  # as in a sheet
            (dt.datetime(2026, 11, 29, 8, 30), "prod_1", None),  # noqa: DTZ001
            (dt.time(8, 30), "prod_1", None),
            (True, "prod_1", None),
            (0.1 + 0.2, "prod_1", None),
            change=keep_zeros,
        )
    )
    assert references(rows) == [
        *("007", "1001", "00042", "2026-11-29", "2026-11-29T08:30:00", "08:30:00", "true", "0.3")
    ]
    requests = [row.request for row in rows if row.request]
    assert [request.expires_in for request in requests[:3]] == [3600, None, 900]
    assert requests[1].line_items[0].product == "prod_1"


def test_rows_and_lines() -> None:
    """Empty rows are skipped, and lines are those that the spreadsheet shows."""
    rows = read(workbook((), HEADER, (), ("o1", "p"), (None, " ", None), (), ("o2", "p", None, "")))
    assert references(rows) == ["o1", "o2"]
    assert [(row.line, row.number) for row in rows] == [(4, 1), (7, 2)]


def test_a_cell_beside_the_table_is_wrong() -> None:
    """A note beside the table would otherwise be left out in silence."""
    (row,) = read(workbook(HEADER, ("o1", "p", None, None, "call them")))
    assert "has 5 cells where the header has 3" in str(row.problems[0])


def test_a_formula_is_what_it_came_to() -> None:
    """Its value is what was saved; one that was never worked out makes its row wrong."""
    data = workbook(HEADER, ("o1", "p", "=60*60"), ("o2", "p", "=60*15"))
    data = rewritten(data, "<f>60*60</f><v />", "<f>60*60</f><v>3600</v>")
    first, second = read(data)
    assert first.request is not None
    assert first.request.expires_in == 3600
    assert second.request is None
    assert said([second]) == [
        (
            "expires_in: is a formula without its result "
            "(correct the cell, or format it as text and enter it again)"
        )
    ]
    assert references(read(data, Layout({"expires_in": ""}))) == ["o1", "o2"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [(4.0063813e18, "more than 15 digits"), (-(10**15), "more than 15 digits"), ("#N/A", "#N/A")],
)
def test_a_value_that_is_lost(value: object, rule: str) -> None:
    """An error of the spreadsheet, and digits that it has replaced by zeros, make a row wrong."""
    rows = read(workbook(HEADER, (value, "p"), ("o2", "p")))
    assert rule in said(rows)[0]
    assert [row.request is None for row in rows] == [True, False]


def test_the_first_sheet_that_shows() -> None:
    """A hidden sheet isn't taken for the table; `sheet` names another, which may be hidden."""

    def add(book: Any) -> None:
        book.worksheets[0].title, book.worksheets[0].sheet_state = "Alt", "hidden"
        for name, row in (("Bestellungen", "new"), ("Kunden", "who")):
            sheet = book.create_sheet(name)
            sheet.append(HEADER)
            sheet.append((row, "p"))

    data = workbook(HEADER, ("old", "p"), change=add)
    assert references(read(data)) == ["new"]
    assert references(read(data, sheet="Kunden")) == ["who"]
    assert references(read(data, sheet="Alt")) == ["old"]
    with pytest.raises(ValidationError, match=r"no sheet 'Orders' .*: Alt, Bestellungen, Kunden"):
        read(data, sheet="Orders")


@pytest.mark.parametrize("dimension", ["A1", "A1:C2", "A1:XFD1048576"])
def test_declared_dimensions_are_not_believed(dimension: str) -> None:
    """Programs write too few or too many; what is in the sheet counts."""
    data = workbook(HEADER, *((f"o{n}", "p", None) for n in range(5)))
    data = rewritten(data, '<dimension ref="A1:C6" />', f'<dimension ref="{dimension}" />')
    assert references(read(data)) == [f"o{n}" for n in range(5)]


def test_a_row_beyond_all_sheets_ends_it() -> None:
    """A row number that no spreadsheet has costs no time."""
    data = workbook(HEADER, ("o1", "p"), ("o2", "p"))
    data = rewritten(data, '<row r="3">', '<row r="99999999999">')
    assert references(read(data)) == ["o1"]


def test_a_zip_bomb_is_refused() -> None:
    """What would unpack to hundreds of times its size is refused before it is unpacked."""
    data = io.BytesIO(workbook(HEADER, ("o1", "p")))
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings2.xml", bytes(80 << 20))
    with pytest.raises(ValidationError, match="very many times its size"):
        read(data.getvalue())


@pytest.mark.parametrize("keep", [0, 3, 100, 3000, -30])
def test_a_damaged_workbook(keep: int) -> None:
    """A file that was cut is said to be damaged, in words."""
    data = workbook(HEADER, ("o1", "p"))[:keep]
    with pytest.raises(ValidationError, match=r"is not \.xlsx, or damaged"):
        read(data)


@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/styles.xml"])
def test_a_part_that_is_no_xml(part: str) -> None:
    """What openpyxl raises of a broken part never gets through."""
    data = rewritten(workbook(HEADER, ("o1", "p")), "<", "<<", part)
    with pytest.raises(ValidationError, match="damaged"):
        read(data)


def test_a_cut_workbook_keeps_its_name(tmp_path: Path) -> None:
    """What is named .xlsx and isn't whole is said to be damaged, not to be something else."""
    path = tmp_path / "o.xlsx"
    path.write_bytes(workbook(HEADER)[:500])
    with open_input(path, io.BytesIO(), Reading(), Layout()) as source:
        with pytest.raises(ValidationError, match="damaged"):
            list(source.rows())


def test_without_openpyxl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says how to get it, and another way."""
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigurationError, match=r"frame-async\[xlsx\].*export the table as CSV"):
        read(b"")


def test_a_header_is_checked_as_in_csv() -> None:
    """Columns that no request has are listed, and the row of the header is named."""
    with pytest.raises(ValidationError, match="unusable sheet, row 2") as caught:
        read(workbook((), ("Bestellnummer", "Betrag"), ("o1", 3)))
    assert len(caught.value.problems) == 3
    with pytest.raises(ValidationError, match="has no header"):
        read(workbook())


@pytest.mark.parametrize("name", ["o.xlsx", "o.XLSX", "o.xlsx.gz", "orders", "o.csv"])
def test_a_workbook_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    """Whatever its name, and compressed too, it is read as what it is."""
    data = workbook(HEADER, ("o1", "p"))
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
    with open_input(path, io.BytesIO(), Reading(), Layout()) as source:
        for _ in range(2):
            assert references(list(source.rows())) == ["o1"]


def test_only_a_workbook_has_sheets(tmp_path: Path) -> None:
    """--sheet for another file is a mistake that is said."""
    (tmp_path / "o.csv").write_text("line_items\n")
    with pytest.raises(ConfigurationError, match="--sheet is for workbooks"):
        with open_input(tmp_path / "o.csv", io.BytesIO(), Reading(sheet="A"), Layout()):
            pass
