"""Reading what came in signed: the body of a webhook, the payload of a redirect.

Stricter than for answers: two readers of one signed text must never see two meanings.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from frame_async.errors import Problem, UnreadableError
from frame_async.models.events import Event
from frame_async.models.redirects import Redirect
from frame_async.serialization import _json
from frame_async.serialization._converter import reader
from frame_async.serialization._lenient import decode_signed
from frame_async.shapes import is_listing, is_mapping

DEEPEST: Final = 64
"""Levels of objects and lists in one another, at most."""

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_ID: Final = re.compile(r"[!-~]{1,255}")
_LARGEST: Final = 2**63 - 1
_EVENT: Final = "unreadable event"
_REDIRECT: Final = "unreadable redirect"
_read_event: Final = reader(Event, _EVENT)
_read_redirect: Final = reader(Redirect, _REDIRECT)
_NOTHING: Final = "nothing is coerced"


def load_event(data: bytes) -> Event:
    """Read the body of a webhook.

    Unknown fields go to ``extra``, missing ones are None; ``id`` and ``type`` must be there.

    Raises:
        UnreadableError: not one plain JSON object, or a value of a wrong type, with its path.
    """
    decoded = _object(data, _EVENT)
    if decoded.get("created") is None and "created_at" in decoded:
        decoded["created"] = decoded.pop("created_at")
    if decoded.get("data") is None:
        decoded.pop("data", None)
    event = _read_event(decoded)
    problems = [*_id_problems(event.id)]
    if not event.type:
        problems.append(Problem("type", "must not be empty", _NOTHING))
    if not is_mapping(event.data):
        found = type(event.data).__name__
        problems.append(Problem("data", f"must be an object, not {found}", _NOTHING))
    if problems:
        raise UnreadableError(_EVENT, problems)
    return event


def _id_problems(event_id: str) -> list[Problem]:
    if _ID.fullmatch(event_id):
        return []
    return [Problem("id", "must be 1 to 255 visible ASCII characters", _NOTHING)]


def load_redirect(data: bytes) -> Redirect:
    """Read the payload of a redirect; ``session`` and ``result`` must be there.

    Raises:
        UnreadableError: not one plain JSON object, or a value of a wrong type, with its path.
    """
    return _read_redirect(_object(data, _REDIRECT))


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


def _object(data: bytes, what: str) -> dict[str, Any]:
    decoded = _json.as_object(decode_signed(data, what), what)
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
