"""Requests check themselves: every broken rule at once, each with path, rule and fix."""

import copy
import json
import pickle
import sys
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import pytest
from attrs import NOTHING, evolve, fields
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from frame_async.errors import Problem, ValidationError
from frame_async.models import (
    LineItem,
    LineItemFields,
    PaymentLinkSessionFields,
    PaymentLinkSessionRequest,
)
from frame_async.models.requests import REQUEST_FIELDS
from frame_async.serialization import dump, load_json

MUG = LineItem(product="prod_mug")
FULL: dict[str, Any] = {
    "line_items": [LineItem(product="p", quantity_minimum=1, quantity_maximum=5)],
    "account": "acc_1",
    "customer_email": "ada@mail.example",
    "client_reference_id": "order-1",
    "success_url": "https://shop.example/thanks",
    "cancel_url": "http://shop.example/basket",
    "expires_in": 900,
    "phone_number_collection": True,
    "shipping_address_collection": False,
    "payment_method": "pm_1",
}


def request(**given: Any) -> PaymentLinkSessionRequest:
    """A request, with any values of any type."""
    return PaymentLinkSessionRequest(**({"line_items": [MUG]} | given))


def problems(**given: Any) -> list[Problem]:
    """Everything that is wrong with a request."""
    with pytest.raises(ValidationError) as caught:
        request(**given)
    return list(caught.value.problems)


def size(value: int) -> str:
    """The name of a test with a huge integer, which has too many digits to be printed."""
    return f"{'-' if value < 0 else ''}{value.bit_length()}bits"


# --- what they are -------------------------------------------------------------------


def test_the_fields_are_those_of_the_reference() -> None:
    """Every body parameter of Frame's reference is a field, and nothing else is."""
    assert set(REQUEST_FIELDS) == {
        "customer", "account", "customer_email", "client_reference_id", "success_url",
        "cancel_url", "expires_in", "phone_number_collection", "shipping_address_collection",
        "payment_method", "payment_method_data", "line_items",
    }  # fmt: skip
    assert [a.name for a in fields(LineItem)] == ["product", "quantity_minimum", "quantity_maximum"]


def test_a_full_request_keeps_what_was_given() -> None:
    """Each field holds exactly the value that was given; the list of items becomes a tuple."""
    made = request(**FULL)
    held = {name: getattr(made, name) for name in FULL}
    assert held == FULL | {"line_items": tuple(FULL["line_items"])}


def test_what_is_not_given_is_none() -> None:
    """All but the line items are None by default, and giving None is the same."""
    made = request()
    others = [name for name in REQUEST_FIELDS if name != "line_items"]
    assert {getattr(made, name) for name in others} == {None}
    assert request(**dict.fromkeys(others)) == made
    assert LineItem(product="p", quantity_minimum=None, quantity_maximum=None) == LineItem(
        product="p"
    )


@pytest.mark.parametrize("made", [request(), MUG])
def test_requests_are_frozen_and_slotted(made: Any) -> None:
    """No field can be set or deleted after construction, and no other one can be added."""
    for name in ("customer", "product", "stranger"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, "x")
    assert not hasattr(made, "__dict__")


@pytest.mark.parametrize("cls", [PaymentLinkSessionRequest, LineItem])
def test_requests_are_keyword_only(cls: Any) -> None:
    """A positional argument is refused."""
    with pytest.raises(TypeError, match="positional"):
        cls([MUG])


def test_a_misspelt_argument_is_refused() -> None:
    """Frame would ignore an unknown field in silence; the class does not."""
    with pytest.raises(TypeError, match="account_id"):
        request(account_id="acc_1")


def test_a_repr_lists_what_was_given() -> None:
    """A repr has the fields that were given, and no others."""
    item = LineItem(product="p", quantity_maximum=2)
    assert repr(item) == "LineItem(product='p', quantity_maximum=2)"
    assert repr(request(customer="c", expires_in=900)) == (
        "PaymentLinkSessionRequest(line_items=(LineItem(product='prod_mug'),), customer='c',"
        " expires_in=900)"
    )


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, evolve, lambda made: pickle.loads(pickle.dumps(made))],
)
def test_requests_copy_and_compare(copied: Callable[[Any], Any]) -> None:
    """A copy, deep copy or pickle of a request is equal to it and hashes alike."""
    made = request(**FULL)
    other = copied(made)
    assert other == made
    assert hash(other) == hash(made)
    assert other != evolve(made, expires_in=901)


def test_evolving_checks_again() -> None:
    """A changed copy is checked like any other request."""
    with pytest.raises(ValidationError, match="customer"):
        evolve(request(account="a"), customer="c")


# --- single rules --------------------------------------------------------------------


class Word(StrEnum):
    URL = "https://shop.example/"
    EMAIL = "ada@mail.example"


class OldWord(str, Enum):  # noqa: UP042  # the old kind is the point
    URL = "https://shop.example/"
    EMAIL = "ada@mail.example"


class Liar(str):
    """A string whose methods don't say what it holds."""

    __slots__ = ()

    def __str__(self) -> str:
        return "https://shop.example/ ada@mail.example"

    def strip(self, *_: Any) -> str:
        return "not empty"

    def __iter__(self) -> Any:
        return iter("harmless")


class Count(IntEnum):
    QUARTER = 900


TEXTS = ["customer", "account", "client_reference_id", "payment_method"]
STRINGS = [*TEXTS, "customer_email", "success_url", "cancel_url"]
FLAGS = ["phone_number_collection", "shipping_address_collection"]
NO_TEXT: list[Any] = [3, 1.5, True, b"bytes", ["x"], {"x": 1}, {"x"}, object(), Count.QUARTER]


def owner(field: str) -> dict[str, str]:
    """What a field needs beside itself."""
    return {"account": "acc_1"} if field == "payment_method" else {}


@pytest.mark.parametrize("value", NO_TEXT, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("field", STRINGS)
def test_a_string_is_a_string(field: str, value: Any) -> None:
    """A value of another type is refused with its type's name, and the type to pass."""
    rule = f"must be a string, not {type(value).__name__}"
    assert problems(**{field: value}, **owner(field)) == [Problem(field, rule, "pass a str")]


@pytest.mark.parametrize("value", ["", " ", "\t\r\n", "\u2003", Liar(""), Liar("  ")])
@pytest.mark.parametrize("field", STRINGS)
def test_a_string_is_not_empty(field: str, value: str) -> None:
    """An empty string, or one of spaces only, is refused, whatever its methods say."""
    assert problems(**{field: value}, **owner(field)) == [
        Problem(field, "must not be empty", "give one, or leave the field out")
    ]


@pytest.mark.parametrize("value", ["x\ud800", "\udfffx", Liar("\ud83d")])
@pytest.mark.parametrize("field", STRINGS)
def test_a_string_has_a_utf_8_form(field: str, value: str) -> None:
    """A lone surrogate, which no request body can carry, is refused."""
    assert problems(**{field: value}, **owner(field)) == [
        Problem(field, "has a character that UTF-8 can't carry", "remove the lone surrogate")
    ]


@pytest.mark.parametrize("enum", [Word, OldWord])
def test_string_enums_are_what_they_stand_for(enum: Any) -> None:
    """A member of a string enum is judged by its value, not by its member's name."""
    made = request(customer_email=enum.EMAIL, success_url=enum.URL, cancel_url=enum.URL)
    assert (made.customer_email, made.success_url) == (enum.EMAIL, enum.URL)


def test_a_lying_string_is_judged_by_what_is_sent() -> None:
    """A str subclass whose ``__str__`` tells of a URL and an address passes for neither."""
    found = problems(success_url=Liar("nowhere"), customer_email=Liar("nobody"))
    assert [p.path for p in found] == ["customer_email", "success_url"]


@pytest.mark.parametrize(
    "value", ["a@b", "a.b+c@mail.example", '"a@b"@mail.example', "é@ü.example"]
)
def test_email_addresses(value: str) -> None:
    """Something before and after the last @ is enough: the server judges the rest."""
    assert request(customer_email=value).customer_email == value


@pytest.mark.parametrize(
    "value", ["a", "@", "a@", "@b", "a@b c", "a b@c", "a@b\n", "\na@b", "a@b "]
)
def test_no_email_addresses(value: str) -> None:
    """What has no two sides around an @, or has spaces, is refused."""
    assert problems(customer_email=value) == [
        Problem("customer_email", "must be an e-mail address", "use the form name@domain")
    ]


URLS = ["success_url", "cancel_url"]


@pytest.mark.parametrize(
    "value",
    [
        "https://shop.example", "http://shop.example/", "HTTPS://SHOP.example/thanks?a=1&b=%20#top",
        "https://localhost:8080/x", "https://127.0.0.1/x", "https://[::1]:8443/x",
        "https://user:word@shop.example/", "https://bücher.example/straße", "https://h:65535/",
        "https://shop.example/~a/(b)/'c'/[d]", 'https://shop.example/<>"^`|\\?a={ID}',
        "https://shop.example/\u200bx%zz#{}", "https://[::1]?{}", "http://a_b.example//..//",
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", URLS)
def test_web_urls(field: str, value: str) -> None:
    """Absolute HTTP and HTTPS URLs are accepted as they are."""
    assert getattr(request(**{field: value}), field) == value


NO_FORM = "must be an absolute HTTP(S) URL"
NO_HOST = "has no host"
NO_PORT = "has a port that isn't from 1 to 65535"
ODD_HOST = "has a host that can't be read"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("shop.example/thanks", NO_FORM), ("/thanks", NO_FORM), ("//shop.example/t", NO_FORM),
        ("thanks", NO_FORM), ("https:", NO_FORM), ("https:/shop.example", NO_FORM),
        ("ftp://shop.example/", NO_FORM), ("javascript:alert(1)", NO_FORM),
        ("mailto:a@b.example", NO_FORM), ("data:text/html,x", NO_FORM),
        ("file:///etc/passwd", NO_FORM), ("httpss://shop.example", NO_FORM),
        ("https:\\\\shop.example", NO_FORM), ("shop.example:443//x", NO_FORM),
        ("https://", NO_HOST), ("https:///thanks", NO_HOST), ("https://:443/x", NO_HOST),
        ("https://?x", NO_HOST), ("https://@/", NO_HOST), ("https://#a", NO_HOST),
        ("https://shop.example:0/", NO_PORT), ("https://shop.example:65536/", NO_PORT),
        ("https://shop.example:x/", NO_PORT), ("https://shop.example:-1/", NO_PORT),
        ("https://[::1", ODD_HOST), ("https://[zz]/", ODD_HOST),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", URLS)
def test_no_web_urls(field: str, value: str, rule: str) -> None:
    """Relative URLs, other schemes and impossible hosts or ports are refused for what they are."""
    (problem,) = problems(**{field: value})
    assert (problem.path, problem.rule) == (field, rule)
    assert problem.fix


@pytest.mark.parametrize(
    ("characters", "rule"),
    [
        (" \xa0\u2003\u2028\u3000", "has a space"),
        ("\t\r\n\x00\x1f\x7f\x85\x9f", "has a control character"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("form", ["https://shop.example/{}x", "{}https://a.b/", "https://a.b/{}"])
def test_spaces_and_control_characters(form: str, characters: str, rule: str) -> None:
    """Spaces and control characters are refused anywhere in a URL, and called what they are."""
    for character in characters:
        (problem,) = problems(success_url=form.replace("{}", character))
        assert (problem.path, problem.rule) == ("success_url", rule), ascii(character)
        assert "percent-encode it" in problem.fix


@pytest.mark.parametrize("value", ['https://a.example/{ID}|^`\\"<>', "HTTP://Ä.example?x=%7b#{"])
def test_a_url_is_sent_as_it_was_given(value: str) -> None:
    """Nothing of a URL is encoded, lowered or put in order on its way into the body."""
    assert load_json(dump(request(success_url=value)), "body")["success_url"] == value


ANY_URL = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTP://", "https:/", "ftp://", ""]),
    st.sampled_from(["a", "A-0.b", "a..", "", ".a", "-", "a_b", "%41", "é", "[::1]", "u@h", "[z]"]),
    st.sampled_from(["", ":", ":0", ":443", ":70000", ":x"]),
    st.sampled_from(["", "/", "?", "#", "/a/b?c=d&e=%20#~f"]),
    st.text("/?#aZ~é \"<>^`{|}[]&=%:;@!$'()*+,\\\n\x7f\ud800", max_size=2),
)


@settings(max_examples=500)
@given(ANY_URL)
def test_a_url_is_good_if_the_standard_library_says_so(value: str) -> None:
    """A URL is accepted exactly if it has a host, a port that can be, no space and no control."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    good = good and not set(value) & set(" \n\x7f\ud800")
    try:
        accepted = request(success_url=value).success_url == value
    except ValidationError:
        accepted = False
    assert accepted is good


@pytest.mark.parametrize("value", [900, 901, 86399, 86400, Count.QUARTER])
def test_expiry_in_bounds(value: int) -> None:
    """Both ends of 900..86400 are allowed."""
    assert request(expires_in=value).expires_in == value


@pytest.mark.parametrize("value", [899, 86401, 0, -900, 10**4999, -(10**4999)], ids=size)
def test_expiry_out_of_bounds(value: int) -> None:
    """An expiry outside of 900..86400 is refused, however many digits it has."""
    assert problems(expires_in=value) == [
        Problem("expires_in", "must be from 900 to 86400 seconds", "pass an int from 900 to 86400")
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, "bool"), (900.0, "float"), (float("nan"), "float"), ("900", "str"), ([900], "list")],
)
@pytest.mark.parametrize("field", ["expires_in", "quantity_minimum", "quantity_maximum"])
def test_an_integer_is_an_integer(field: str, value: Any, kind: str) -> None:
    """A boolean, a float and digits in a string are no integers."""
    rule, fix = f"must be an integer, not {kind}", "pass an int"
    if field == "expires_in":
        assert problems(expires_in=value) == [Problem(field, rule, fix)]
    else:
        item = LineItem(product="p", **{field: value})
        assert problems(line_items=[item]) == [Problem(f"line_items[0].{field}", rule, fix)]


@pytest.mark.parametrize("value", [0, 1, "true", "", [], 1.0], ids=repr)
@pytest.mark.parametrize("field", FLAGS)
def test_a_flag_is_a_boolean(field: str, value: Any) -> None:
    """What only looks like a boolean is refused."""
    rule = f"must be a boolean, not {type(value).__name__}"
    assert problems(**{field: value}) == [Problem(field, rule, "pass True or False")]


# --- line items ----------------------------------------------------------------------

ITEMS_FIX = 'pass a list such as [LineItem(product="prod_1")]'


@pytest.mark.parametrize(
    "items",
    [[MUG, MUG], (MUG, MUG), iter([MUG, MUG]), (MUG for _ in range(2)), {1: MUG, 2: MUG}.values()],
    ids=["list", "tuple", "iterator", "generator", "values"],
)
def test_line_items_come_in_any_order_that_lasts(items: Any) -> None:
    """Any iterable with an order of its own is taken, and read once."""
    assert request(line_items=items).line_items == (MUG, MUG)


@pytest.mark.parametrize("items", [[], (), iter([])], ids=["list", "tuple", "iterator"])
def test_no_line_item(items: Any) -> None:
    """At least one product is needed."""
    assert problems(line_items=items) == [
        Problem("line_items", "must have at least one item", ITEMS_FIX)
    ]


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        (None, "None"), ("prod_mug", "str"), (b"prod", "bytes"), (3, "int"), (MUG, "LineItem"),
        ({"product": "p"}, "dict"), ({MUG}, "set"), (frozenset([MUG]), "frozenset"),
        ({MUG: 1}.keys(), "dict_keys"),
    ],
)  # fmt: skip
def test_line_items_are_a_list(items: Any, kind: str) -> None:
    """What isn't a list is refused; so is a set, whose order differs between processes."""
    rule = f"must be a list of LineItem, not {kind}"
    assert problems(line_items=items) == [Problem("line_items", rule, ITEMS_FIX)]


@pytest.mark.parametrize(
    ("item", "kind"),
    [({"product": "p"}, "dict"), ("p", "str"), (None, "None"), (LineItem, "type"), ([MUG], "list")],
)
def test_a_line_item_is_a_line_item(item: Any, kind: str) -> None:
    """An item of another type is refused at its place."""
    assert problems(line_items=[MUG, item]) == [
        Problem("line_items[1]", f"must be a LineItem, not {kind}", "pass LineItem(product=...)")
    ]


@pytest.mark.parametrize(
    ("product", "rule"),
    [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        (7, "must be a string, not int"),
        (None, "is missing"),
    ],
)
def test_a_product_is_named(product: Any, rule: str) -> None:
    """An empty, missing or mistyped product is refused at its place."""
    (problem,) = problems(line_items=[MUG, MUG, LineItem(product=product)])
    assert (problem.path, problem.rule) == ("line_items[2].product", rule)
    assert problem.fix == ("pass a str" if product == 7 else "give the product's id")


@pytest.mark.parametrize("low", [0, 1, 5, None])
@pytest.mark.parametrize("high", [5, 2**53 - 1, None])
def test_quantities(low: Any, high: Any) -> None:
    """Quantities from 0 up, equal ones too, either of them or neither, are allowed."""
    item = LineItem(product="p", quantity_minimum=low, quantity_maximum=high)
    assert request(line_items=[item]).line_items == (item,)


def test_an_inverted_range_is_refused() -> None:
    """A minimum above its maximum is reported with its path, both numbers and the fix."""
    wrong = LineItem(product="p", quantity_minimum=3, quantity_maximum=2)
    assert problems(line_items=[MUG, MUG, wrong]) == [
        Problem(
            "line_items[2].quantity_minimum",
            "must not be above quantity_maximum (3 > 2)",
            "swap or correct the two",
        )
    ]


@pytest.mark.parametrize("value", [-1, 2**53, 10**4999, -(10**4999)], ids=size)
@pytest.mark.parametrize("field", ["quantity_minimum", "quantity_maximum"])
def test_quantities_out_of_bounds(field: str, value: int) -> None:
    """A negative quantity is refused, and so is one that JSON readers would round."""
    low = 1 if field == "quantity_maximum" else value
    high = value if field == "quantity_maximum" else None
    item = LineItem(product="p", quantity_minimum=low, quantity_maximum=high)
    (problem,) = problems(line_items=[item])
    assert problem.path == f"line_items[0].{field}"
    assert problem.rule.startswith("must be ")
    assert problem.fix.startswith("pass an int ")


# --- rules between fields ------------------------------------------------------------


@pytest.mark.parametrize("other", ["account", "customer_email"])
def test_a_customer_stands_alone(other: str) -> None:
    """A customer goes together neither with an account nor with an e-mail address."""
    assert problems(customer="cus_1", **{other: "a@b"}) == [
        Problem(other, "can't go together with customer", f"give customer or {other}, not both")
    ]


def test_an_account_may_have_an_email_address() -> None:
    """The reference excludes the address beside a customer only."""
    assert request(account="acc_1", customer_email="a@b").account == "acc_1"


def test_a_payment_method_needs_an_owner() -> None:
    """A payment method without customer or account is refused, with an address too."""
    expected = [Problem("payment_method", "needs an owner", "give customer or account too")]
    assert problems(payment_method="pm_1") == expected
    assert problems(payment_method="pm_1", customer_email="a@b") == expected


@pytest.mark.parametrize("kind", ["customer", "account"])
def test_a_payment_method_with_an_owner(kind: str) -> None:
    """Either kind of owner will do."""
    assert request(payment_method="pm_1", **{kind: "x"}).payment_method == "pm_1"


def test_all_problems_come_at_once() -> None:
    """One error has every broken rule, in the order of the fields, and names each path."""
    with pytest.raises(ValidationError) as caught:
        request(
            line_items=[
                LineItem(product=""),
                MUG,
                LineItem(product="p", quantity_minimum=True, quantity_maximum=-1),
                LineItem(product="p", quantity_minimum=2, quantity_maximum=1),
            ],
            customer=1,
            account="a",
            customer_email="nobody",
            client_reference_id="",
            success_url="/thanks",
            cancel_url=3,
            expires_in=60,
            phone_number_collection="yes",
            shipping_address_collection=1,
            payment_method=[],
            payment_method_data=[],
        )
    paths = [
        "line_items[0].product", "line_items[2].quantity_minimum", "line_items[2].quantity_maximum",
        "line_items[3].quantity_minimum", "customer", "customer_email", "client_reference_id",
        "success_url", "cancel_url", "expires_in", "phone_number_collection",
        "shipping_address_collection", "payment_method", "payment_method_data", "account",
        "customer_email",
    ]  # fmt: skip
    assert [p.path for p in caught.value.problems] == paths
    message = str(caught.value)
    assert message.startswith("invalid payment link session request: line_items[0].product: must")
    assert all(path in message for path in paths[:15])
    assert all(p.rule and p.fix for p in caught.value.problems)


class Hostile:
    """Neither shown, nor compared, nor hashed, nor tested for truth."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("hands off")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __lt__ = __gt__ = _refuse
    __iter__ = None


@pytest.mark.parametrize("field", REQUEST_FIELDS)
def test_hostile_values_are_refused_unseen(field: str) -> None:
    """An object that raises whenever it is touched is refused by the name of its type."""
    found = problems(**{field: Hostile()})
    assert found[0].path == field
    assert found[0].rule.endswith("not Hostile")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just("half a pair: \ud800"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


@given(
    values=st.dictionaries(st.sampled_from(REQUEST_FIELDS), anything),
    items=st.lists(
        st.builds(LineItem, product=anything, quantity_minimum=anything, quantity_maximum=anything),
        max_size=2,
    ),
)
def test_a_request_is_right_or_raises_one_kind_of_error(
    values: dict[str, Any], items: list[LineItem]
) -> None:
    """Whatever is given, construction succeeds or raises a ValidationError that is one line."""
    try:
        made = PaymentLinkSessionRequest(**({"line_items": items} | values))
    except ValidationError as error:
        made, refusal = None, error
    if made is None:
        assert refusal.problems
        assert refusal.message.isprintable()
    else:
        assert made == evolve(made)


@given(low=st.integers(0, 2**53 - 1), high=st.integers(0, 2**53 - 1))
def test_a_range_is_right_when_it_is_not_inverted(low: int, high: int) -> None:
    """Any two quantities are accepted exactly when the minimum is not above the maximum."""
    item = LineItem(product="p", quantity_minimum=low, quantity_maximum=high)
    if low <= high:
        assert request(line_items=[item]).line_items == (item,)
    else:
        assert len(problems(line_items=[item])) == 1


def test_reading_an_iterable_that_fails_raises_its_own_error() -> None:
    """An error of the caller's generator is the caller's, and passes through."""

    def items() -> Any:
        yield MUG
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        request(line_items=items())


def test_digits_are_never_printed() -> None:
    """A problem with a huge integer doesn't meet Python's limit on printing digits."""
    assert 0 < sys.get_int_max_str_digits() < 5000
    with pytest.raises(ValidationError):
        request(expires_in=10**5000, line_items=[LineItem(product="p", quantity_minimum=10**5000)])


# --- plain values --------------------------------------------------------------------


class Reference(StrEnum):
    """References as a shop may have them."""

    ORDER = "order-1"


def test_a_request_as_plain_values() -> None:
    """`to_dict` gives what was given in JSON's own types, without what is secret."""
    made = request(
        line_items=[LineItem(product=Reference.ORDER, quantity_minimum=0)],
        customer="cus_1",
        client_reference_id=Reference.ORDER,
        expires_in=86400,
        phone_number_collection=False,
        payment_method_data={"type": "card", "card_number": "4242"},
        extra={"metadata": {"n": (1, 2.5, None, Reference.ORDER)}},
    )
    plain = made.to_dict()
    assert plain == {
        "line_items": [{"product": "order-1", "quantity_minimum": 0}],
        "customer": "cus_1",
        "client_reference_id": "order-1",
        "expires_in": 86400,
        "phone_number_collection": False,
        "extra": {"metadata": {"n": [1, 2.5, None, "order-1"]}},
    }
    assert type(plain["client_reference_id"]) is str
    assert type(plain["line_items"][0]["product"]) is str
    assert type(plain["extra"]["metadata"]["n"][3]) is str
    again = PaymentLinkSessionRequest.from_dict(json.loads(json.dumps(plain)))
    assert again == evolve(made, payment_method_data=None, extra=plain["extra"])


def test_what_is_given_as_plain_values_is_a_copy() -> None:
    """Neither changing what was given as `extra` nor what `to_dict` gave changes the request."""
    extra = {"metadata": {"a": 1}}
    made = request(extra=extra)
    made.to_dict()["extra"]["metadata"]["a"] = 2
    extra["metadata"]["a"] = 3
    assert made.extra == {"metadata": {"a": 1}}


@pytest.mark.parametrize(
    ("extra", "place", "rule"),
    [
        ([1], "extra", "must be a mapping, not list"),
        ({"customer": "cus_1"}, "extra.customer", "is a field of the request"),
        ({"line_items": []}, "extra.line_items", "is a field of the request"),
        ({"payment_method_data": {}}, "extra.payment_method_data", "is a field of the request"),
        ({"two words": 1}, "extra.two words", "is no name of a field"),
        ({"a:b": 1}, "extra.?", "is no name of a field"),
        ({"": 1}, "extra.?", "is no name of a field"),
        ({1: 1}, "extra.?", "is no name of a field"),
        ({"a": {"b": object()}}, "extra.a.b", "must be a JSON value, not object"),
        ({"a": float("nan")}, "extra.a", "must be a JSON value, not nan"),
        ({"a": "\ud800"}, "extra.a", "has a character that UTF-8 can't carry"),
    ],
    ids=range(11),
)
def test_what_extra_can_not_be(extra: Any, place: str, rule: str) -> None:
    """A name of ours, a name that is none, and a value that JSON can't carry are refused."""
    with pytest.raises(ValidationError) as caught:
        request(extra=extra)
    assert [(p.path, p.rule) for p in caught.value.problems] == [(place, rule)]


def test_a_request_with_extra_can_be_hashed_and_pickled() -> None:
    """A request with extra fields is a value as every other one."""
    made = request(extra={"metadata": {"a": [1]}})
    assert hash(made) == hash(request(extra={"metadata": {"a": [1]}}))
    assert pickle.loads(pickle.dumps(made)) == made
    assert made != request()
    assert "metadata" not in repr(made)


def test_the_keyword_arguments_are_the_fields() -> None:
    """What ``create(**fields)`` takes is what the class has, and so for line items."""
    for mapping, cls in (
        (PaymentLinkSessionFields, PaymentLinkSessionRequest),
        (LineItemFields, LineItem),
    ):
        assert [*get_type_hints(mapping)] != []
        assert {*get_type_hints(mapping)} == {a.name for a in fields(cls)}
        needed = {a.name for a in fields(cls) if a.default is NOTHING}
        assert mapping.__required_keys__ == needed
