"""Reading a session out of the body of a 2xx answer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.sessions import PaymentLinkSession
from frame_async.serialization._converter import reader
from frame_async.serialization._json import as_object
from frame_async.serialization._lenient import decode_answer
from frame_async.shapes import is_mapping

_WHAT: Final = "unreadable payment link session"
_NEEDED: Final = "the answer must have it"
_REFERENCES: Final = frozenset(("id", "customer", "account", "payment_method"))
"""What Frame expands elsewhere (its ChargeIntent and Invoice)."""
_read: Final = reader(PaymentLinkSession, _WHAT)
# A string that is never closed is one token to the end, and nothing is ever read twice.
_TOKEN: Final = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_SAFE_ID: Final = re.compile(rb'"([!#-\[\]-~]{1,255})"')
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def load_session(data: bytes, call: Call) -> PaymentLinkSession:
    """Read a session; `call` is the record that it will carry.

    Only ``id`` must be there. A missing field is None. So is one of a type that it can't
    have, and its path is in ``unread``. Its value as it came is in ``extra``, beside the
    fields that nobody knows.

    Raises:
        UnreadableError: no JSON object that came whole, or one without an id.
    """
    decoded = as_object(decode_answer(data, _WHAT), _WHAT)
    session: PaymentLinkSession | None = None
    problems: Sequence[Problem] = ()
    try:
        session = _read(decoded, call=call, unread=())
    except UnreadableError as error:
        problems = error.problems
    if session is None:  # after the handler, so that no error has this one for its context
        session = _read_the_rest(decoded, call, problems)
    if not any(char.isprintable() and not char.isspace() for char in session.id):
        rule = "must not be blank" if session.id else "must not be empty"
        raise UnreadableError(_WHAT, [Problem("id", rule, _NEEDED)])
    return session


def _read_the_rest(
    decoded: Mapping[str, Any], call: Call, problems: Sequence[Problem]
) -> PaymentLinkSession:
    """A session of what can be read, where `problems` say what can't."""
    given, raw = dict(decoded), dict[str, Any]()
    for name in {problem.path for problem in problems}.intersection(decoded):
        raw[name] = given.pop(name)
        if found := _id_in(name, raw[name]):
            given[name] = found
    if "id" not in given:
        raise UnreadableError(_WHAT, [p for p in problems if p.path == "id"])
    unread = tuple(name for name in raw if name not in given)
    session = _read(given, call=call, unread=tuple(sorted(unread)))
    return evolve(session, extra={**session.extra, **raw})


def _id_in(name: str, value: object) -> str | None:
    """The id in an object that came in place of it; a session's own may be a number."""
    if name == "id" and type(value) is int:
        return str(value)
    found = value.get("id") if is_mapping(value) and name in _REFERENCES else None
    return found if type(found) is str and found.strip() else None


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
