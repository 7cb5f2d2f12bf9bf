"""New payment method data to pre-fill: all of it is secret, none of it ever shows.

The shapes are those that Frame's SDKs use to create a payment method. In production,
card data must come encrypted from Frame.js; the classes take either form.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from itertools import islice
from typing import Any, Final, Literal, NoReturn, TypeVar, cast

from attrs import AttrsInstance, field, fields, frozen

from frame_async.errors import Problem
from frame_async.models._rules import (
    TOO_MUCH,
    Broken,
    Rule,
    integer,
    json_value,
    kind,
    text,
)
from frame_async.secret import Secret, refuse_pickling
from frame_async.shapes import is_listing, is_mapping

C = TypeVar("C", bound=AttrsInstance)

_DEEPEST: Final = 33  # 32 levels of containers, and what is in the last
_MOST_VALUES: Final = 10_000
_MOST_PROBLEMS: Final = 100


class _Secretive:
    """What all forms of the data share: no values in a repr, no pickling."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<hidden>)"

    def __reduce__(self) -> NoReturn:
        refuse_pickling(f"a {type(self).__name__}")

    def __copy__(self) -> "_Secretive":
        return self

    def __deepcopy__(self, memo: object) -> "_Secretive":
        return self


class PaymentMethodData(_Secretive, Mapping[str, Any]):
    """A copy of a mapping given as ``payment_method_data``; its repr shows nothing."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data: dict[str, Any] = _copied(data, _DEEPEST, iter(range(_MOST_VALUES)))

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __hash__(self) -> int:
        return hash(frozenset(self._data))


def _billing(value: Mapping[str, Any] | None) -> PaymentMethodData | None:
    return cast("PaymentMethodData | None", shielded(value))


@frozen(kw_only=True, repr=False)
class Card(_Secretive):
    """Card data; checked by the request it is put into.

    Numbers and codes are strings, so that leading zeros and encrypted values survive.
    """

    type: Literal["card"] = field(default="card", init=False)
    """Always ``"card"``."""
    card_number: str
    """The number, or what Frame.js made of it."""
    exp_month: str | int
    """Month in which the card expires, 1 to 12."""
    exp_year: str | int
    """Year in which the card expires."""
    cvc: str
    """The security code, or what Frame.js made of it."""
    billing: Mapping[str, Any] | None = field(default=None, converter=_billing)
    """Name and address of the owner, with the field names of Frame's SDKs."""


@frozen(kw_only=True, repr=False)
class BankAccount(_Secretive):
    """Bank account data (ACH); checked by the request it is put into."""

    type: Literal["ach"] = field(default="ach", init=False)
    """Always ``"ach"``."""
    account_type: Literal["checking", "savings"]
    """Which kind of account it is."""
    account_number: str
    """Number of the account."""
    routing_number: str
    """Number of its bank."""
    billing: Mapping[str, Any] | None = field(default=None, converter=_billing)
    """Name and address of the owner, with the field names of Frame's SDKs."""


PaymentMethod = Card | BankAccount | Mapping[str, Any]


def shielding(name: str) -> Callable[[type[C]], type[C]]:
    """Make a class box the argument `name` before its ``__init__`` can hold it.

    A traceback that prints local variables shows the arguments of every frame it
    passes through; after this, the frames of the class show a box. An argument that
    the class doesn't know is boxed too: it may be `name`, misspelt.
    """

    def decorate(cls: type[C]) -> type[C]:
        original: Callable[..., None] = vars(cls)["__init__"]
        plain = {a.name for a in fields(cls)} - {name}

        @wraps(original)
        def init(self: object, **arguments: Any) -> None:
            for boxed in arguments.keys() - plain:
                arguments[boxed] = shielded(arguments[boxed])
            original(self, **arguments)

        type.__setattr__(cls, "__init__", init)
        return cls

    return decorate


def shielded(value: object) -> object:
    """The value in a form whose repr shows nothing."""
    if value is None or isinstance(value, _Secretive | Secret):
        return cast("object", value)
    if is_mapping(value):
        with suppress(Exception):  # what a mapping raises while it is read shows its values
            return PaymentMethodData(value)
    return Secret(value)


def problems_of(value: object, path: str) -> Iterator[Problem]:
    """Every broken rule of payment method data, without a word of its values."""
    if isinstance(value, PaymentMethodData):
        yield from _mapping_problems(value, path)
    elif isinstance(value, Card | BankAccount):
        yield from _typed_problems(value, path)
    else:
        found = kind(cast("Secret[object]", value).reveal() if isinstance(value, Secret) else value)
        yield Problem(
            path, f"must be payment method data, not {found}", "pass Card, BankAccount or a mapping"
        )


def _mapping_problems(data: PaymentMethodData, path: str) -> Iterator[Problem]:
    if not data:
        yield Problem(path, "must not be empty", 'give at least {"type": "card", ...}')
    yield from islice(json_value(dict(data), path), _MOST_PROBLEMS)


def _month_or_year(lowest: int, highest: int) -> Rule:
    whole = integer(lowest, highest)

    def rule(value: object) -> Broken:
        return text(value) if isinstance(value, str) else whole(value)

    return rule


def _account_type(value: object) -> Broken:
    if isinstance(value, str) and value in ("checking", "savings"):
        return None
    return 'must be "checking" or "savings"', "pass one of the two"


_RULES: Final[Mapping[str, Rule]] = {
    "card_number": text,
    "exp_month": _month_or_year(1, 12),
    "exp_year": _month_or_year(0, 9999),
    "cvc": text,
    "account_type": _account_type,
    "account_number": text,
    "routing_number": text,
}


_MISSING: Final = "is missing", "give it, or leave payment_method_data out"


def _typed_problems(value: Card | BankAccount, path: str) -> Iterator[Problem]:
    for attribute in fields(type(value)):
        rule, given = _RULES.get(attribute.name), getattr(value, attribute.name)
        if rule is not None and (broken := _MISSING if given is None else rule(given)):
            yield Problem(f"{path}.{attribute.name}", *broken)
    if isinstance(value.billing, PaymentMethodData):
        yield from islice(json_value(dict(value.billing), f"{path}.billing"), _MOST_PROBLEMS)
    elif value.billing is not None:
        yield Problem(f"{path}.billing", "must be a mapping", "pass a dict, or leave it out")


def json_problems(value: Any, path: str) -> list[Problem]:
    """What JSON can't carry in a value, or not without loss; no message shows what it holds."""
    copied = _copied(value, _DEEPEST, iter(range(_MOST_VALUES)))
    return list(islice(json_value(copied, path), _MOST_PROBLEMS))


def _copied(value: Any, depth: int, budget: Iterator[int]) -> Any:
    # A value that holds itself twice would grow without end: hence the budget.
    if depth == 0 or next(budget, None) is None:
        return TOO_MUCH
    if is_mapping(value):
        return {name: _copied(item, depth - 1, budget) for name, item in value.items()}
    if is_listing(value):
        return [_copied(item, depth - 1, budget) for item in value]
    return value
