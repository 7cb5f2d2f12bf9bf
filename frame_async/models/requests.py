"""What is asked for: one payment link session (Frame reference, payment link sessions)."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from attrs import AttrsInstance, field, fields, frozen

from frame_async.errors import Problem, ValidationError
from frame_async.models._rules import (
    Broken,
    Rule,
    email,
    flag,
    integer,
    kind,
    text,
    web_url,
)
from frame_async.models.payment_methods import PaymentMethod, problems_of, shielding
from frame_async.shapes import is_listing


def _shown(instance: AttrsInstance) -> str:
    """A repr of the fields that were given, without those that never show."""
    # A traceback may show an instance that is still being made, hence the default.
    pairs = ((a.name, getattr(instance, a.name, None)) for a in fields(type(instance)) if a.repr)
    listed = ", ".join(f"{name}={value!r}" for name, value in pairs if value is not None)
    return f"{type(instance).__name__}({listed})"


@frozen(kw_only=True)
class LineItem:
    """One product of a session; checked by the request it is put into.

    Its problems are reported together with the others of that request, each with its
    place, such as ``line_items[2].quantity_minimum``.
    """

    product: str
    """Product id."""
    quantity_minimum: int | None = None
    """Fewest that the payer may choose; 0 or more."""
    quantity_maximum: int | None = None
    """Most that the payer may choose; not below ``quantity_minimum``."""

    def __repr__(self) -> str:
        return _shown(self)


def _items(items: Iterable[LineItem]) -> tuple[LineItem, ...]:
    value: Any = items
    # A set has another order in every process, and the order is part of what is asked for.
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | AbstractSet):
        return tuple(items)
    return cast("tuple[LineItem, ...]", value)  # not a sequence: the check below says so


@shielding("payment_method_data")
@frozen(kw_only=True)
class PaymentLinkSessionRequest:
    """Everything that can be asked of a new payment link session.

    None means that a field is not given, and it is left out of the body; what you give is
    sent, a default included. The class checks itself: all broken rules are reported at once.

    Raises:
        ValidationError: one or more rules are broken; see its ``problems``.
    """

    line_items: tuple[LineItem, ...] = field(converter=_items)
    """Products to include, at least one."""
    customer: str | None = None
    """Customer id; not together with ``account`` or ``customer_email``."""
    account: str | None = None
    """Account id; not together with ``customer``."""
    customer_email: str | None = None
    """Payer's e-mail address; not together with ``customer``."""
    client_reference_id: str | None = None
    """Your own reference, such as an order number."""
    success_url: str | None = None
    """HTTP(S) URL for after a successful or processing payment; Frame appends a signed payload."""
    cancel_url: str | None = None
    """HTTP(S) URL for when the payer cancels; Frame appends a signed payload."""
    expires_in: int | None = None
    """Seconds until the session expires: 900 to 86400; Frame's default is 86400."""
    phone_number_collection: bool | None = None
    """Whether to collect a phone number during checkout."""
    shipping_address_collection: bool | None = None
    """Whether to collect a shipping address during checkout."""
    payment_method: str | None = None
    """Existing payment method to pre-fill; needs ``customer`` or ``account``."""
    payment_method_data: PaymentMethod | None = field(default=None, repr=False)
    """New payment method data to pre-fill: `Card`, `BankAccount` or a mapping. Secret."""

    def __attrs_post_init__(self) -> None:
        problems = _field_problems(self)
        problems += _owner_problems(self)
        if problems:
            raise ValidationError("invalid payment link session request", problems)

    def __repr__(self) -> str:
        return _shown(self)


_GIVE_PRODUCT: Final = "give the product's id"


def _product(value: object) -> Broken:
    broken = text(value)
    empty = broken is not None and isinstance(value, str) and not str.strip(value)
    return (broken[0], _GIVE_PRODUCT) if broken and empty else broken


_ITEM_RULES: Final[Mapping[str, Rule]] = {
    "product": _product,
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
    if request.payment_method_data is not None:
        problems += problems_of(request.payment_method_data, "payment_method_data")
    return problems


def _broken(holder: object, rules: Mapping[str, Rule], prefix: str) -> list[Problem]:
    problems: list[Problem] = []
    for name, rule in rules.items():
        value = getattr(holder, name)
        if value is not None and (broken := rule(value)) is not None:
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
    if cast("str | None", item.product) is None:
        yield Problem(f"{path}.product", "is missing", _GIVE_PRODUCT)
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
    if request.customer is not None:
        for other in ("account", "customer_email"):
            if getattr(request, other) is not None:
                yield Problem(
                    other, "can't go together with customer", f"give customer or {other}, not both"
                )
    elif request.payment_method is not None and request.account is None:
        yield Problem("payment_method", "needs an owner", "give customer or account too")


REQUEST_FIELDS: Final = tuple(a.name for a in fields(PaymentLinkSessionRequest))
"""The names of all body parameters, in the order of the class."""
