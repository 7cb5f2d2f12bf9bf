"""Payment method data: checked value by value, copied once, told in paths only."""

import copy
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from frame_async.errors import Problem, ValidationError
from frame_async.models import (
    BankAccount,
    Card,
    LineItem,
    PaymentLinkSessionRequest,
    PaymentMethodData,
)

FIX = "use str, int, float, bool, list or dict"
DEEP = ("is nested too deeply, or too large", "keep it small and flat")


def request(data: Any) -> PaymentLinkSessionRequest:
    """A request with any payment method data."""
    return PaymentLinkSessionRequest(line_items=[LineItem(product="p")], payment_method_data=data)


def problems(data: Any) -> list[Problem]:
    """Everything that is wrong with payment method data."""
    with pytest.raises(ValidationError) as caught:
        request(data)
    return list(caught.value.problems)


def card(**changes: Any) -> Card:
    """A good card, with any changes."""
    good: dict[str, Any] = {
        "card_number": "4242424242424242", "exp_month": "12", "exp_year": "2030", "cvc": "123"
    }  # fmt: skip
    return Card(**(good | changes))


def account(**changes: Any) -> BankAccount:
    """A good bank account, with any changes."""
    good: dict[str, Any] = {
        "account_type": "checking",
        "account_number": "000123456789",
        "routing_number": "110000000",
    }
    return BankAccount(**(good | changes))


# --- the typed classes ---------------------------------------------------------------


@pytest.mark.parametrize("data", [card(), account()])
def test_typed_data_is_kept(data: Any) -> None:
    """A card or bank account is held as it is."""
    assert request(data).payment_method_data is data


def test_types_are_fixed() -> None:
    """The type of a card is "card", that of a bank account is "ach", and neither can be given."""
    assert (card().type, account().type) == ("card", "ach")
    for make in (card, account):
        with pytest.raises(TypeError, match="type"):
            make(type="other")


@pytest.mark.parametrize("data", [card(), account()])
def test_typed_data_is_frozen(data: Any) -> None:
    """No value can be changed; there is no dict that would show them."""
    with pytest.raises(FrozenInstanceError):
        data.billing = {}
    assert not hasattr(data, "__dict__")


def test_typed_data_compares_and_hashes() -> None:
    """Equal cards are equal and hash alike, with billing too; another value differs."""
    one, other = card(billing={"a": [1]}), card(billing={"a": [1]})
    assert one == other
    assert hash(one) == hash(other)
    assert evolve(one, cvc="124") != one
    assert card(billing={"a": [2]}) != one


class Month(IntEnum):
    MAY = 5


@pytest.mark.parametrize("month", [1, 12, "1", "05", "encrypted:x", Month.MAY])
@pytest.mark.parametrize("year", [0, 9999, "30", "2030", "encrypted:x"])
def test_months_and_years(month: Any, year: Any) -> None:
    """Both may be numbers, strings of digits, or encrypted strings."""
    data = card(exp_month=month, exp_year=year)
    assert request(data).payment_method_data is data


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"card_number": 4242424242424242}, "must be a string, not int"),
        ({"card_number": ""}, "must not be empty"),
        ({"card_number": None}, "is missing"),
        ({"cvc": 123}, "must be a string, not int"),
        ({"cvc": "\ud800"}, "has a character that UTF-8 can't carry"),
        ({"exp_month": 0}, "must be from 1 to 12"),
        ({"exp_month": 13}, "must be from 1 to 12"),
        ({"exp_month": True}, "must be an integer, not bool"),
        ({"exp_month": ""}, "must not be empty"),
        ({"exp_year": -1}, "must be from 0 to 9999"),
        ({"exp_year": 10_000}, "must be from 0 to 9999"),
        ({"exp_year": 2030.0}, "must be an integer, not float"),
        ({"billing": "Ada"}, "must be a mapping"),
        ({"billing": card()}, "must be a mapping"),
    ],
)
def test_wrong_cards(changes: dict[str, Any], rule: str) -> None:
    """Each value of a card has its rule, told with its path and a fix, never with the value."""
    (name,) = changes
    (problem,) = problems(card(**changes))
    assert (problem.path, problem.rule) == (f"payment_method_data.{name}", rule)
    assert problem.fix


class Savings(StrEnum):
    YES = "savings"


class Agreeable:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # what Python makes of __eq__ alone

    def __repr__(self) -> str:
        return "Agreeable()"


@pytest.mark.parametrize("value", ["checking", "savings", Savings.YES])
def test_account_types(value: Any) -> None:
    """Both types of account are known."""
    data = account(account_type=value)
    assert request(data).payment_method_data is data


@pytest.mark.parametrize("value", ["Checking", "", 1, ["checking"], Agreeable()], ids=str)
def test_no_account_types(value: Any) -> None:
    """Anything else is refused, also what claims to be equal."""
    assert problems(account(account_type=value)) == [
        Problem(
            "payment_method_data.account_type",
            'must be "checking" or "savings"',
            "pass one of the two",
        )
    ]


@pytest.mark.parametrize("name", ["account_type", "account_number", "routing_number"])
def test_what_a_bank_account_needs(name: str) -> None:
    """None means "not given", and what an account can't be without is then missing."""
    assert problems(account(**{name: None})) == [
        Problem(
            f"payment_method_data.{name}",
            "is missing",
            "give it, or leave payment_method_data out",
        )
    ]


def test_all_problems_of_a_bank_account() -> None:
    """Each wrong value is reported, those of billing too, by path."""
    wrong = account(
        account_type="x", account_number=1, routing_number=" ", billing={"a": {"b": {1}}, "c": b""}
    )
    assert [p.path for p in problems(wrong)] == [
        "payment_method_data.account_type",
        "payment_method_data.account_number",
        "payment_method_data.routing_number",
        "payment_method_data.billing.a.b",
        "payment_method_data.billing.c",
    ]


def test_billing_may_be_empty_or_absent() -> None:
    """Billing is optional: an empty mapping is something that was given, though."""
    assert card().billing is None
    assert request(card(billing={})).payment_method_data == card(billing={})
    assert card(billing={}) != card()


@pytest.mark.parametrize("data", [card(), account(), PaymentMethodData({"a": 1})])
def test_a_copy_is_the_data_itself(data: Any) -> None:
    """What never changes and never shows is never copied either."""
    assert copy.copy(data) is data
    assert copy.deepcopy(data) is data


# --- mappings ------------------------------------------------------------------------


def test_a_mapping_is_taken_as_it_is() -> None:
    """Any names and JSON values are allowed, because Frame checks them."""
    given = {"type": "new", "a": [1, 2.5, None, True, {"b": "é"}], "c": {}, "d": []}
    data = request(given).payment_method_data
    assert isinstance(data, PaymentMethodData)
    assert data == given
    assert dict(data) == given
    assert (len(data), list(data), data["type"]) == (4, ["type", "a", "c", "d"], "new")


@pytest.mark.parametrize("kind", [dict, MappingProxyType, PaymentMethodData])
def test_any_mapping_will_do(kind: Any) -> None:
    """Dicts, proxies and other mappings give equal data."""
    assert request(kind({"type": "card"})).payment_method_data == {"type": "card"}


def test_a_mapping_is_copied() -> None:
    """What happens to the caller's mapping afterwards, deep inside too, is not seen."""
    given: dict[str, Any] = {"type": "card", "billing": {"lines": ["1"]}}
    data = request(given).payment_method_data
    given["billing"]["lines"].append("2")
    given["type"] = "x"
    assert data == {"type": "card", "billing": {"lines": ["1"]}}


def test_mappings_compare_and_hash() -> None:
    """Equal data is equal and hashes alike whatever the order of its names."""
    one, other = PaymentMethodData({"a": 1, "b": [2]}), PaymentMethodData({"b": [2], "a": 1})
    assert one == other
    assert hash(one) == hash(other)
    assert one != PaymentMethodData({"a": 1, "b": [3]})


def test_mappings_are_read_only() -> None:
    """Data has no way to set or delete a value."""
    data: Any = PaymentMethodData({"a": 1})
    with pytest.raises(TypeError):
        data["a"] = 2
    with pytest.raises(TypeError):
        del data["a"]
    with pytest.raises(KeyError):
        data["b"]


def test_an_empty_mapping_is_refused() -> None:
    """Data without anything in it is a mistake; None is no data, and none."""
    assert request(None).payment_method_data is None
    assert problems({}) == [
        Problem("payment_method_data", "must not be empty", 'give at least {"type": "card", ...}')
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("card", "str"), ([], "list"), (Card, "type"), (3, "int"), (set(), "set")],
)
def test_other_types_are_refused(value: Any, kind: str) -> None:
    """What is neither a typed class nor a mapping is refused by the name of its type."""
    assert problems(value) == [
        Problem(
            "payment_method_data",
            f"must be payment method data, not {kind}",
            "pass Card, BankAccount or a mapping",
        )
    ]


class Real(float):
    """A float of another class, as numpy's are."""


class Text(str):
    """A string of another class."""

    __slots__ = ()


GOOD = [
    "",
    "x",
    Text("x"),
    0,
    -5,
    2**53 - 1,
    1 - 2**53,
    0.5,
    -1e308,
    Real(1.5),
    None,
    True,
    Month.MAY,
]


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_json_values(value: Any) -> None:
    """All that JSON carries without loss is allowed at any depth."""
    assert request({"a": value, "b": [{"c": value}]}).payment_method_data


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "must be a JSON value, not nan"),
        (float("inf"), "must be a JSON value, not inf"),
        (Real("-inf"), "must be a JSON value, not Real"),
        (b"x", "must be a JSON value, not bytes"),
        ({1}, "must be a JSON value, not set"),
        (1j, "must be a JSON value, not complex"),
        (Agreeable(), "must be a JSON value, not Agreeable"),
        pytest.param(iter([1]), "must be a JSON value, not list_iterator", id="iterator"),
        (2**53, f"must be from {1 - 2**53} to {2**53 - 1}"),
        (-(2**53), f"must be {1 - 2**53} or more"),
        ("\ud800", "has a character that UTF-8 can't carry"),
        (Text("\ud800"), "has a character that UTF-8 can't carry"),
    ],
    ids=repr,
)
def test_no_json_values(value: Any, rule: str) -> None:
    """What JSON can't carry, or not exactly, is refused wherever it is."""
    paths = ["payment_method_data.a", "payment_method_data.b[1].c"]
    found = problems({"a": value, "b": [0, {"c": value}]})
    assert [(p.path, p.rule) for p in found] == [(path, rule) for path in paths]
    assert all(p.fix for p in found)


@pytest.mark.parametrize("digits", [5000, -5000])
def test_huge_integers(digits: int) -> None:
    """An integer with more digits than Python prints is refused without printing it."""
    (problem,) = problems({"a": 10**5000 if digits > 0 else -(10**5000)})
    assert problem.path == "payment_method_data.a"


@pytest.mark.parametrize("name", [1, None, True, b"x", ("a",), Text("x"), "\ud800"], ids=repr)
def test_names_are_plain_strings(name: Any) -> None:
    """A name that isn't a plain string is refused at the place of its mapping."""
    rule = "has a name that isn't a plain string"
    assert problems({name: 1}) == [Problem("payment_method_data", rule, "use string keys")]
    assert problems({"a": [{name: 1}]}) == [
        Problem("payment_method_data.a[0]", rule, "use string keys")
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("card_number", "card_number"), ("Straße 1", "Straße 1"), ("x" * 40, "x" * 40),
        ("x" * 41, "?"), ("a\nb", "?"), ("a\n", "?"), ("\x1b[31m", "?"), ("4242", "?"), ("", "?"),
        ("a\u202eb", "?"),
    ],
)  # fmt: skip
def test_foreign_names_in_paths(name: str, shown: str) -> None:
    """A path shows a name only if it looks like one: it could be anything, a secret too."""
    assert [p.path for p in problems({name: {1}})] == [f"payment_method_data.{shown}"]


# --- attacks -------------------------------------------------------------------------


def nested(levels: int, kind: str = "dict") -> Any:
    """A value at the bottom of this many levels of dicts or lists."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind == "dict" else [value]
    return value


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_32_levels_are_enough(kind: str) -> None:
    """Data of 32 levels, the outermost mapping included, is taken; one more is refused."""
    assert request({"a": nested(31, kind)}).payment_method_data
    (problem,) = problems({"a": nested(32, kind)})
    assert (problem.rule, problem.fix) == DEEP


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_deep_nesting(levels: int) -> None:
    """Data deeper than the interpreter's stack is refused like any other."""
    (problem,) = problems({"a": nested(levels)})
    assert (problem.rule, problem.fix) == DEEP


def test_a_mapping_in_itself() -> None:
    """A mapping that holds itself is refused."""
    data: dict[str, Any] = {}
    data["self"] = data
    (problem,) = problems(data)
    assert problem.path == "payment_method_data" + ".self" * 33
    assert (problem.rule, problem.fix) == DEEP


def test_a_mapping_in_itself_many_times() -> None:
    """A mapping that holds itself ten times doesn't grow without end, nor does its error."""
    data: dict[str, Any] = {}
    data.update({f"n{n}": data for n in range(10)})
    found = problems(data)
    assert 0 < len(found) <= 100
    assert {(p.rule, p.fix) for p in found} == {DEEP}


def test_a_large_mapping() -> None:
    """Data of 9,999 values and itself is taken; one value more is refused."""
    assert request({"a": [0] * 9_998}).payment_method_data
    (problem,) = problems({"a": [0] * 9_999})
    assert (problem.path, problem.rule) == ("payment_method_data.a[9998]", DEEP[0])


def test_problems_are_bounded() -> None:
    """A million wrong values give a hundred problems."""
    assert len(problems({"a": [{1}] * 5_000})) == 100
    assert len(problems(card(billing={"a": [{1}] * 5_000}))) == 100


class Lying(Mapping[str, Any]):
    """A mapping whose three methods contradict each other, and change their mind."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        self.reads += 1
        return "good" if self.reads == 1 else {1}

    def __iter__(self) -> Any:
        return iter(["type"])

    def __len__(self) -> int:
        return 1_000_000


class Broken(Lying):
    def __iter__(self) -> Any:
        raise RuntimeError("not today")


def test_a_lying_mapping_is_read_once() -> None:
    """What a mapping says at first is what is checked, compared and sent."""
    data = request(Lying()).payment_method_data
    assert data == {"type": "good"}
    assert len(data) == 1


def test_a_broken_mapping_is_refused() -> None:
    """A mapping that can't be read is refused, at the place where it stands."""
    (problem,) = problems(Broken())
    assert problem.rule == "must be payment method data, not Broken"
    (problem,) = problems(card(billing=Broken()))
    assert (problem.path, problem.rule) == ("payment_method_data.billing", "must be a mapping")
