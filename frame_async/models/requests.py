"""What is asked for: one payment link session (Frame reference, payment link sessions)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from typing import Any, Final, NotRequired, TypedDict, cast

from attrs import AttrsInstance, field, fields, frozen

from frame_async.errors import Problem, ValidationError
from frame_async.models._rules import (
    Broken,
    Rule,
    email,
    flag,
    integer,
    json_value,
    kind,
    text,
    web_url,
)
from frame_async.models.payment_methods import (
    PaymentMethod,
    PaymentMethodData,
    problems_of,
    shielded,
    shielding,
)
from frame_async.shapes import is_listing, is_mapping, name_of, plain


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


def _extra(value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A copy, of bounded depth and size; None if there is nothing in it."""
    return dict(PaymentMethodData(value)) or None if is_mapping(value) else value


class LineItemFields(TypedDict):
    """A `LineItem` as a plain mapping."""

    product: str
    quantity_minimum: NotRequired[int | None]
    quantity_maximum: NotRequired[int | None]


class PaymentLinkSessionFields(TypedDict):
    """The fields of a `PaymentLinkSessionRequest`, as keyword arguments or a plain mapping."""

    line_items: Sequence[LineItem | LineItemFields]
    customer: NotRequired[str | None]
    account: NotRequired[str | None]
    customer_email: NotRequired[str | None]
    client_reference_id: NotRequired[str | None]
    success_url: NotRequired[str | None]
    cancel_url: NotRequired[str | None]
    expires_in: NotRequired[int | None]
    phone_number_collection: NotRequired[bool | None]
    shipping_address_collection: NotRequired[bool | None]
    payment_method: NotRequired[str | None]
    payment_method_data: NotRequired[PaymentMethod | None]
    extra: NotRequired[Mapping[str, Any] | None]


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
    extra: Mapping[str, Any] | None = field(default=None, converter=_extra, hash=False, repr=False)
    """Fields of the body that Frame has and this class doesn't know yet, by name, sent as they
    are, None included. A name of this class is refused."""

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "PaymentLinkSessionRequest":
        """A request from a mapping with the field names of Frame's reference.

        Line items are mappings or `LineItem`; None means "not given", in line items too. Unknown
        names are refused with a hint, because Frame would silently ignore them (seen with
        ``account_id`` instead of ``account``); `extra` may be among the known ones.

        Raises:
            ValidationError: everything that is wrong, at once, each with its path.
        """
        if not is_mapping(given):
            kind = type(given).__name__
            del given  # what follows raises, and a traceback shows local variables
            raise ValidationError(
                _WHAT, [Problem("", f"must be a mapping, not {kind}", "pass a dict")]
            )
        known = shield(given)
        del given  # the same
        problems = _unknown(known, _NAMES, "")
        if problems:
            known = {name: value for name, value in known.items() if name in _NAMES}
        items = known.get("line_items")
        known["line_items"], found = _items_of(() if items is None else items)
        problems += found
        try:
            request = cls(**known)
        except ValidationError as error:
            problems += error.problems
        else:
            if not problems:
                return request
        raise ValidationError(_WHAT, problems)

    def to_dict(self) -> dict[str, Any]:
        """The fields that were given, in JSON's own types; `from_dict` makes the request of it.

        Without `payment_method_data`, which is secret and never leaves by accident: whoever
        stores a request with it has to give it again.
        """
        items = [_given(item, _ITEM_NAMES) for item in self.line_items]
        return {"line_items": items} | _given(self, _TOLD)

    def __attrs_post_init__(self) -> None:
        problems = _field_problems(self)
        problems += _owner_problems(self)
        if problems:
            raise ValidationError(_WHAT, problems)

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
    problems += _extra_problems(request.extra)
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


def _extra_problems(extra: object) -> Iterator[Problem]:
    if extra is None:
        return
    if not is_mapping(extra):
        yield Problem("extra", f"must be a mapping, not {kind(extra)}", "pass a dict")
        return
    for name, value in extra.items():
        path = f"extra.{name_of(name)}"
        if type(name) is not str or not _ADDED.fullmatch(name):
            yield Problem(path, "is no name of a field", "use letters, digits and underscores")
        elif name in REQUEST_FIELDS:
            yield Problem(path, "is a field of the request", f"give it as {name}=...")
        else:
            yield from json_value(value, path)


_ADDED: Final = re.compile(r"(?a)[^\W\d]\w{0,63}")
_ITEM_NAMES: Final = tuple(a.name for a in fields(LineItem))
_NAMES: Final = tuple(a.name for a in fields(PaymentLinkSessionRequest))
REQUEST_FIELDS: Final = tuple(name for name in _NAMES if name != "extra")
"""The names of all body parameters, in the order of the class."""
_TOLD: Final = tuple(n for n in _NAMES if n not in ("line_items", "payment_method_data"))
_WHAT: Final = "invalid payment link session request"
_PLAIN: Final = frozenset(_NAMES) - {"payment_method_data"}


def _given(holder: object, names: Sequence[str]) -> dict[str, Any]:
    """The fields of these names that were given, in JSON's own types."""
    values = {name: getattr(holder, name) for name in names}
    return {name: plain(value) for name, value in values.items() if value is not None}


def shield(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields, with what may be secret in a form whose repr shows nothing."""
    # An unknown name may be payment_method_data, misspelt.
    return {name: value if name in _PLAIN else shielded(value) for name, value in given.items()}


def _items_of(value: Any) -> tuple[Any, list[Problem]]:
    if not is_listing(value):
        return value, []
    problems: list[Problem] = []
    for index, item in enumerate(value):
        problems += _unknown(item, _ITEM_NAMES, f"line_items[{index}].")
    return [_item_of(item) for item in value], problems


def _item_of(value: Any) -> Any:
    if not is_mapping(value):
        return value  # the request refuses it by name, and checks what is in the others
    known: dict[str, Any] = {"product": None}
    known.update((name, value[name]) for name in _ITEM_NAMES if name in value)
    return LineItem(**known)


def _unknown(value: Any, names: Sequence[str], prefix: str) -> list[Problem]:
    strangers = [name for name in value if name not in names] if is_mapping(value) else []
    return [_stranger(name, names, prefix) for name in strangers]


def _stranger(name: object, names: Sequence[str], prefix: str) -> Problem:
    shown = name_of(name)
    close = get_close_matches(shown, names, n=1)
    fix = f"did you mean {close[0]}?" if close else f"use one of {', '.join(names)}"
    return Problem(f"{prefix}{shown}", "is not a field of the request", fix)
