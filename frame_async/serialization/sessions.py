"""Reading a session out of the body of a 2xx answer."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, cast, get_args

from attrs import fields

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.sessions import PaymentLinkSession
from frame_async.serialization import _json
from frame_async.serialization._converter import structure
from frame_async.serialization._values import MismatchError, moment

_WHAT: Final = "unreadable payment link session"
# A string that is never closed is one token to the end, and nothing is ever read twice.
# Both as text, which `re` compiles with the first body that is cut.
_TOKEN: Final = rb'(?s)"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]+'
_SAFE_ID: Final = rb'"([!#-\[\]-~]{1,255})"'
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_OURS: Final = ("extra", "call")
_WIRE: Final = tuple(a.name for a in fields(PaymentLinkSession) if a.name not in _OURS)
_EXPIRES, _CREATED, _UPDATED = map(_WIRE.index, ("expires", "created", "updated"))
_contains: Final[Callable[[frozenset[type], object], bool]] = frozenset[type].__contains__
_NOTHING: Final = (None,) * len(_WIRE)


def _good_types(annotation: Any) -> frozenset[type]:
    """The types of decoded JSON that a field takes, and no subclass of theirs."""
    good = set(get_args(annotation) or (annotation,))
    return frozenset(good - {datetime} | {int, float, str} if datetime in good else good)


_GOOD: Final = tuple(_good_types(getattr(fields(PaymentLinkSession), name).type) for name in _WIRE)


def load_session(data: bytes, call: Call) -> PaymentLinkSession:
    """Read a session; `call` is the record that it will carry.

    Unknown fields go to ``extra``, missing ones are None, only ``id`` must be there.

    Raises:
        UnreadableError: not a JSON object, or a value of a wrong type, with its path.
    """
    decoded = _json.decode(data, _WHAT)
    if type(decoded) is not dict:
        found = type(decoded).__name__
        raise UnreadableError(_WHAT, [Problem("", f"is a JSON {found}", "expected an object")])
    fields_found = cast("dict[str, Any]", decoded)
    values: list[Any] = list(map(fields_found.pop, _WIRE, _NOTHING))
    try:
        if all(map(_contains, _GOOD, map(type, values))):
            _read_times(values)
            known = dict(zip(_WIRE, values, strict=True))
            return PaymentLinkSession(**known, extra=fields_found, call=call)
    except MismatchError:
        pass
    raise UnreadableError(_WHAT, _problems_of(data))


def _read_times(values: list[Any]) -> None:
    expires, created, updated = values[_EXPIRES], values[_CREATED], values[_UPDATED]
    values[_EXPIRES] = None if expires is None else moment(expires)
    values[_CREATED] = None if created is None else moment(created)
    if updated is not None:
        # A new session was changed last when it was created.
        same = updated == created and type(updated) is type(created)
        values[_UPDATED] = values[_CREATED] if same else moment(updated)


def _problems_of(data: bytes) -> Sequence[Problem]:
    """Everything that is wrong with a session; the quick way only knows that something is."""
    try:
        structure(_json.decode(data, _WHAT), PaymentLinkSession, _WHAT)
    except UnreadableError as error:
        return error.problems
    return [Problem("", "can't be read", "the answer must be a session")]


def salvage_id(data: bytes) -> str | None:
    """The session's id out of a body that is cut or otherwise unreadable, if it is there.

    Only the ``id`` of the outermost object counts, and only when it is complete.
    """
    depth, before = 0, (b"", b"")
    for token in map(re.Match[bytes].group, re.finditer(_TOKEN, data)):
        if before == (b'"id"', b":") and depth == 1:
            found = re.fullmatch(_SAFE_ID, token)
            return found.group(1).decode() if found else None
        depth += _DEEPER.get(token, 0)
        before = (before[1], token)
    return None
