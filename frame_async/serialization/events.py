"""Reading what came in signed: the body of a webhook, the payload of a redirect.

Stricter than for answers: two readers of one signed text must never see two meanings.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import fields

from frame_async.errors import Problem, UnreadableError
from frame_async.models.events import Event
from frame_async.models.redirects import Redirect
from frame_async.serialization import _json
from frame_async.serialization._converter import structure
from frame_async.shapes import is_listing, is_mapping

T = TypeVar("T", Event, Redirect)

DEEPEST: Final = 64
"""Levels of objects and lists in one another, at most."""

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_ID: Final = re.compile(r"[!-~]{1,255}")
_LARGEST: Final = 2**63 - 1


def load_event(data: bytes) -> Event:
    """Read the body of a webhook.

    Unknown fields go to ``extra``, missing ones are None; ``id`` and ``type`` must be there.

    Raises:
        UnreadableError: not one plain JSON object, or a value of a wrong type, with its path.
    """
    what = "unreadable event"
    decoded = dict(_object(data, what))
    if decoded.get("created") is None and "created_at" in decoded:
        decoded["created"] = decoded.pop("created_at")
    if decoded.get("data") is None:
        decoded.pop("data", None)
    event = _structured(decoded, Event, what)
    problems = [*_id_problems(event.id)]
    if not event.type:
        problems.append(Problem("type", "must not be empty", _NOTHING))
    if not is_mapping(event.data):
        found = type(event.data).__name__
        problems.append(Problem("data", f"must be an object, not {found}", _NOTHING))
    if problems:
        raise UnreadableError(what, problems)
    return event


_NOTHING: Final = "nothing is coerced"


def _id_problems(event_id: str) -> list[Problem]:
    if _ID.fullmatch(event_id):
        return []
    return [Problem("id", "must be 1 to 255 visible ASCII characters", _NOTHING)]


def load_redirect(data: bytes) -> Redirect:
    """Read the payload of a redirect; ``session`` and ``result`` must be there.

    Raises:
        UnreadableError: not one plain JSON object, or a value of a wrong type, with its path.
    """
    what = "unreadable redirect"
    return _structured(_object(data, what), Redirect, what)


def dump_redirect(redirect: Redirect) -> bytes:
    """The payload of a redirect: compact JSON in UTF-8, times in whole epoch seconds."""
    issued = redirect.issued_at
    return _json.encode(
        {
            **redirect.extra,
            "session": redirect.session,
            "client_reference_id": redirect.client_reference_id,
            "result": redirect.result,
            "payment_status": redirect.payment_status,
            "issued_at": None if issued is None else int(issued.timestamp()),
        }
    )


def _object(data: bytes, what: str) -> Mapping[str, Any]:
    decoded = _json.decode(data, what)
    if not is_mapping(decoded):
        found = type(decoded).__name__
        raise UnreadableError(what, [Problem("", f"is a JSON {found}", "expected an object")])
    if fault := _fault(decoded, data):
        raise UnreadableError(what, [Problem("", fault, "expected one plain JSON object")])
    return decoded


def _fault(decoded: object, data: bytes) -> str:
    """What readers might read differently: in one phrase, or empty when there is nothing."""
    names, level = 0, [decoded]
    for _ in range(DEEPEST):
        names += sum(len(value) for value in level if is_mapping(value))
        if any(type(value) is int and abs(value) > _LARGEST for value in level):
            return "has an integer of more than 64 bits"
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            # Each name has one colon; one that is there twice was read once.
            twice = _STRING.sub(b"", data).count(b":") != names
            return "has a name twice in one object" if twice else ""
    return "is nested too deeply"


def _inside(value: object) -> Iterable[Any]:
    if is_mapping(value):
        return value.values()
    return value if is_listing(value) else ()


def _structured(decoded: Mapping[str, Any], cls: type[T], what: str) -> T:
    wire = {a.name for a in fields(cls)} - {"extra"}
    known = {name: value for name, value in decoded.items() if name in wire}
    extra = {name: value for name, value in decoded.items() if name not in wire}
    return structure(known | {"extra": extra}, cls, what)
