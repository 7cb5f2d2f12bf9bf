"""Every rule of the reference's table, as the emulator reads it."""

import json
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frame_async.emulator.api.validation import FIELDS, problems_of, remarks_of, unknown_fields_of

PATH = "/v1/payment_link_sessions"
ITEMS = [{"product": "prod_1"}]
CARD = {
    "type": "card",
    "card_number": "4242424242424242",
    "exp_month": "12",
    "exp_year": 2030,
    "cvc": "123",
}
ACH = {
    "type": "ach",
    "account_type": "checking",
    "account_number": "000123456789",
    "routing_number": "110000000",
}

FILLED = ["must be filled"]
STRING = ["must be a string"]
INTEGER = ["must be an integer"]
URL = ["must be an HTTP(S) URL"]
BOOLEAN = ["must be boolean"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"customer": "cus_1"},
        {"account": "acc_1", "customer_email": "a@example.com"},
        {"customer": "cus_1", "payment_method": "pm_1"},
        {"account": "acc_1", "payment_method": "pm_1"},
        {"client_reference_id": "Bestellung №1"},
        {"success_url": "https://shop.example/ok?a=1#b", "cancel_url": "http://localhost:1"},
        {"success_url": "HTTPS://[::1]:8443/"},
        {"expires_in": 900},
        {"expires_in": 86400},
        {"phone_number_collection": True, "shipping_address_collection": False},
        {"payment_method_data": CARD},
        {"payment_method_data": {**CARD, "billing": {"name": "A"}}},
        {"payment_method_data": {**ACH, "account_type": "savings"}},
        {"line_items": [{"product": "p", "quantity_minimum": 0, "quantity_maximum": 0}]},
        {"line_items": [{"product": "p", "quantity_minimum": 2, "quantity_maximum": 2}]},
        {"line_items": [{"product": "p", "quantity_minimum": 7}]},
        {"line_items": [{"product": "p", "quantity_maximum": 10**30}, {"product": "q"}]},
        {"acount": 1, "metadata": {}},
    ],
)
def test_what_the_table_allows_passes(fields: dict[str, Any]) -> None:
    """A body that keeps to the table has no problems, unknown fields included."""
    assert problems_of({"line_items": ITEMS, **fields}) == {}


NULLS = {
    "line_items": [{"product": "p", "quantity_minimum": None, "quantity_maximum": None}],
    "payment_method_data": {**CARD, "billing": None},
    "customer": "cus_1",
    "payment_method": "pm_1",
    **dict.fromkeys(["account", "customer_email", "client_reference_id", "success_url"]),
    **dict.fromkeys(["cancel_url", "expires_in", "phone_number_collection"]),
    "shipping_address_collection": None,
    "unknown": None,
}


def test_null_is_not_given() -> None:
    """A null in place of anything optional breaks no rule, and it is remarked upon by its path."""
    assert problems_of(NULLS) == {}
    assert problems_of({"line_items": ITEMS, "payment_method_data": None}) == {}
    nothing = {"line_items": ITEMS, "payment_method": "pm", "account": None}
    assert problems_of(nothing) == {"payment_method": ["requires customer or account"]}
    words = " is null: taken as not given, which Frame may see otherwise"
    assert sorted(remark.removesuffix(words) for remark in remarks_of(NULLS)) == [
        "account",
        "cancel_url",
        "client_reference_id",
        "customer_email",
        "expires_in",
        "line_items.0.quantity_maximum",
        "line_items.0.quantity_minimum",
        "payment_method_data.billing",
        "phone_number_collection",
        "shipping_address_collection",
        "success_url",
    ]
    assert remarks_of({"line_items": [{"product": None}, 1], "unknown": None}) == ()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("apple_pay", "apple_pay"), ("google_pay", "google_pay"), ("4242 4242 4242 4242", "other")],
)
def test_payment_method_data_of_another_type(kind: str, shown: str) -> None:
    """A type that the reference doesn't describe is taken; only what looks like a name is shown."""
    body = {"line_items": ITEMS, "payment_method_data": {"type": kind, "token": {"a": [None]}}}
    assert problems_of(body) == {}
    assert unknown_fields_of(body) == ()
    assert remarks_of(body) == (f"payment_method_data of type {shown} can't be paid with here",)


@pytest.mark.parametrize("name", ["customer", "account", "customer_email", "client_reference_id"])
@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("", FILLED),
        (7, STRING),
        (True, STRING),
        ([], STRING),
        ({}, STRING),
        ("\ud800", ["must be valid Unicode"]),
    ],
)
def test_strings_are_filled_strings(name: str, value: object, messages: list[str]) -> None:
    """A string parameter takes a string with something in it."""
    assert problems_of({"line_items": ITEMS, name: value}) == {name: messages}


@pytest.mark.parametrize("name", ["success_url", "cancel_url"])
@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("", FILLED),
        (1, STRING),
        ("/thanks", URL),
        ("shop.example/thanks", URL),
        ("//shop.example", URL),
        ("ftp://shop.example", URL),
        ("javascript:alert(1)", URL),
        ("https://", URL),
        ("https:///path", URL),
        ("https://user@", URL),
        ("https://shop.example:port", URL),
        ("https://shop.example:99999", URL),
        ("https://shop.example:0", URL),
        ("https://[::1", URL),
        ("https://shop.example/a b", URL),
        ("https://shop.example/\n", URL),
        ("ht\ttps://shop.example", URL),
        ("https:\\\\shop.example", URL),
        ("https://shop.example/\x85", URL),
        ("https://shop.example/\u2003", URL),
    ],
)
def test_addresses_are_absolute_http(name: str, value: object, messages: list[str]) -> None:
    """A redirect address is an absolute HTTP or HTTPS address with a host."""
    assert problems_of({"line_items": ITEMS, name: value}) == {name: messages}


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        (899, ["must be greater than or equal to 900"]),
        (-1, ["must be greater than or equal to 900"]),
        (86_401, ["must be less than or equal to 86400"]),
        (900.0, INTEGER),
        ("900", INTEGER),
        (True, INTEGER),
        ([900], INTEGER),
    ],
)
def test_expiry_is_an_integer_in_bounds(value: object, messages: list[str]) -> None:
    """`expires_in` is an integer from 900 to 86400, and true is no integer."""
    assert problems_of({"line_items": ITEMS, "expires_in": value}) == {"expires_in": messages}


@pytest.mark.parametrize("name", ["phone_number_collection", "shipping_address_collection"])
@pytest.mark.parametrize(
    ("value", "messages"), [(1, BOOLEAN), (0, BOOLEAN), ("true", BOOLEAN), ([], BOOLEAN)]
)
def test_flags_are_booleans(name: str, value: object, messages: list[str]) -> None:
    """A flag is true or false and nothing that merely looks like it."""
    assert problems_of({"line_items": ITEMS, name: value}) == {name: messages}


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        (
            {"customer": "c", "account": "a"},
            {"account": ["must not be given together with customer"]},
        ),
        (
            {"customer": "c", "customer_email": "e@example.com"},
            {"customer_email": ["must not be given together with customer"]},
        ),
        ({"payment_method": "pm"}, {"payment_method": ["requires customer or account"]}),
        (
            {"payment_method": "pm", "customer_email": "e@example.com"},
            {"payment_method": ["requires customer or account"]},
        ),
        (
            {"payment_method": 5},
            {"payment_method": ["must be a string", "requires customer or account"]},
        ),
        (
            {"customer": "c", "account": ""},
            {"account": ["must be filled", "must not be given together with customer"]},
        ),
    ],
)
def test_fields_that_exclude_or_need_each_other(
    fields: dict[str, Any], problems: dict[str, Any]
) -> None:
    """Exclusive fields are refused together, and a payment method without an owner."""
    assert problems_of({"line_items": ITEMS, **fields}) == problems


@pytest.mark.parametrize(
    ("items", "problems"),
    [
        ([], FILLED),
        (None, FILLED),
        ({"product": "p"}, ["must be an array"]),
        ("prod_1", ["must be an array"]),
        ([{"product": "p"}, "prod_1"], {"1": ["must be a hash"]}),
        ([None], {"0": ["must be a hash"]}),
        ([{}], {"0": {"product": ["is missing"]}}),
        ([{"product": ""}], {"0": {"product": FILLED}}),
        ([{"product": 1}], {"0": {"product": STRING}}),
        ([{"product": "p", "quantity_minimum": "1"}], {"0": {"quantity_minimum": INTEGER}}),
        ([{"product": "p", "quantity_minimum": True}], {"0": {"quantity_minimum": INTEGER}}),
        ([{"product": "p", "quantity_maximum": 1.0}], {"0": {"quantity_maximum": INTEGER}}),
        ([{"product": None}], {"0": {"product": FILLED}}),
        (
            [{"product": "p", "quantity_minimum": -1, "quantity_maximum": -2}],
            {
                "0": {
                    "quantity_minimum": ["must be greater than or equal to 0"],
                    "quantity_maximum": ["must be greater than or equal to 0"],
                }
            },
        ),
        (
            [{"quantity_minimum": 3, "quantity_maximum": 2}],
            {
                "0": {
                    "product": ["is missing"],
                    "quantity_maximum": ["must be greater than or equal to quantity_minimum"],
                }
            },
        ),
    ],
)
def test_line_items(items: object, problems: object) -> None:
    """Line items are a filled array of objects with a product and quantities in order."""
    assert problems_of({"line_items": items}) == {"line_items": problems}


def test_line_items_are_required() -> None:
    """A body without line items says that they are missing."""
    assert problems_of({}) == {"line_items": ["is missing"]}


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ("pm", ["must be a hash"]),
        ([CARD], ["must be a hash"]),
        ({}, {"type": ["is missing"]}),
        ({"type": None}, {"type": FILLED}),
        ({"type": ""}, {"type": FILLED}),
        ({"type": "cash", "billing": 1}, {"billing": ["must be a hash"]}),
        ({"type": ["card"]}, {"type": STRING}),
        (
            {"type": "card"},
            {name: ["is missing"] for name in ("card_number", "exp_month", "exp_year", "cvc")},
        ),
        ({**CARD, "card_number": 4242424242424242}, {"card_number": STRING}),
        ({**CARD, "cvc": ""}, {"cvc": FILLED}),
        ({**CARD, "exp_month": ""}, {"exp_month": FILLED}),
        ({**CARD, "exp_month": 1.5}, {"exp_month": ["must be a string or an integer"]}),
        ({**CARD, "exp_year": True}, {"exp_year": ["must be a string or an integer"]}),
        ({**CARD, "billing": "Main St"}, {"billing": ["must be a hash"]}),
        ({**CARD, "cvc": None}, {"cvc": FILLED}),
        (
            {"type": "ach", "account_type": "gold"},
            {
                "account_type": ["must be one of: checking, savings"],
                "account_number": ["is missing"],
                "routing_number": ["is missing"],
            },
        ),
        ({**ACH, "routing_number": 110000000}, {"routing_number": STRING}),
    ],
)
def test_payment_method_data(data: object, problems: object) -> None:
    """Payment method data is an object in the shape of a card or of a bank account."""
    body = {"line_items": ITEMS, "payment_method_data": data}
    assert problems_of(body) == {"payment_method_data": problems}


def test_unknown_fields_are_named_by_path() -> None:
    """Whatever the reference does not name is reported with its path, in order."""
    body = {
        "acount": 1,
        "line_items": [{"product": "p"}, {"product": "p", "quantity": 1}, "p"],
        "payment_method_data": {**CARD, "zip": "1"},
    }
    found = unknown_fields_of(body)
    assert found == ("acount", "line_items.1.quantity", "payment_method_data.zip")


@pytest.mark.parametrize(
    "body",
    [
        {"line_items": ITEMS, "payment_method_data": CARD},
        {"line_items": "p", "payment_method_data": "pm"},
        {"payment_method_data": {"type": "ach", "billing": {}}},
    ],
)
def test_known_fields_are_not_called_unknown(body: dict[str, Any]) -> None:
    """A body with known names only has no unknown fields, however wrong their values."""
    assert unknown_fields_of(body) == ()


WORDS = st.sampled_from(["", "type", "card", "product", "http://", "[::", "é", "\ud800"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), ANY_JSON))
def test_any_json_gets_a_verdict(body: dict[str, Any]) -> None:
    """No JSON value breaks the rules, and their verdict is JSON with known names only."""
    verdict = problems_of(body)
    assert set(verdict) <= set(FIELDS)
    assert json.loads(json.dumps(verdict)) == verdict


async def test_all_problems_come_at_once(http: aiohttp.ClientSession) -> None:
    """A body with many problems gets one 422 in Frame's envelope that names each of them."""
    items = [{"product": "p"}, {"product": ""}, {"product": "p", "quantity_minimum": "x"}]
    body = {"customer": "c", "account": "a", "expires_in": 1, "line_items": items}
    answer = await http.post(PATH, json=body)
    assert answer.status == 422
    assert await answer.json() == {
        "error": {
            "type": "validation_error",
            "message": "The payment link session is not valid.",
            "errors": {
                "account": ["must not be given together with customer"],
                "expires_in": ["must be greater than or equal to 900"],
                "line_items": {
                    "1": {"product": ["must be filled"]},
                    "2": {"quantity_minimum": ["must be an integer"]},
                },
            },
        }
    }
