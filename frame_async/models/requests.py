"""What is asked for: one payment link session (Frame reference, payment link sessions)."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from attrs import field, fields, frozen

from frame_async.errors import Problem, ValidationError
from frame_async.models._rules import (
    Rule,
    email,
    flag,
    given,
    integer,
    kind,
    text,
    web_url,
)
from frame_async.models.not_given import NOT_GIVEN, NotGiven, shown
from frame_async.models.payment_methods import PaymentMethod, problems_of, shielding
from frame_async.shapes import is_listing


@frozen(kw_only=True)
class LineItem:
    """One product of a session; checked by the request it is put into.

    Its problems are reported together with the others of that request, each with its
    place, such as ``line_items[2].quantity_minimum``.
    """

    product: str
    """Product id."""
    quantity_minimum: int | NotGiven = NOT_GIVEN
    """Fewest that the payer may choose; 0 or more."""
    quantity_maximum: int | NotGiven = NOT_GIVEN
    """Most that the payer may choose; not below ``quantity_minimum``."""

    def __repr__(self) -> str:
        return shown(self)


_LISTINGS: Final = (list, tuple)


def _items(items: Iterable[LineItem]) -> tuple[LineItem, ...]:
    value: Any = items
    if type(value) in _LISTINGS:  # abstract classes take their time
        return tuple(items)
    # A set has another order in every process, and the order is part of what is asked for.
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | AbstractSet):
        return tuple(items)
    return cast("tuple[LineItem, ...]", value)  # not a sequence: the check below says so


@shielding("payment_method_data")
@frozen(kw_only=True)
class PaymentLinkSessionRequest:
    """Everything that can be asked of a new payment link session.

    A field that is not given is left out of the body; what you give is sent, a
    default included. The class checks itself: all broken rules are reported at once.

    Raises:
        ValidationError: one or more rules are broken; see its ``problems``.
    """

    line_items: tuple[LineItem, ...] = field(converter=_items)
    """Products to include, at least one."""
    customer: str | NotGiven = NOT_GIVEN
    """Customer id; not together with ``account`` or ``customer_email``."""
    account: str | NotGiven = NOT_GIVEN
    """Account id; not together with ``customer``."""
    customer_email: str | NotGiven = NOT_GIVEN
    """Payer's e-mail address; not together with ``customer``."""
    client_reference_id: str | NotGiven = NOT_GIVEN
    """Your own reference, such as an order number."""
    success_url: str | NotGiven = NOT_GIVEN
    """HTTP(S) URL for after a successful or processing payment; Frame appends a signed payload."""
    cancel_url: str | NotGiven = NOT_GIVEN
    """HTTP(S) URL for when the payer cancels; Frame appends a signed payload."""
    expires_in: int | NotGiven = NOT_GIVEN
    """Seconds until the session expires: 900 to 86400; Frame's default is 86400."""
    phone_number_collection: bool | NotGiven = NOT_GIVEN
    """Whether to collect a phone number during checkout."""
    shipping_address_collection: bool | NotGiven = NOT_GIVEN
    """Whether to collect a shipping address during checkout."""
    payment_method: str | NotGiven = NOT_GIVEN
    """Existing payment method to pre-fill; needs ``customer`` or ``account``."""
    payment_method_data: PaymentMethod | NotGiven = field(default=NOT_GIVEN, repr=False)
    """New payment method data to pre-fill: `Card`, `BankAccount` or a mapping. Secret."""

    def __attrs_post_init__(self) -> None:
        problems = _field_problems(self)
        problems += _owner_problems(self)
        if problems:
            raise ValidationError("invalid payment link session request", problems)

    def __repr__(self) -> str:
        return shown(self)


_ITEM_RULES: Final[Mapping[str, Rule]] = {
    "product": text,
    "quantity_minimum": integer(0),
    "quantity_maximum": integer(0),
}

_FIELD_RULES: Final[Mapping[str, Rule]] = {
    "customer": text,
    "account": text,
    "customer_email": email,
    "client_reference_id": text,
    "success_url": web_url,
    "cancel_url": web_url,
    "expires_in": integer(900, 86400, unit=" seconds"),
    "phone_number_collection": flag,
    "shipping_address_collection": flag,
    "payment_method": text,
}


def _field_problems(request: PaymentLinkSessionRequest) -> list[Problem]:
    problems = [*_line_items_problems(request.line_items), *_broken(request, _FIELD_RULES, "")]
    if request.payment_method_data is not NOT_GIVEN:
        problems += problems_of(request.payment_method_data, "payment_method_data")
    return problems


def _broken(holder: object, rules: Mapping[str, Rule], prefix: str) -> list[Problem]:
    problems: list[Problem] = []
    for name, rule in rules.items():
        value = getattr(holder, name)
        if value is not NOT_GIVEN and (broken := rule(value)) is not None:
            problems.append(Problem(prefix + name, *broken))
    return problems


def _line_items_problems(items: object) -> Iterator[Problem]:
    advice = 'pass a list such as [LineItem(product="prod_1")]'
    if not is_listing(items):
        yield Problem("line_items", f"must be a list of LineItem, not {kind(items)}", advice)
    elif not items:
        yield Problem("line_items", "must have at least one item", advice)
    else:
        for index, item in enumerate(items):
            yield from _item_problems(item, f"line_items[{index}]")


def _item_problems(item: object, path: str) -> Iterator[Problem]:
    if not isinstance(item, LineItem):
        yield Problem(path, f"must be a LineItem, not {kind(item)}", "pass LineItem(product=...)")
        return
    if not given(item.product):
        yield Problem(f"{path}.product", "is missing", "give the product's id")
    broken = _broken(item, _ITEM_RULES, f"{path}.")
    yield from broken
    low, high = item.quantity_minimum, item.quantity_maximum
    if not broken and isinstance(low, int) and isinstance(high, int) and low > high:
        yield Problem(
            f"{path}.quantity_minimum",
            f"must not be above quantity_maximum ({low} > {high})",
            "swap or correct the two",
        )


def _owner_problems(request: PaymentLinkSessionRequest) -> Iterator[Problem]:
    if given(request.customer):
        for other in ("account", "customer_email"):
            if given(getattr(request, other)):
                yield Problem(
                    other, "can't go together with customer", f"give customer or {other}, not both"
                )
    elif given(request.payment_method) and not given(request.account):
        yield Problem("payment_method", "needs an owner", "give customer or account too")


REQUEST_FIELDS: Final = tuple(a.name for a in fields(PaymentLinkSessionRequest))
"""The names of all body parameters, in the order of the class."""
