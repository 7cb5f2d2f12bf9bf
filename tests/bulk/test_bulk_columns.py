"""Cells to requests: columns by name, nested ones by dots or as JSON, all problems at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_async.bulk.columns import build_request, check_columns
from frame_async.bulk.meaning import trimmed
from frame_async.errors import Problem, ValidationError
from frame_async.models import LineItem, PaymentLinkSessionRequest
from frame_async.models.requests import REQUEST_FIELDS

PRODUCT = "line_items.0.product"
STRANGER = "is not a field of the request"
NUMBERS = ["expires_in", "line_items.0.quantity_minimum", "line_items.0.quantity_maximum"]
FLAGS = ["phone_number_collection", "shipping_address_collection"]


def row(**cells: str) -> PaymentLinkSessionRequest:
    """The request of a row with a product and these cells."""
    return build_request({PRODUCT: "prod_mug"} | cells)


def problems(cells: dict[str, str]) -> list[tuple[str, str]]:
    """Path and rule of everything that is wrong with a row."""
    with pytest.raises(ValidationError, match=r"^invalid row: ") as caught:
        build_request(cells)
    assert all(p.fix for p in caught.value.problems)
    return [(p.path, p.rule) for p in caught.value.problems]


def place(column: str) -> str:
    """The path that a column stands for."""
    return column.replace("line_items.0.", "line_items[0].")


# --- headers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        [PRODUCT],
        ["line_items"],
        [*REQUEST_FIELDS],
        [*REQUEST_FIELDS, PRODUCT, "line_items.999.quantity_minimum"],
        ["line_items.7.quantity_maximum"],
    ],
)
def test_good_headers(names: list[str]) -> None:
    """All request fields and dotted line items are columns, in any order."""
    assert check_columns(names) == []
    assert check_columns(names[::-1]) == []


def test_a_missing_column() -> None:
    """A header without any column of line items says which one to add."""
    assert check_columns(["customer"]) == [
        Problem(PRODUCT, "is missing", "add this column with the product's id")
    ]


@pytest.mark.parametrize("name", ["customer", "line_items", PRODUCT])
def test_a_doubled_column(name: str) -> None:
    """A column that is there twice or more is reported once."""
    assert check_columns([PRODUCT, "customer", "line_items", name, name]) == [
        Problem(name, "is there twice", "keep one of the two columns")
    ]


@pytest.mark.parametrize(
    ("name", "path", "fix"),
    [
        ("acount", "acount", "did you mean account?"),
        ("Customer", "Customer", "did you mean customer?"),
        ("line_items.0.produkt", "line_items.0.produkt", f"did you mean {PRODUCT}?"),
        ("product", "product", f"did you mean {PRODUCT}?"),
        ("zzz", "zzz", "rename or remove the column"),
        ("payment_methods.data", "payment_methods.data", "did you mean payment_method_data?"),
        ("a\x00b", "column 2", "rename or remove the column"),
        ("a\nb", "column 2", "rename or remove the column"),
        ("caf\udce9", "column 2", "rename or remove the column"),
        ("4242424242424242", "column 2", "rename or remove the column"),
        ('{"card_number": "4242"}', "column 2", "rename or remove the column"),
        ("x" * 61, "column 2", "rename or remove the column"),
    ],
)  # fmt: skip
def test_unknown_columns(name: str, path: str, fix: str) -> None:
    """An unknown column is told by its name, or by its number if it doesn't look like a name."""
    assert check_columns([PRODUCT, name]) == [Problem(path, STRANGER, fix)]


@pytest.mark.parametrize(
    "name",
    [
        "line_items.0", "line_items.00.product", "line_items.01.product", "line_items.1000.product",
        "line_items.-1.product", "line_items.x.product", "line_items.0.product.x",
        "line_items[0].product", "line_items.0.product\n", "line_items.².product", " line_items",
    ],
)  # fmt: skip
def test_no_columns_of_line_items(name: str) -> None:
    """Only a plain number from 0 to 999 and a field of a line item make a column."""
    (problem,) = check_columns([PRODUCT, name])
    assert problem.rule == STRANGER


def test_two_unknown_columns_of_the_same_name() -> None:
    """An unknown column that is there twice is reported for each."""
    assert [p.path for p in check_columns([PRODUCT, "zzz", "zzz"])] == ["zzz", "zzz"]


# --- cells that are right ------------------------------------------------------------


def test_a_full_row() -> None:
    """Each column becomes the field of its name, of the right type."""
    made = build_request(
        {
            "client_reference_id": "order-1",
            "account": "acc_1",
            "customer_email": "ada@mail.example",
            "success_url": "https://shop.example/thanks",
            "cancel_url": "https://shop.example/basket",
            "expires_in": "900",
            "phone_number_collection": "true",
            "shipping_address_collection": "FALSE",
            "payment_method": "pm_1",
            "payment_method_data": '{"type": "card"}',
            "line_items.0.product": "a",
            "line_items.0.quantity_minimum": "0",
            "line_items.0.quantity_maximum": " +5 ",
            "line_items.1.product": "b",
        }
    )
    assert made == PaymentLinkSessionRequest(
        client_reference_id="order-1",
        account="acc_1",
        customer_email="ada@mail.example",
        success_url="https://shop.example/thanks",
        cancel_url="https://shop.example/basket",
        expires_in=900,
        phone_number_collection=True,
        shipping_address_collection=False,
        payment_method="pm_1",
        payment_method_data={"type": "card"},
        line_items=[
            LineItem(product="a", quantity_minimum=0, quantity_maximum=5),
            LineItem(product="b"),
        ],
    )


@pytest.mark.parametrize("cell", ["", " ", "\t", "\u2003"])
def test_an_empty_cell_is_not_given(cell: str) -> None:
    """Cells without anything but spaces leave their fields out."""
    empty = dict.fromkeys([*REQUEST_FIELDS, *NUMBERS, "line_items.1.product"], cell)
    assert build_request(empty | {PRODUCT: "prod_mug"}) == row()


def test_a_null_is_not_given() -> None:
    """A null, in a cell of JSON or among values, leaves its field out, at any depth of ours."""
    assert build_request({PRODUCT: "prod_mug", "payment_method_data": "null"}) == row()
    assert build_request({PRODUCT: "prod_mug", "line_items": " null "}) == row()
    assert build_request({PRODUCT: "prod_mug"}, {"expires_in": None, "line_items": None}) == row()
    items = [{"product": "prod_mug", "quantity_minimum": None}]
    assert build_request({}, {"line_items": items}) == row()


def test_line_items_as_json() -> None:
    """One cell may hold all line items as JSON."""
    cell = '[{"product": "a", "quantity_minimum": 1}, {"product": "b"}]'
    assert build_request({"line_items": cell}).line_items == (
        LineItem(product="a", quantity_minimum=1),
        LineItem(product="b"),
    )


def test_items_come_in_the_order_of_their_numbers() -> None:
    """Neither the order of the columns nor gaps between their numbers matter."""
    made = build_request(
        {"line_items.10.product": "c", "line_items.2.product": "b", "line_items.0.product": "a"}
    )
    assert [item.product for item in made.line_items] == ["a", "b", "c"]


# --- cells that are wrong ------------------------------------------------------------


@pytest.mark.parametrize("column", NUMBERS)
@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("3.5", '"3.5"'), ("1e3", '"1e3"'), ("three", '"three"'), ("1_000", '"1_000"'),
        ("٣", '"٣"'), ("²", '"²"'), ("0x10", '"0x10"'), ("- 3", '"- 3"'), ("true", '"true"'),
        ("1\n2", '"1?2"'), ("\x1b[31m", '"?[31m"'), ("x" * 5_000, '"' + "x" * 37 + '..."'),
        ("9" * 40, "a long number"), ("4242 4242 4242 4242", "a long number"),
    ],
)  # fmt: skip
def test_no_numbers(column: str, cell: str, shown: str) -> None:
    """What isn't digits is no number; the cell is shown on one line, cut short, no card in it."""
    expected = (place(column), f"must be a whole number, not {shown}")
    assert problems({PRODUCT: "p", column: cell}) == [expected]


@pytest.mark.parametrize("column", FLAGS)
@pytest.mark.parametrize("cell", ["1", "0", "yes", "ja", "wahr", "t", "True!", "none"])
def test_no_flags(column: str, cell: str) -> None:
    """Only true and false, in any case, are booleans."""
    assert problems({PRODUCT: "p", column: cell}) == [
        (column, f'must be true or false, not "{cell}"')
    ]


@pytest.mark.parametrize("column", [*REQUEST_FIELDS, PRODUCT, *NUMBERS])
def test_bytes_that_are_not_utf_8(column: str) -> None:
    """A cell in another encoding is refused at its place, before all else."""
    assert problems({column: "caf\udce9"})[0] == (place(column), "has bytes that are not UTF-8")


@pytest.mark.parametrize(
    ("column", "cell", "rule"),
    [
        ("line_items", "prod_mug", "is not JSON: "),
        ("line_items", "[", "is not JSON: "),
        ("line_items", "[" * 100_000, "is nested too deeply"),
        ("line_items", "1" * 5_000, "is not JSON: "),
        ("line_items", "{}", "must be a list of LineItem, not dict"),
        ("line_items", "null", "must have at least one item"),
        ("line_items", "[]", "must have at least one item"),
        ("payment_method_data", "{'type': 'card'}", "is not JSON: "),
        ("payment_method_data", "{}", "must not be empty"),
        ("payment_method_data", "[]", "must be payment method data, not list"),
        ("payment_method_data", "NaN", "is not JSON: "),
    ],
    ids=range(11),
)
def test_wrong_json(column: str, cell: str, rule: str) -> None:
    """A cell of JSON that can't be read, or is of the wrong shape, is refused once."""
    product = {PRODUCT: "p"} if column != "line_items" else {}
    ((path, told),) = problems(product | {column: cell})
    assert path == column
    assert told.startswith(rule)


def test_line_items_in_both_ways() -> None:
    """A row that gives its items as JSON and in columns too is refused: one would be lost."""
    cells = {"line_items": '[{"product": "a"}]', PRODUCT: "b"}
    assert problems(cells) == [("line_items", "is given twice")]
    assert build_request(cells | {PRODUCT: ""}).line_items == (LineItem(product="a"),)
    assert build_request(cells | {"line_items": ""}).line_items == (LineItem(product="b"),)


def test_no_line_item() -> None:
    """A row without any product is refused."""
    assert problems({PRODUCT: "", "customer": "c"}) == [
        ("line_items", "must have at least one item")
    ]


def test_a_quantity_without_a_product() -> None:
    """A quantity whose product's cell is empty lacks its product."""
    assert problems({PRODUCT: "", "line_items.0.quantity_minimum": "1"}) == [
        ("line_items[0].product", "is missing")
    ]


def test_an_unreadable_product_is_not_missing_too() -> None:
    """A cell that can't be read is reported, and not the hole that it leaves as well."""
    rule = "has bytes that are not UTF-8"
    assert problems({PRODUCT: "\udcff"}) == [("line_items[0].product", rule)]
    assert problems({PRODUCT: "\udcff", "line_items.0.quantity_minimum": "1"}) == [
        ("line_items[0].product", rule)
    ]


def test_problems_have_the_numbers_of_the_columns() -> None:
    """When earlier items are empty, a problem still has the number that its columns have."""
    cells = {
        PRODUCT: "",
        "line_items.1.product": "\udcff",
        "line_items.3.product": "p",
        "line_items.3.quantity_minimum": "3",
        "line_items.3.quantity_maximum": "2",
        "line_items.12.quantity_maximum": "x",
        "line_items.12.quantity_minimum": "1",
    }
    assert problems(cells) == [
        ("line_items[1].product", "has bytes that are not UTF-8"),
        ("line_items[12].quantity_maximum", 'must be a whole number, not "x"'),
        ("line_items[3].quantity_minimum", "must not be above quantity_maximum (3 > 2)"),
        ("line_items[12].product", "is missing"),
    ]


def test_all_problems_of_a_row_at_once() -> None:
    """Cells that can't be read and rules that are broken are reported together."""
    found = problems(
        {
            PRODUCT: "p",
            "customer": "c",
            "account": "a",
            "expires_in": "soon",
            "success_url": "/thanks",
            "phone_number_collection": "maybe",
        }
    )
    assert [path for path, _ in found] == [
        "expires_in", "phone_number_collection", "success_url", "account",
    ]  # fmt: skip


# --- properties ----------------------------------------------------------------------

columns = st.sampled_from([*REQUEST_FIELDS, PRODUCT, *NUMBERS, "line_items.5.product"])
words = st.sampled_from(["true", "900", "a@b", "https://a.b/", "[]", "{}", '[{"product": "p"}]'])
raw = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))


def outcome(cells: dict[str, str]) -> Any:
    """A request, or the one error that may be raised instead."""
    try:
        return build_request(cells)
    except ValidationError as error:
        return error


def test_numbers_beside_odd_spaces() -> None:
    """A number is read without whatever Python takes for a space, which `int` doesn't always."""
    cells = {"line_items.0.product": "p", "expires_in": "\x1c900\x1f"}
    assert build_request(cells).expires_in == 900


@given(cells=st.dictionaries(columns | raw, words | raw))
def test_arbitrary_cells(cells: dict[str, str]) -> None:
    """Whatever the cells hold, the result is a request or a ValidationError on one line."""
    result = outcome(cells)
    if isinstance(result, ValidationError):
        assert result.problems
        assert result.message.isprintable()
    else:
        assert isinstance(result, PaymentLinkSessionRequest)


products = st.text(min_size=1).map(trimmed).filter(bool)


@given(names=st.lists(products, min_size=1, max_size=9), expiry=st.integers(900, 86400))
def test_both_ways_to_write_items_are_one_request(names: list[str], expiry: int) -> None:
    """Columns with dots, a cell of JSON, and a plain mapping describe the same request."""
    items = [{"product": name} for name in names]
    dotted = {f"line_items.{n}.product": name for n, name in enumerate(names)}
    rows = [dotted, {"line_items": json.dumps(items)}]
    made = [build_request(cells | {"expires_in": str(expiry)}) for cells in rows]
    assert (
        made
        == [PaymentLinkSessionRequest.from_dict({"line_items": items, "expires_in": expiry})] * 2
    )
