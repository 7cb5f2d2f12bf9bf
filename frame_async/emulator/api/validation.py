"""The rules for the body of a payment link session request.

They are the table of the reference's page on creating a payment link session,
read here a second time and on purpose without a glance at the SDK's own models,
so that a slip in the one shows against the other. All problems are reported at
once.
"""

import re
from collections.abc import Collection, Iterator, Mapping
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

_ITEM_REQUIRED = ("product",)
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
_KIND_NAME = re.compile(r"[a-z][a-z_]{0,39}")
_EITHER_KIND: Mapping[str, Rule] = {
    "type": checks.text,
    "billing": checks.mapping,
}


def remarks_of(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what nobody outside Frame can say of a body that is taken here, in words.

    They are optional fields that are ``null``, and payment method data of another kind.
    """
    remarks = [
        f"{path} is null: taken as not given, which Frame may see otherwise"
        for path in _null_paths(body)
    ]
    if (kind := foreign_kind_of(body)) is not None:
        remarks.append(f"payment_method_data of type {kind} can't be paid with here")
    return tuple(remarks)


def given_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body without its optional fields that are ``null``."""
    given = _filled(body, REQUIRED)
    if is_list(items := given.get("line_items")):
        given["line_items"] = [
            _filled(item, _ITEM_REQUIRED) if is_object(item) else item for item in items
        ]
    if is_object(method := given.get("payment_method_data")):
        given["payment_method_data"] = _filled(method, ("type", *_kind_fields(method)))
    return given


def foreign_kind_of(body: Mapping[str, Any]) -> str | None:
    """Return the ``type`` of payment method data when it is none that the reference describes.

    Frame has others, such as ``apple_pay``. What doesn't look like a name is ``other``:
    it may be anything, a card number too.
    """
    method = body.get("payment_method_data")
    kind = method.get("type") if is_object(method) else None
    if not isinstance(kind, str) or not kind or kind in _KINDS:
        return None
    return kind if _KIND_NAME.fullmatch(kind) else "other"


def problems_of(body: Mapping[str, Any]) -> dict[str, Problems]:
    """Return everything that is wrong with a body, by field; empty when it is sound.

    An optional field that is ``null`` is not given.
    List items appear under their index as a string, as dry-validation does it:
    ``{"line_items": {"2": {"quantity_minimum": ["must be an integer"]}}}``.
    """
    body = given_of(body)
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
    problems = checks.fields(item, ITEM_FIELDS, required=_ITEM_REQUIRED)
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
    if is_object(method) and foreign_kind_of(body) is None:
        known = {**_EITHER_KIND, **_kind_fields(method)}
        yield from (f"payment_method_data.{name}" for name in method if name not in known)


def _null_paths(body: Mapping[str, Any]) -> Iterator[str]:
    yield from _nulls(body, FIELDS, REQUIRED, "")
    items = body.get("line_items")
    for index, item in enumerate(items if is_list(items) else ()):
        if is_object(item):
            yield from _nulls(item, ITEM_FIELDS, _ITEM_REQUIRED, f"line_items.{index}.")
    method = body.get("payment_method_data")
    if is_object(method):
        yield from _nulls(method, _EITHER_KIND, ("type",), "payment_method_data.")


def _nulls(
    value: Mapping[str, Any], known: Mapping[str, Rule], required: Collection[str], prefix: str
) -> Iterator[str]:
    for name, given in value.items():
        if given is None and name in known and name not in required:
            yield prefix + name


def _filled(value: Mapping[str, Any], required: Collection[str]) -> dict[str, Any]:
    return {name: v for name, v in value.items() if v is not None or name in required}


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that takes ``null`` as well."""
    if "oneOf" in schema:
        return {"oneOf": [*schema["oneOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def schemas_of(checked: Mapping[str, Rule], required: Collection[str]) -> dict[str, Any]:
    """Return what JSON Schema can say of each of some fields; those not required may be null."""
    return {
        name: dict(check.schema) if name in required else nullable(check.schema)
        for name, check in checked.items()
    }


def _kind_schema(kind: str, checked: Mapping[str, Rule]) -> dict[str, Any]:
    """Describe one kind of payment method."""
    named = {"type": {"const": kind}, "billing": nullable(_EITHER_KIND["billing"].schema)}
    return {
        "type": "object",
        "properties": {**named, **schemas_of(checked, checked)},
        "required": ["type", *checked],
    }


_OTHER_KIND: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "minLength": 1, "not": {"enum": list(_KINDS)}},
        "billing": nullable(_EITHER_KIND["billing"].schema),
    },
    "required": ["type"],
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
        {
            "oneOf": [
                *(_kind_schema(kind, checked) for kind, checked in _KINDS.items()),
                _OTHER_KIND,
            ],
        },
    ),
    "line_items": Rule(
        _line_items,
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": schemas_of(ITEM_FIELDS, _ITEM_REQUIRED),
                "required": list(_ITEM_REQUIRED),
            },
        },
    ),
}
"""The parameters of the call, all that the reference names."""

REQUIRED = ("line_items",)
"""Those of them that must be given."""
