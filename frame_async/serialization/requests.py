"""Requests to their canonical bytes, and from mappings that somebody wrote."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from attrs import fields

from frame_async.errors import Problem, ValidationError
from frame_async.models.payment_methods import shielded
from frame_async.models.requests import REQUEST_FIELDS, LineItem, PaymentLinkSessionRequest
from frame_async.serialization import _json
from frame_async.serialization._converter import writer
from frame_async.shapes import is_listing, is_mapping, name_of

_WHAT: Final = "invalid payment link session request"
_ITEM_FIELDS: Final = tuple(a.name for a in fields(LineItem))
_write: Final = writer(PaymentLinkSessionRequest)
_PLAIN: Final = frozenset(REQUEST_FIELDS) - {"payment_method_data"}


def dump(request: PaymentLinkSessionRequest) -> bytes:
    """The request body: canonical JSON in UTF-8. It may hold card data: box it at once.

    Canonical means that names are sorted and fields that were not given are absent,
    so equal requests give equal bytes, in every process and on every attempt.
    """
    return _json.encode(_write(request))


def dump_fields(request: PaymentLinkSessionRequest) -> tuple[bytes, dict[str, bytes]]:
    """What `dump` gives, and what stands for each field in a fingerprint: box both at once.

    That is the text of a text, and the canonical JSON of everything else.
    """
    given = _write(request)
    return _json.encode(given), {
        name: value.encode() if type(value) is str else _told(value)
        for name, value in given.items()
    }


def _told(value: object) -> bytes:
    """What stands for anything but a plain text; the text of an enum is its value."""
    return str.__str__(value).encode() if isinstance(value, str) else _json.encode(value)


def load_request(given: Mapping[str, Any]) -> PaymentLinkSessionRequest:
    """Build a request from a mapping with the field names of Frame's reference.

    Line items are mappings or `LineItem`; None means "not given", in line items too. Unknown
    names are refused, because Frame would silently ignore them (seen with ``account_id``
    instead of ``account``).

    Raises:
        ValidationError: everything that is wrong, at once, each with its path.
    """
    if not is_mapping(given):
        kind = type(given).__name__
        del given  # what follows raises, and a traceback shows local variables
        raise ValidationError(_WHAT, [Problem("", f"must be a mapping, not {kind}", "pass a dict")])
    # An unknown name may be payment_method_data, misspelt.
    known: dict[str, Any] = {
        name: value if name in _PLAIN else shielded(value) for name, value in given.items()
    }
    del given  # the same
    problems = _unknown(known, REQUEST_FIELDS, "")
    if problems:
        known = {name: value for name, value in known.items() if name in REQUEST_FIELDS}
    items = known.get("line_items")
    known["line_items"], found = _items(() if items is None else items)
    problems += found
    try:
        request = PaymentLinkSessionRequest(**known)
    except ValidationError as error:
        problems += error.problems
    else:
        if not problems:
            return request
    raise ValidationError(_WHAT, problems)


def _items(value: Any) -> tuple[Any, list[Problem]]:
    if not is_listing(value):
        return value, []
    problems: list[Problem] = []
    for index, item in enumerate(value):
        problems += _unknown(item, _ITEM_FIELDS, f"line_items[{index}].")
    return [_item(item) for item in value], problems


def _item(value: Any) -> Any:
    if not is_mapping(value):
        return value  # the request refuses it by name, and checks what is in the others
    known: dict[str, Any] = {"product": None}
    known.update((name, value[name]) for name in _ITEM_FIELDS if name in value)
    return LineItem(**known)


def _unknown(value: Any, names: Sequence[str], prefix: str) -> list[Problem]:
    strangers = [name for name in value if name not in names] if is_mapping(value) else []
    return [_stranger(name, names, prefix) for name in strangers]


def _stranger(name: object, names: Sequence[str], prefix: str) -> Problem:
    shown = name_of(name)
    close = get_close_matches(shown, names, n=1)
    fix = f"did you mean {close[0]}?" if close else f"use one of {', '.join(names)}"
    return Problem(f"{prefix}{shown}", "is not a field of the request", fix)
