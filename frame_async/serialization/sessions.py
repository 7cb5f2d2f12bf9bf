"""Reading a session out of the body of a 2xx answer."""

import re
from typing import Final

from frame_async.calls import Call
from frame_async.models.sessions import PaymentLinkSession
from frame_async.serialization import _json
from frame_async.serialization._converter import reader

_WHAT: Final = "unreadable payment link session"
_read: Final = reader(PaymentLinkSession, _WHAT)
# A string that is never closed is one token to the end, and nothing is ever read twice.
_TOKEN: Final = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+"?|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_SAFE_ID: Final = re.compile(rb'"([!#-\[\]-~]{1,255})"')
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


def load_session(data: bytes, call: Call) -> PaymentLinkSession:
    """Read a session; `call` is the record that it will carry.

    Unknown fields go to ``extra``, missing ones are None, only ``id`` must be there.

    Raises:
        UnreadableError: not a JSON object, or a value of a wrong type, with its path.
    """
    return _read(_json.decode_object(data, _WHAT), call=call)


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
