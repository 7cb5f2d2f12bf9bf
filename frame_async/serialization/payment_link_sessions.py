"""Payment link sessions: a request to its canonical bytes, a session out of a 2xx answer."""

import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import evolve

from frame_async.calls import Call
from frame_async.errors import Problem, UnreadableError
from frame_async.models.requests import REQUEST_FIELDS, PaymentLinkSessionRequest, shield
from frame_async.models.sessions import PaymentLinkSession, id_in, is_blank
from frame_async.serialization._converter import reader, writer
from frame_async.serialization._json import (
    NOT_AN_OBJECT,
    as_object,
    decode,
    decode_object,
    encode,
)
from frame_async.serialization._lenient import decode_answer

_WHAT: Final = "unreadable payment link session"
_NEEDED: Final = "the answer must have it"
# A string that is never closed is one token to the end, and nothing is ever read twice.
_TOKEN: Final = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_SAFE_ID: Final = re.compile(rb'"([!#-\[\]-~]{1,255})"')
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}

_write: Final = writer(PaymentLinkSessionRequest)
_read: Final = reader(PaymentLinkSession, _WHAT, ours=("call", "unread"))


def dump(request: PaymentLinkSessionRequest) -> bytes:
    """The request body: canonical JSON in UTF-8. It may hold card data: box it at once.

    Canonical means that names are sorted and fields that were not given are absent,
    so equal requests give equal bytes, in every process and on every attempt.
    """
    return encode(_body(request))


def dump_fields(request: PaymentLinkSessionRequest) -> tuple[bytes, dict[str, bytes]]:
    """What `dump` gives, and what stands for each field in a fingerprint: box both at once.

    That is the text of a text, and the canonical JSON of everything else.
    """
    given, parts = _body(request), dict[str, bytes]()
    for name, value in given.items():
        # The text of an enum is its value.
        parts[name] = str.__str__(value).encode() if isinstance(value, str) else encode(value)
    return encode(given), parts


def load_request(body: bytes) -> PaymentLinkSessionRequest:
    """The request that `dump` wrote.

    Raises:
        UnreadableError: it is no JSON object.
        ValidationError: it is none that can be made.
    """
    given, body = as_object(decode(body, "request"), "request"), b""
    added = {name: given.pop(name) for name in given.keys() - REQUEST_FIELDS}
    given = shield(given)  # a traceback shows local variables
    return PaymentLinkSessionRequest.from_dict({**given, "extra": added})


def _body(request: PaymentLinkSessionRequest) -> dict[str, Any]:
    """The fields that were given, and those that the class doesn't know."""
    return _write(request) if request.extra is None else {**_write(request), **request.extra}


def load_session(data: bytes, call: Call) -> PaymentLinkSession:
    """Read a session; `call` is the record that it will carry.

    Only ``id`` must be there. A missing field is None. So is one of a type that it can't
    have, and its path is in ``unread``. Its value as it came is in ``extra``, beside the
    fields that nobody knows.

    Raises:
        UnreadableError: no JSON object that came whole, or one without an id.
    """
    decoded = _decoded(data)
    session: PaymentLinkSession | None = None
    problems: Sequence[Problem] = ()
    try:
        session = _read(decoded, call=call, unread=())
    except UnreadableError as error:
        problems = error.problems
    if session is None:  # after the handler, so that no error has this one for its context
        session = _read_the_rest(decoded, call, problems)
    if is_blank(session.id):
        rule = "must not be blank" if session.id else "must not be empty"
        raise UnreadableError(_WHAT, [Problem("id", rule, _NEEDED)])
    return session


def _decoded(data: bytes) -> dict[str, Any]:
    """The object that an answer is, or what can be read of it."""
    try:
        return decode_object(data)
    except NOT_AN_OBJECT:
        pass
    return as_object(decode_answer(data, _WHAT), _WHAT)


def _read_the_rest(
    decoded: dict[str, Any], call: Call, problems: Sequence[Problem]
) -> PaymentLinkSession:
    """A session of what can be read, where `problems` say what can't."""
    given, raw = dict(decoded), dict[str, Any]()
    for name in {problem.path for problem in problems}.intersection(decoded):
        raw[name] = given.pop(name)
        if found := id_in(name, raw[name]):
            given[name] = found
    if "id" not in given:
        raise UnreadableError(_WHAT, [p for p in problems if p.path == "id"])
    unread = tuple(name for name in raw if name not in given)
    session = _read(given, call=call, unread=tuple(sorted(unread)))
    return evolve(session, extra={**session.extra, **raw})


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
