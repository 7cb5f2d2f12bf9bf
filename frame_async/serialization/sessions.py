"""Reading a session out of the body of a 2xx answer."""

import re
from typing import Any, Final

from attrs import fields
from cattrs.errors import ClassValidationError

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.sessions import PaymentLinkSession
from frame_async.serialization import _json
from frame_async.serialization._converter import (
    MismatchError,
    converter,
    describe,
    structure_session,
)

_WHAT: Final = "unreadable payment link session"
# A string that is never closed is one token to the end, and nothing is ever read twice.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_SAFE_ID: Final = re.compile(rb'"([!#-\[\]-~]{1,255})"')
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_OURS: Final = {"extra", "call"}
_WIRE: Final = {a.name for a in fields(PaymentLinkSession)} - _OURS


def load_session(data: bytes, call: Call) -> PaymentLinkSession:
    """Read a session; `call` is the record that it will carry.

    Unknown fields go to ``extra``, missing ones are None, only ``id`` must be there.

    Raises:
        UnreadableError: not a JSON object, or a value of a wrong type, with its path.
    """
    decoded = _json.decode(data, _WHAT)
    if not isinstance(decoded, dict):
        found = type(decoded).__name__
        raise UnreadableError(_WHAT, [Problem("", f"is a JSON {found}", "expected an object")])
    return _structured(decoded, call)


def _structured(decoded: dict[str, Any], call: Call) -> PaymentLinkSession:
    known, extra = decoded, dict[str, Any]()
    if not decoded.keys() <= _WIRE:
        known = {name: value for name, value in decoded.items() if name in _WIRE}
        extra = {name: value for name, value in decoded.items() if name not in _WIRE}
    known["extra"], known["call"] = extra, call
    try:
        return structure_session(known, PaymentLinkSession)
    except (MismatchError, KeyError):
        pass  # once more, to find everything that is wrong
    try:
        return converter.structure(known, PaymentLinkSession)
    except ClassValidationError as error:
        problems = describe(error)
    raise UnreadableError(_WHAT, problems)


def salvage_id(data: bytes) -> str | None:
    """The session's id out of a body that is cut or otherwise unreadable, if it is there.

    Only the ``id`` of the outermost object counts, and only when it is complete.
    """
    depth, before = 0, (b"", b"")
    for token in map(re.Match[bytes].group, _TOKEN.finditer(data)):
        if before == (b'"id"', b":") and depth == 1:
            found = _SAFE_ID.fullmatch(token)
            return found.group(1).decode() if found else None
        depth += _DEEPER.get(token, 0)
        before = (before[1], token)
    return None
