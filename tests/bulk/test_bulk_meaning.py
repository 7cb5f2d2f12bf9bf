"""Cells and values mean what whoever wrote them meant."""

from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest

from frame_async.bulk import BulkItem, BulkResult, Layout, read_csv, read_jsonl
from frame_async.bulk.meaning import meant, trimmed

PRODUCT = "line_items.0.product"


@pytest.mark.parametrize(
    ("value", "means"),
    [
        (3600.0, 3600),
        (3600.5, 3600.5),
        (float("nan"), None),
        (Decimal("3600.00"), 3600),
        (Decimal("NaN"), None),
        (True, True),
        ("007 ", "007"),
        ("", ""),
        ({"a": {"b": None, "c": [{"d": None, "e": 1.0}, None]}}, {"a": {"c": [{"e": 1}]}}),
    ],
)
def test_values_of_libraries(value: Any, means: Any) -> None:
    """Null is "not given" at every depth, whole floats are integers, NaN is nothing."""
    assert (meant(value), type(meant(value))) == (means, type(means))


@pytest.mark.parametrize("around", [" ", "\u00a0", "\u200b", "\ufeff", "\u3000 ", "\t\u2060 "])
def test_what_nobody_sees_is_trimmed(around: str) -> None:
    """White space around a cell goes, of whatever kind; inside, it stays."""
    assert trimmed(f"{around}a{around}b{around}") == f"a{around}b"
    (row,) = read_csv(
        BytesIO(f"client_reference_id,{PRODUCT}\n{around}o1{around},p{around}\n".encode())
    )
    assert row.request is not None
    assert (row.reference, row.request.client_reference_id) == ("o1", "o1")
    assert row.request.line_items[0].product == "p"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_header_with_breaks_and_separators_in_its_names(end: str, separator: str) -> None:
    """A quoted name may have line ends and other separators; one dialect holds for all records."""
    names = ["client_reference_id", PRODUCT, f'"Remarks,{end}a;b;c;d;e"']
    text = end.join([separator.join(names), separator.join(["o1", "p", f'"two{end}lines"']), ""])
    renames = {f"Remarks,{end}a;b;c;d;e": ""}
    (row,) = read_csv(BytesIO(text.encode()), Layout(renames=renames))
    assert row.request is not None
    assert (row.reference, row.line) == ("o1", 3)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_may_be_named_in_the_first_line(separator: str) -> None:
    """``sep=;`` in the first line, as Excel writes it, names the separator."""
    text = f"sep={separator}\r\nclient_reference_id{separator}{PRODUCT}\r\n007{separator}p\r\n"
    (row,) = read_csv(BytesIO(text.encode()))
    assert (row.reference, row.problems) == ("007", ())


@pytest.mark.parametrize("cell", ["3600", "3600.0", '"3600,00"', " 3600 "])
def test_whole_numbers_of_pandas_and_excel(cell: str) -> None:
    """A whole number is one with whatever decimals it is written."""
    (row,) = read_csv(BytesIO(f"expires_in,{PRODUCT}\n{cell},p\n".encode()))
    assert row.request is not None
    assert row.request.expires_in == 3600


def test_null_in_a_line_item() -> None:
    """A null inside a line item of JSON Lines, or of JSON in a cell, is "not given"."""
    line = b'{"expires_in":3600.0,"line_items":[{"product":"a","quantity_minimum":null}]}\n'
    cell = b'line_items\n"[{""product"":""a"",""quantity_minimum"":null}]"\n'
    rows = [*read_jsonl(BytesIO(line)), *read_csv(BytesIO(cell))]
    assert [row.problems for row in rows] == [(), ()]


@pytest.mark.parametrize("wrong", [{"payment_method_data": {"card_number": "4242"}}, ["4242"]])
def test_a_request_of_a_wrong_type_shows_nothing(wrong: Any) -> None:
    """What was given in place of a request may hold a card: a repr shows its type alone."""
    shown = repr(BulkResult(0, BulkItem(wrong)))
    assert "4242" not in shown
    assert type(wrong).__name__ in shown


def test_a_number_may_be_a_name() -> None:
    """An order's number is its reference in JSON as in CSV, and the same row; a NaN is nothing."""
    text = (
        b'{"client_reference_id": 1001.0, "expires_in": NaN, "line_items": [{"product": 7}]}\n'
        b'{"client_reference_id": "NaN \\"NaN", "line_items.0.product": 7, "customer": -NaN}\n'
        b'{"client_reference_id": "NaN \\"NaN", "line_items.0.product": 7, "customer": NaN}\n'
    )
    one, bad, other = read_jsonl(BytesIO(text))
    (same,) = read_csv(BytesIO(b"client_reference_id,line_items.0.product\n1001,7\n"))
    assert (one.reference, one.request) == ("1001", same.request)
    assert bad.request is None
    assert other.reference == 'NaN "NaN'
    (flag,) = read_jsonl(BytesIO(b'{"client_reference_id": true, "line_items.0.product": 7}'))
    assert "must be a string, not bool" in str(flag.problems[0])
