"""Requests to canonical bytes, their fingerprints, and requests from mappings."""

import json
import os
import random
import subprocess
import sys
from enum import Enum, IntEnum, StrEnum
from traceback import TracebackException
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import frame_async
from frame_async.errors import Problem, ValidationError
from frame_async.models import (
    BankAccount,
    Card,
    LineItem,
    PaymentLinkSessionRequest,
    PaymentMethodData,
)
from frame_async.models.requests import REQUEST_FIELDS
from frame_async.protocol.fingerprints import differing_fields, make_fingerprint
from frame_async.serialization import dump, dump_fields, dump_json, load_request
from frame_async.serialization._json import encode

PACKAGE = frame_async.__path__[0]
ITEM: dict[str, Any] = {"product": "p", "quantity_minimum": 1, "quantity_maximum": 5}
FULL: dict[str, Any] = {
    "line_items": [ITEM, {"product": "q"}],
    "account": "acc_1",
    "customer_email": "ada@mail.example",
    "client_reference_id": "order-1",
    "success_url": "https://shop.example/thanks",
    "cancel_url": "https://shop.example/basket",
    "expires_in": 86400,
    "phone_number_collection": False,
    "shipping_address_collection": True,
    "payment_method": "pm_1",
    "payment_method_data": {"type": "card", "n": [1, 2.5, None, {"a": "é"}]},
}


def read(body: bytes) -> Any:
    """A body as Python's own JSON reader, which shares no code with ours, sees it."""
    return json.loads(body)


def request(**given: Any) -> PaymentLinkSessionRequest:
    """A request with one product, and any other fields."""
    return PaymentLinkSessionRequest(**({"line_items": [LineItem(product="p")]} | given))


def problems(given: Any) -> list[Problem]:
    """Everything that is wrong with a mapping."""
    with pytest.raises(ValidationError) as caught:
        PaymentLinkSessionRequest.from_dict(given)
    return list(caught.value.problems)


# --- dump ----------------------------------------------------------------------------


def test_a_full_request_is_sent_under_the_names_of_the_reference() -> None:
    """Each field is in the body by its own name, with the value that was given."""
    assert read(dump(PaymentLinkSessionRequest.from_dict(FULL))) == FULL


def test_the_smallest_body() -> None:
    """What was not given is left out, in line items too."""
    assert dump(request()) == b'{"line_items":[{"product":"p"}]}'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expires_in", 86400),
        ("phone_number_collection", False),
        ("shipping_address_collection", False),
    ],
)
def test_a_given_default_is_sent(name: str, value: object) -> None:
    """A value that happens to be Frame's default is sent when the user wrote it."""
    assert read(dump(request(**{name: value}))) == read(dump(request())) | {name: value}


def test_a_given_zero_is_sent() -> None:
    """A quantity of 0 is a value, not an absence."""
    item = LineItem(product="p", quantity_minimum=0, quantity_maximum=0)
    assert read(dump(request(line_items=[item])))["line_items"] == [
        {"product": "p", "quantity_minimum": 0, "quantity_maximum": 0}
    ]


def test_the_canonical_form() -> None:
    """Names are sorted at every depth, there is no space, and text is UTF-8."""
    body = dump(request(customer="é", payment_method_data={"b": 1, "a": {"d": 1, "c": "ü"}}))
    assert (
        body
        == (
            '{"customer":"é","line_items":[{"product":"p"}],'
            '"payment_method_data":{"a":{"c":"ü","d":1},"b":1}}'
        ).encode()
    )


def test_the_body_of_a_card() -> None:
    """A card is sent in the shape of Frame's SDKs, its type included."""
    card = Card(card_number="4242", exp_month="05", exp_year=2030, cvc="123", billing={"a": [1]})
    assert read(dump(request(payment_method_data=card)))["payment_method_data"] == {
        "type": "card", "card_number": "4242", "exp_month": "05", "exp_year": 2030, "cvc": "123",
        "billing": {"a": [1]},
    }  # fmt: skip


def test_the_body_of_a_bank_account() -> None:
    """A bank account is sent in the shape of Frame's SDKs, without what was not given."""
    account = BankAccount(account_type="savings", account_number="0001", routing_number="11")
    assert read(dump(request(payment_method_data=account)))["payment_method_data"] == {
        "type": "ach", "account_type": "savings", "account_number": "0001", "routing_number": "11",
    }  # fmt: skip


class Old(str, Enum):  # noqa: UP042  # the old kind is the point
    URL = "https://shop.example/"


class New(StrEnum):
    URL = "https://shop.example/"


class Number(IntEnum):
    QUARTER = 900


class Text(str):
    """A string of another class."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Real(float):
    """A float of another class, as numpy's are."""


class Whole(int):
    """An integer of another class."""


class Names(dict[str, Any]):
    """A dict of another class."""


@pytest.mark.parametrize("url", [Old.URL, New.URL, Text("https://shop.example/")])
def test_string_subclasses_are_sent_as_strings(url: Any) -> None:
    """An enum member or other kind of string is sent as the text that it holds."""
    made = request(success_url=url, payment_method_data={"a": [url]})
    assert read(dump(made))["success_url"] == "https://shop.example/"
    assert read(dump(made))["payment_method_data"] == {"a": ["https://shop.example/"]}
    assert dump_fields(made)[1]["success_url"] == b"https://shop.example/"


@pytest.mark.parametrize(
    ("value", "sent"),
    [(Number.QUARTER, 900), (Whole(901), 901), (Real(1.5), 1.5), (Names(b=Text("c")), {"b": "c"})],
)
def test_other_subclasses_are_sent_as_what_they_stand_for(value: Any, sent: Any) -> None:
    """Values of subclasses of JSON types, numpy's floats among them, can be sent."""
    made = request(payment_method_data={"a": value}, expires_in=Number.QUARTER)
    assert read(dump(made))["payment_method_data"] == {"a": sent}
    assert read(dump(made))["expires_in"] == 900


def test_a_request_from_a_set_of_names_is_the_same_everywhere() -> None:
    """Another process, with other hash seeds, writes the same bytes."""
    script = (
        "import sys; from frame_async import PaymentLinkSessionRequest;"
        "from frame_async.serialization import dump;"
        "sys.stdout.buffer.write(dump(PaymentLinkSessionRequest.from_dict(" + repr(FULL) + ")))"
    )
    bodies = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert bodies == {dump(PaymentLinkSessionRequest.from_dict(FULL))}


texts = st.text(min_size=1).filter(str.strip)
flags = st.booleans()
json_values = st.recursive(
    st.none() | flags | st.integers(1 - 2**53, 2**53 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
quantities = st.integers(0, 2**53 - 1)
items = st.fixed_dictionaries({"product": texts}, optional={"quantity_maximum": quantities})
requests = st.fixed_dictionaries(
    {"line_items": st.lists(items, min_size=1, max_size=3)},
    optional={
        "account": texts,
        "client_reference_id": texts,
        "expires_in": st.integers(900, 86400),
        "phone_number_collection": flags,
        "shipping_address_collection": flags,
        "payment_method_data": st.dictionaries(st.text(), json_values, min_size=1, max_size=3),
    },
)


@given(given=requests)
def test_what_is_asked_is_what_is_sent(given: dict[str, Any]) -> None:
    """Python's own JSON reader finds in the body exactly what was given."""
    assert read(dump(PaymentLinkSessionRequest.from_dict(given))) == given


@given(given=requests)
def test_a_body_reads_back_as_the_same_request(given: dict[str, Any]) -> None:
    """A request made of what a body says is the request that the body was made of."""
    made = PaymentLinkSessionRequest.from_dict(given)
    again = load_request(dump(made))
    assert again == made
    assert dump(again) == dump(made)


def test_what_is_no_json_can_not_be_sent() -> None:
    """A value that slipped past every check is a TypeError by type, not a guess."""
    with pytest.raises(TypeError, match=r"^not a JSON value: object$"):
        encode({"a": object()})


# --- fingerprint ---------------------------------------------------------------------


def fingerprint(request: PaymentLinkSessionRequest) -> str:
    """The fingerprint of a request, as calls make it."""
    return make_fingerprint(dump_fields(request)[1])


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same value with the names of its mappings in another order."""
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(given=requests, chance=st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_matter(given: dict[str, Any], chance: Any) -> None:
    """Fields in any order, at any depth, give the same fingerprint."""
    one, other = (
        PaymentLinkSessionRequest.from_dict(given),
        PaymentLinkSessionRequest.from_dict(shuffled(given, chance)),
    )
    assert fingerprint(one) == fingerprint(other)


@given(given=requests)
def test_absent_fields_do_not_matter(given: dict[str, Any]) -> None:
    """A field given as None is the same request, body and fingerprint as without it."""
    absent: dict[str, Any] = {name: None for name in REQUEST_FIELDS if name not in given}
    items = [
        {"quantity_minimum": None, "quantity_maximum": None} | item for item in given["line_items"]
    ]
    one, other = (
        PaymentLinkSessionRequest.from_dict(given),
        PaymentLinkSessionRequest.from_dict(given | absent | {"line_items": items}),
    )
    assert one == other
    assert dump(one) == dump(other)
    assert fingerprint(one) == fingerprint(other)


@given(one=requests, other=requests)
def test_values_matter(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Requests have the same fingerprint exactly when their JSON is the same."""
    first, second = (
        PaymentLinkSessionRequest.from_dict(one),
        PaymentLinkSessionRequest.from_dict(other),
    )
    bodies, prints = (dump(first), dump(second)), (fingerprint(first), fingerprint(second))
    assert (prints[0] == prints[1]) == (json.dumps(read(bodies[0])) == json.dumps(read(bodies[1])))


CHANGES: dict[str, Any] = {
    "line_items": [{"product": "q"}, ITEM],
    "account": "acc_2",
    "customer_email": "bob@mail.example",
    "client_reference_id": "order-2",
    "success_url": "https://shop.example/thanks?",
    "cancel_url": "https://shop.example/basket/",
    "expires_in": 86399,
    "phone_number_collection": True,
    "shipping_address_collection": False,
    "payment_method": "pm_2",
    "payment_method_data": {"type": "card", "n": [1, 2.5, None, {"a": "e"}]},
}


@pytest.mark.parametrize("name", FULL)
def test_every_field_counts(name: str) -> None:
    """Changing a field, the order of the line items too, changes the fingerprint."""
    one, other = (
        PaymentLinkSessionRequest.from_dict(FULL),
        PaymentLinkSessionRequest.from_dict(FULL | {name: CHANGES[name]}),
    )
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("name", sorted(set(FULL) - {"line_items", "account"}))
def test_leaving_a_field_out_counts(name: str) -> None:
    """A request without a field is another one than with it."""
    less = {key: value for key, value in FULL.items() if key != name}
    assert fingerprint(PaymentLinkSessionRequest.from_dict(less)) != fingerprint(
        PaymentLinkSessionRequest.from_dict(FULL)
    )


def test_typed_data_and_the_same_mapping_are_one_request() -> None:
    """A card and the mapping that says the same have the same fingerprint."""
    card = Card(card_number="42", exp_month="1", exp_year="30", cvc="1")
    same = {"cvc": "1", "type": "card", "exp_year": "30", "exp_month": "1", "card_number": "42"}
    assert dump(request(payment_method_data=card)) == dump(request(payment_method_data=same))


# --- from_dict -----------------------------------------------------------------------


def test_line_items_may_be_either_kind() -> None:
    """Items that are LineItem already are taken beside mappings."""
    made = PaymentLinkSessionRequest.from_dict(
        {"line_items": [LineItem(product="a"), {"product": "b"}]}
    )
    assert made.line_items == (LineItem(product="a"), LineItem(product="b"))


def test_any_mapping_will_do() -> None:
    """The mapping may be of any kind, and its items a tuple."""
    made = PaymentLinkSessionRequest.from_dict(
        MappingProxyType({"line_items": (MappingProxyType(ITEM),)})
    )
    assert made.line_items == (LineItem(**ITEM),)


def test_the_given_mapping_stays_as_it_is() -> None:
    """Reading a request doesn't change what it is read from."""
    before = repr(FULL)
    PaymentLinkSessionRequest.from_dict(FULL)
    assert repr(FULL) == before


def test_data_that_is_boxed_already_is_taken() -> None:
    """Payment method data in its own class goes through unchanged."""
    data = PaymentMethodData({"type": "card"})
    assert PaymentLinkSessionRequest.from_dict(
        {"line_items": [ITEM], "payment_method_data": data}
    ) == request(line_items=[LineItem(**ITEM)], payment_method_data=data)


@pytest.mark.parametrize(
    ("name", "shown", "fix"),
    [
        ("account_id", "account_id", "did you mean account?"),
        ("sucess_url", "sucess_url", "did you mean success_url?"),
        ("zzz", "zzz", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
        ("a\nb\x00", "?", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
        ("x" * 1_000_000, "?", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
        (3, "?", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
        (None, "?", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
        ((1, 2), "?", "use one of " + ", ".join([*REQUEST_FIELDS, "extra"])),
    ],
    ids=range(8),
)
def test_unknown_names_are_refused(name: Any, shown: str, fix: str) -> None:
    """Frame would ignore an unknown field in silence; here it is refused, with a guess."""
    assert problems({"line_items": [ITEM], name: 1}) == [
        Problem(shown, "is not a field of the request", fix)
    ]


def test_unknown_names_in_line_items_are_refused() -> None:
    """The same goes for the names in a line item, told with its place."""
    assert problems({"line_items": [ITEM, ITEM | {"quantity": 1, 7: 1}]}) == [
        Problem(
            "line_items[1].quantity",
            "is not a field of the request",
            "did you mean quantity_minimum?",
        ),
        Problem(
            "line_items[1].?",
            "is not a field of the request",
            "use one of product, quantity_minimum, quantity_maximum",
        ),
    ]


def test_everything_wrong_comes_at_once() -> None:
    """Unknown names, wrong items and broken rules are reported together."""
    found = problems(
        {
            "accont": "a",
            "line_items": [{"produkt": "p"}, 3, None, {"product": "p", "quantity_minimum": True}],
            "customer": 1,
            "payment_method_data": [],
        }
    )
    assert [p.path for p in found] == [
        "accont", "line_items[0].produkt", "line_items[0].product", "line_items[1]",
        "line_items[2]", "line_items[3].quantity_minimum", "customer", "payment_method_data",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given", [{}, {"line_items": []}, {"line_items": ()}, {"line_items": None}]
)
def test_no_line_item(given: Any) -> None:
    """A mapping without line items is refused like a request without them."""
    assert [(p.path, p.rule) for p in problems(given)] == [
        ("line_items", "must have at least one item")
    ]


@pytest.mark.parametrize("value", ["p", {"product": "p"}, 3])
def test_line_items_that_are_no_list(value: Any) -> None:
    """Line items of another type are refused by the name of the type."""
    (problem,) = problems({"line_items": value})
    assert problem.path == "line_items"
    assert problem.rule.startswith("must be a list of LineItem, not ")


@pytest.mark.parametrize("given", [None, 3, "{}", b"{}", [], [("line_items", [])], {"line_items"}])
def test_only_mappings_are_read(given: Any) -> None:
    """Anything but a mapping is refused with the fix."""
    kind = type(given).__name__
    assert problems(given) == [Problem("", f"must be a mapping, not {kind}", "pass a dict")]


def test_an_item_in_itself() -> None:
    """A line item that holds itself is refused, not followed."""
    item: dict[str, Any] = {"product": "p"}
    item["self"] = item
    item["quantity_minimum"] = item
    assert [p.path for p in problems({"line_items": [item]})] == [
        "line_items[0].self", "line_items[0].quantity_minimum",
    ]  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
    max_leaves=6,
)
line_items = st.dictionaries(
    st.sampled_from(["product", "quantity_minimum", "quantity_maximum", "q"]), anything
)


@given(
    given=st.dictionaries(st.sampled_from(REQUEST_FIELDS) | st.text(), anything, max_size=6),
    extra=st.fixed_dictionaries({}, optional={"line_items": st.lists(line_items, max_size=3)}),
)
def test_a_mapping_is_right_or_raises_one_kind_of_error(
    given: dict[Any, Any], extra: dict[str, Any]
) -> None:
    """Whatever a mapping holds, it becomes a request that can be sent, or a ValidationError."""
    refusal: ValidationError | None = None
    try:
        body = dump(PaymentLinkSessionRequest.from_dict(given | extra))
    except ValidationError as error:
        refusal, body = error, b"{}"
    assert refusal is None or refusal.problems
    assert refusal is None or len(refusal.message.splitlines()) == 1
    read(body)


@pytest.mark.parametrize(
    "given",
    [
        {"payment_method_data": {"type": "card", "card_number": "c4rd"}, "line_items": 5},
        {
            "payment_method_date": {"type": "card", "card_number": "c4rd"},
            "line_items": [ITEM],
        },
        [{"card_number": "c4rd"}],
        "c4rd",
    ],
    ids=["data", "misspelt", "list", "text"],
)
def test_a_refused_mapping_shows_no_card(given: Any) -> None:
    """Neither the message nor a traceback with local variables shows payment method data."""
    with pytest.raises(ValidationError) as caught:
        PaymentLinkSessionRequest.from_dict(given)
    told = TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if frame.filename.startswith(PACKAGE)]
    assert ours
    assert "c4rd" not in "\n".join([str(caught.value), *(str(frame.locals) for frame in ours)])


def test_json_in_the_order_given() -> None:
    """Results are written compact, in UTF-8 and in their own order."""
    assert dump_json({"b": 1, "a": [None, "é", New.URL]}) == (
        '{"b":1,"a":[null,"é","https://shop.example/"]}'.encode()
    )


# --- extra ---------------------------------------------------------------------------


EXTRA: dict[str, Any] = {"metadata": {"a": [1, None, "x"]}, "locale": None, "tip": 0.5}


def test_extra_fields_are_sent_beside_the_others() -> None:
    """Fields that the class doesn't know stand beside those that it knows, None included."""
    sent = dump(request(client_reference_id="o", extra=EXTRA))
    assert read(sent) == {"client_reference_id": "o", "line_items": [{"product": "p"}]} | EXTRA
    assert dump(request(extra={})) == dump(request())


def test_extra_fields_are_read_back() -> None:
    """A body with fields that the class doesn't know reads back as the same request."""
    made = request(client_reference_id="o", extra=EXTRA)
    assert load_request(dump(made)) == made


def test_extra_fields_take_part_in_the_fingerprint() -> None:
    """Another value in an extra field is another request, and the field is named."""
    one = make_fingerprint(dump_fields(request(extra=EXTRA))[1])
    other = make_fingerprint(dump_fields(request(extra=EXTRA | {"tip": 0.6}))[1])
    none = make_fingerprint(dump_fields(request())[1])
    assert differing_fields(one, other) == ("tip",)
    assert differing_fields(one, none) == ("locale", "metadata", "tip")
    assert differing_fields(one, one) == ()
