"""The rules for the body of a payment link session request.

They are the table of the reference's page on creating a payment link session,
read here a second time and on purpose without a glance at the SDK's own models,
so that a slip in the one shows against the other. All problems are reported at
once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from . import checks
from .answers import Problems
from .checks import Rule, is_list, is_object

ITEM_FIELDS: Mapping[str, Rule] = {
    "product": checks.text,
    "quantity_minimum": checks.integer(at_least=0),
    "quantity_maximum": checks.integer(at_least=0),
}
"""The fields of one line item."""

_QUANTITIES = ("quantity_minimum", "quantity_maximum")

_CARD: Mapping[str, Rule] = {
    "card_number": checks.text,
    "exp_month": checks.text_or_integer,
    "exp_year": checks.text_or_integer,
    "cvc": checks.text,
}
_ACH: Mapping[str, Rule] = {
    "account_type": checks.one_of("checking", "savings"),
    "account_number": checks.text,
    "routing_number": checks.text,
}
_KINDS: Mapping[str, Mapping[str, Rule]] = {"card": _CARD, "ach": _ACH}
_EITHER_KIND: Mapping[str, Rule] = {
    "type": checks.one_of(*_KINDS),
    "billing": checks.mapping,
}


def problems_of(body: Mapping[str, Any]) -> dict[str, Problems]:
    """Return everything that is wrong with a body, by field; empty when it is sound.

    List items appear under their index as a string, as dry-validation does it:
    ``{"line_items": {"2": {"quantity_minimum": ["must be an integer"]}}}``.
    """
    problems = checks.fields(body, FIELDS, required=REQUIRED)
    for name, message in _disagreements(body):
        problems[name] = [*problems.get(name, ()), message]
    return problems


def unknown_fields_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of all fields that the reference does not name.

    Frame ignores such fields without a word, which makes a misspelt one costly.
    """
    return tuple(_unknown_paths(body))


def _line_items(value: object) -> Problems:
    if value is None or value == []:
        return [checks.FILLED]
    if not is_list(value):
        return ["must be an array"]
    return {str(index): wrong for index, item in enumerate(value) if (wrong := _line_item(item))}


def _line_item(item: object) -> Problems:
    if not is_object(item):
        return ["must be a hash"]
    problems = checks.fields(item, ITEM_FIELDS, required=("product",))
    if _sound(_QUANTITIES, item, problems) and item[_QUANTITIES[0]] > item[_QUANTITIES[1]]:
        problems["quantity_maximum"] = ["must be greater than or equal to quantity_minimum"]
    return problems


def _sound(names: tuple[str, ...], item: Mapping[str, Any], problems: Mapping[str, Any]) -> bool:
    return all(name in item and name not in problems for name in names)


def _payment_method_data(value: object) -> Problems:
    if not is_object(value):
        return checks.mapping(value)
    kind = _kind_fields(value)
    return checks.fields(value, {**_EITHER_KIND, **kind}, required=("type", *kind))


def _kind_fields(value: Mapping[str, Any]) -> Mapping[str, Rule]:
    kind = value.get("type")
    return _KINDS.get(kind, {}) if isinstance(kind, str) else {}


def _disagreements(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the fields of a body say against each other."""
    customer, account = body.get("customer"), body.get("account")
    if customer is not None and account is not None:
        yield "account", "must not be given together with customer"
    if customer is not None and body.get("customer_email") is not None:
        yield "customer_email", "must not be given together with customer"
    if customer is None and account is None and body.get("payment_method") is not None:
        yield "payment_method", "requires customer or account"


def _unknown_paths(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name in body if name not in FIELDS)
    items = body.get("line_items")
    for index, item in enumerate(items if is_list(items) else ()):
        if is_object(item):
            yield from (f"line_items.{index}.{name}" for name in item if name not in ITEM_FIELDS)
    method = body.get("payment_method_data")
    if is_object(method):
        known = {**_EITHER_KIND, **_kind_fields(method)}
        yield from (f"payment_method_data.{name}" for name in method if name not in known)


def schemas_of(checked: Mapping[str, Rule]) -> dict[str, Any]:
    """Return what JSON Schema can say of each of some fields."""
    return {name: dict(check.schema) for name, check in checked.items()}


def _kind_schema(kind: str, checked: Mapping[str, Rule]) -> dict[str, Any]:
    """Describe one kind of payment method."""
    named = {"type": {"const": kind}, "billing": dict(_EITHER_KIND["billing"].schema)}
    return {
        "type": "object",
        "properties": {**named, **schemas_of(checked)},
        "required": ["type", *checked],
    }


FIELDS: Mapping[str, Rule] = {
    "customer": checks.text,
    "account": checks.text,
    "customer_email": checks.text,
    "client_reference_id": checks.text,
    "success_url": checks.url,
    "cancel_url": checks.url,
    "expires_in": checks.integer(at_least=900, at_most=86_400),
    "phone_number_collection": checks.flag,
    "shipping_address_collection": checks.flag,
    "payment_method": checks.text,
    "payment_method_data": Rule(
        _payment_method_data,
        {"oneOf": [_kind_schema(kind, checked) for kind, checked in _KINDS.items()]},
    ),
    "line_items": Rule(
        _line_items,
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": schemas_of(ITEM_FIELDS),
                "required": ["product"],
            },
        },
    ),
}
"""The parameters of the call, all that the reference names."""

REQUIRED = ("line_items",)
"""Those of them that must be given."""
