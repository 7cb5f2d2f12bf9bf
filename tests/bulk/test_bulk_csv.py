"""CSV files as people have them: read right, or refused with the line."""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.bulk import Row, read_csv
from frame_async.bulk.unpacking import NOT_UTF_8, UTF_16
from frame_async.errors import Problem, ValidationError
from frame_async.models import LineItem, PaymentLinkSessionRequest

PRODUCT = "line_items.0.product"
HEADER = f"client_reference_id,{PRODUCT},expires_in\n"
ORDERS = Path(__file__).parents[2] / "docs" / "examples" / "orders.csv"


def read(data: bytes | str) -> list[Row]:
    """Every row of a file."""
    return list(read_csv(io.BytesIO(data.encode() if isinstance(data, str) else data)))


def refusal(data: bytes | str) -> ValidationError:
    """The error of a file that can't be used."""
    with pytest.raises(ValidationError) as caught:
        read(data)
    assert caught.value.message.isprintable()
    return caught.value


def order(reference: str | None, product: str = "mug", **more: Any) -> PaymentLinkSessionRequest:
    """The request of a row."""
    items = [LineItem(product=product)]
    return PaymentLinkSessionRequest(client_reference_id=reference, line_items=items, **more)


def summary(rows: list[Row]) -> list[tuple[int, str, bool]]:
    """Line, reference, and whether it is good, of each row."""
    return [(row.line, row.reference, row.request is not None) for row in rows]


# --- files that are right ------------------------------------------------------------


def test_rows_become_requests() -> None:
    """Each row has its line, its reference and its request."""
    assert read(HEADER + "order-1,mug,900\norder-2,pot,\n") == [
        Row(2, "order-1", order("order-1", expires_in=900), number=1),
        Row(3, "order-2", order("order-2", "pot"), number=2),
    ]


def test_a_path_a_string_and_a_file_read_alike(tmp_path: Path) -> None:
    """A file may be given by its path, as a Path or a string, or open in binary mode."""
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "order-1,mug,\n")
    with path.open("rb") as file:
        rows = [list(read_csv(path)), list(read_csv(str(path))), list(read_csv(file))]
        assert not file.closed
    assert rows == [[Row(2, "order-1", order("order-1"), number=1)]] * 3


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A path without a file raises the error of `open`."""
    with pytest.raises(FileNotFoundError):
        next(read_csv(tmp_path / "none.csv"))


def test_rows_come_one_by_one() -> None:
    """A row is yielded before the file is read to its end."""

    class Endless(io.RawIOBase):
        """A file whose rows never end."""

        lines = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            self.lines += 1
            return HEADER.encode() if self.lines == 1 else b"order,mug,\n"

    file: Any = Endless()
    rows = read_csv(file)
    assert [next(rows).line for _ in range(3)] == [2, 3, 4]
    assert file.lines == 4


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["bare", "mark"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
def test_dialects(separator: str, end: str, mark: bytes, last: bool) -> None:
    """Separators, line ends, a byte-order mark and an open last line read the same."""
    lines = [HEADER.strip(), "order-1,mug,900", "", "ordér-2,pot,x"]
    text = end.join(lines).replace(",", separator) + (end if last else "")
    rows = read(mark + text.encode())
    assert summary(rows) == [(2, "order-1", True), (4, "ordér-2", False)]
    assert rows[0].request == order("order-1", expires_in=900)


def test_blank_lines_are_skipped_and_counted() -> None:
    """Lines without cells, or with empty cells only, are no rows, but they are lines."""
    data = f"\n \n{HEADER}\n  \n,,\nordér-1,mug,\n\n\n , ,\nordér-2,mug,\n\n"
    assert summary(read(data)) == [(7, "ordér-1", True), (11, "ordér-2", True)]


def test_quotes() -> None:
    """Quoted fields may hold separators, quotes, line ends and marks."""
    data = HEADER + '"a,""b"" ; c","mug\r\n2",""\n'
    (row,) = read(data)
    assert row.request == order('a,"b" ; c', "mug\r\n2")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_lines_after_a_quoted_line_end(end: str) -> None:
    """A row has the line on which it begins, also after rows of several lines."""
    lines = [HEADER.strip(), '"a', "", 'b",mug,', "c,mug,", '"d', 'e",mug,"9', '"', "f,mug,"]
    assert [row.line for row in read(end.join(lines))] == [2, 5, 6, 9]


def test_a_quoted_header() -> None:
    """The names of columns may be quoted and padded."""
    (row,) = read(f'"client_reference_id" , "{PRODUCT}"\n'.replace(" , ", ",") + "a,mug\n")
    assert row == Row(2, "a", order("a"), number=1)
    (row,) = read(f" client_reference_id\t{PRODUCT} \na\tmug\n")
    assert row == Row(2, "a", order("a"), number=1)


def test_a_comma_in_the_header_decides() -> None:
    """When the header has a comma, semicolons and tabs are text."""
    (row,) = read(HEADER + "a;b\tc,mug,\n")
    assert row.reference == "a;b\tc"


def test_one_column_is_enough() -> None:
    """A file of products needs no separator; its rows have no reference."""
    assert summary(read(f"{PRODUCT}\nmug\npot\n")) == [(2, "", True), (3, "", True)]


def test_header_only() -> None:
    """A file with a header and no rows has no rows."""
    assert read(HEADER) == []
    assert read(HEADER.strip()) == []


def test_nested_json_in_a_cell() -> None:
    """Line items and payment method data may be JSON in quoted cells."""
    data = 'line_items,payment_method_data\n"[{""product"": ""mug""}]","{""type"": ""card""}"\n'
    (row,) = read(data)
    assert row.request == PaymentLinkSessionRequest(
        line_items=[LineItem(product="mug")], payment_method_data={"type": "card"}
    )


def test_the_example_file() -> None:
    """The example that ships with the package has 120 rows, three of them wrong on purpose."""
    rows = list(read_csv(ORDERS))
    assert len(rows) == 120
    assert [row.line for row in rows] == list(range(2, 122))
    assert len([row for row in rows if row.problems]) == 3
    assert all((row.request is None) == bool(row.problems) for row in rows)


# --- files that can't be used --------------------------------------------------------

NO_HEADER = Problem("", "has no header", "name the columns in the first line")


@pytest.mark.parametrize(
    ("data", "line"),
    [("", 1), ("\n", 1), ("\n\r\n  \n", 3), ("\ufeff", 1), (",,\n", 1), ("\n\n;;\na;b;c\n", 3)],
)
def test_no_header(data: str, line: int) -> None:
    """An empty file, or one whose first line that isn't blank names nothing, is refused."""
    error = refusal(data)
    assert error.problems == (NO_HEADER,)
    assert str(error).startswith(f"unusable CSV, line {line}: ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings(encoding: str) -> None:
    """UTF-16 is refused by its mark, or else as a header that names nothing known."""
    error = refusal((HEADER + "a,mug,\n").encode(encoding))
    assert str(error).startswith("unusable CSV, line 1: ")
    if encoding in ("utf-16", "utf-32"):
        assert error.problems == (UTF_16,)


def test_a_missing_column() -> None:
    """A header without line items is refused with its line and the column to add."""
    error = refusal("\nclient_reference_id\na\n")
    assert str(error) == (
        f"unusable CSV, line 2: {PRODUCT}: is missing (add this column with the product's id)"
    )


def test_wrong_columns() -> None:
    """Unknown and doubled columns are all reported at once."""
    error = refusal(f"acount,{PRODUCT},,{PRODUCT},caf\udce9\n".encode("utf-8", "surrogateescape"))
    assert [(p.path, p.rule) for p in error.problems] == [
        ("", "has bytes that are not UTF-8"),
        ("acount", "is not a field of the request"),
        ("column 5", "is not a field of the request"),
        (PRODUCT, "is there twice"),
    ]


@pytest.mark.parametrize("header", ['"line_items', '"line_items"x,customer', 'customer,"'])
def test_a_header_with_broken_quotes(header: str) -> None:
    """A header that isn't CSV is refused for that, with its line."""
    error = refusal(f"\n{header}\n")
    (problem,) = error.problems
    assert str(error).startswith("unusable CSV, line 2: is not CSV: ")
    assert problem.fix == "check its quotes"


def test_an_unfinished_file_of_old_macs_is_no_trap() -> None:
    """A file of CR line ends only, in one piece for Python, has its header on line 1."""
    error = refusal("customer\ra\rb\r")
    assert str(error).startswith("unusable CSV, line 1: line_items.0.product: is missing")


# --- rows that are wrong -------------------------------------------------------------


def test_a_wrong_row_does_not_stop_the_rest() -> None:
    """A wrong row comes with line, reference, fields and fixes; those after it are read."""
    rows = read(HEADER + "a,,soon\nb,mug,60\nc,mug,\n")
    assert summary(rows) == [(2, "a", False), (3, "b", False), (4, "c", True)]
    assert rows[0].problems == (
        Problem(
            "expires_in", 'must be a whole number, not "soon"', "write digits only, such as 3600"
        ),
        Problem(
            "line_items", "must have at least one item",
            "write a product's id into line_items.0.product",
        ),
    )  # fmt: skip
    assert rows[1].problems == (
        Problem(
            "expires_in",
            "must be from 900 to 86400 seconds",
            "write a whole number from 900 to 86400",
        ),
    )
    assert rows[2].problems == ()


@pytest.mark.parametrize(("cells", "count"), [("a", 1), ("a,mug", 2), ("a,mug,,", 4), (",,,,x", 5)])
def test_ragged_rows(cells: str, count: int) -> None:
    """A row with more or fewer cells than the header is refused, and the next one is read."""
    rows = read(f"{HEADER}{cells}\nb,mug,\n")
    assert summary(rows) == [(2, cells[:1].strip(","), False), (3, "b", True)]
    assert rows[0].problems == (
        Problem("", f"has {count} cells where the header has 3", "check its separators and quotes"),
    )


def test_other_encodings() -> None:
    """A cell in Latin-1 is refused at its field; rows in UTF-8 around it are read."""
    data = HEADER.encode() + b"a,mug,\n" + "ü,tasse,\nb,kännchen,\n".encode("latin-1")
    rows = read(data + "ö,mug,\n".encode())
    assert summary(rows) == [(2, "a", True), (3, "?", False), (4, "b", False), (5, "ö", True)]
    problem = NOT_UTF_8
    assert rows[1].problems == (Problem("client_reference_id", *problem),)
    assert rows[2].problems == (Problem("line_items[0].product", *problem),)


@pytest.mark.parametrize("cell", ['"a"b', '"a" ', '"a""b"c'])
def test_text_after_a_quote(cell: str) -> None:
    """A field that goes on after its closing quote is refused; the next line is read."""
    rows = read(f"{HEADER}{cell},mug,\nb,mug,\n")
    assert summary(rows) == [(2, "", False), (3, "b", True)]
    assert rows[0].problems[0].rule.startswith("is not CSV: ")
    assert rows[0].problems[0].fix == "check its quotes"


def test_text_after_a_quote_on_a_later_line() -> None:
    """A broken row of several lines has its first line; reading goes on after its last."""
    rows = read(HEADER + '"a\n\nb"c,mug,\nd,mug,\n')
    assert summary(rows) == [(2, "", False), (5, "d", True)]


def test_an_unclosed_quote() -> None:
    """A quote that is never closed is reported on the line where its row begins."""
    rows = read(HEADER + 'a,mug,\nb,"mug,\nc,mug,\n')
    assert summary(rows) == [(2, "a", True), (3, "", False)]
    assert rows[1].problems == (
        Problem("", "is not CSV: unexpected end of data", "check its quotes"),
    )


def test_a_huge_field() -> None:
    """A field beyond the limit of the csv module is refused; the next line is read."""
    rows = read(f"{HEADER}{'x' * 200_000},mug,\nb,mug,\n")
    assert summary(rows) == [(2, "", False), (3, "b", True)]


def test_a_quote_inside_a_bare_field_is_text() -> None:
    """A quote that doesn't begin a field is an ordinary character, such as an inch mark."""
    assert summary(read(HEADER + '5" mug,mug,\n')) == [(2, '5" mug', True)]


def test_nul_characters() -> None:
    """A NUL in a cell is text in a reference, and no part of a number."""
    rows = read(HEADER + "a\x00b,mug,\nb,mug,9\x0000\n")
    assert summary(rows) == [(2, "a\x00b", True), (3, "b", False)]
    assert rows[1].problems[0].rule == 'must be a whole number, not "9?00"'


# --- properties ----------------------------------------------------------------------


def outcome(data: bytes) -> list[Row] | ValidationError:
    """The rows of a file, or the one error that may be raised instead."""
    try:
        return read(data)
    except ValidationError as error:
        return error


def assert_sound(rows: list[Row], lines: int) -> None:
    """Rows are in order, within the file, and either good or explained on one line each."""
    numbers = [row.line for row in rows]
    assert numbers == sorted(set(numbers))
    assert all(1 < number <= lines for number in numbers)
    for row in rows:
        assert (row.request is None) == bool(row.problems)
        assert all(p.rule.isprintable() and p.fix.isprintable() for p in row.problems)
        row.reference.encode()


pieces = st.sampled_from(
    [b",", b'"', b"\n", b"\r", b"\r\n", b";", b"\t", b"mug", b"\xff", b"\x00", b" ", b"900", b"[]"]
)


@given(data=st.binary() | st.lists(pieces).map(b"".join))
def test_arbitrary_bytes(data: bytes) -> None:
    """Whatever the bytes of a file, it has rows or is refused by a ValidationError."""
    result = outcome(data)
    if isinstance(result, ValidationError):
        assert result.message.isprintable()
    else:
        assert_sound(result, len(data.splitlines()))


@given(data=st.binary() | st.lists(pieces).map(b"".join))
def test_arbitrary_rows(data: bytes) -> None:
    """Below a good header, whatever the bytes, each line is a row, right or explained."""
    result = outcome(HEADER.encode() + data)
    assert isinstance(result, list)
    assert_sound(result, 1 + len(data.splitlines()))


cells = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), max_size=8) | st.sampled_from(
    ["a\nb", "a\r\nb", "a\rb", '"', 'a"b', ",", "a,b", ";", "\t"]
)


def lines_of(records: list[list[str]], end: str) -> Iterator[tuple[str, int]]:
    """Each record as CSV, with the line on which it begins."""
    line = 1
    for record in records:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(record)
        yield text.getvalue(), line
        line += len(text.getvalue().encode().splitlines())


@given(
    references=st.lists(cells, max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
)
def test_what_python_writes_we_read(references: list[str], end: str, mark: bool) -> None:
    """Files of Python's csv module, in any dialect of line ends, read back on the right lines."""
    records = [["client_reference_id", PRODUCT], *([name, "mug"] for name in references)]
    written = list(lines_of(records, end))
    data = "".join(text for text, _ in written).encode()
    rows = read((codecs.BOM_UTF8 if mark else b"") + data)
    assert [row.line for row in rows] == [line for _, line in written[1:]]
    assert [row.reference for row in rows] == [name.strip() for name in references]
    for row, name in zip(rows, references, strict=True):
        assert row.request is not None
        assert row.request == order(name.strip() or None)
