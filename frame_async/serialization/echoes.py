"""Answers that repeat what was sent: what is kept of them holds no payment data."""

import re
from collections.abc import Collection
from typing import Any, Final

from frame_async.errors import UnreadableError
from frame_async.serialization._json import dump_json
from frame_async.serialization._lenient import Raw, decode_answer
from frame_async.serialization.payment_link_sessions import salvage_id
from frame_async.shapes import is_listing, is_mapping

_HIDDEN: Final = "[hidden]"
_BETWEEN_DIGITS: Final = re.compile(r"[\s-]+")
_LONG: Final = 8  # characters: of a card's or an account's number, and no part of an id by chance


def without(secrets: Collection[str], answer: bytes) -> bytes:
    """The answer with ``[hidden]`` for values that are among `secrets`; the same if none is.

    A short one counts inside of objects and lists alone, where payment data would be, and
    only as a whole value: a security code may be part of an id, and a postal code may be the
    number of an order. An answer that can't be read leaves its id.
    """
    if not secrets:
        return answer
    try:
        found = decode_answer(answer, "the answer")
    except UnreadableError:
        kept = salvage_id(answer)
        return b"" if kept is None else dump_json({"id": kept})[:-1]
    shown = _blanked(found, secrets, depth=0)
    return answer if shown == found else dump_json(shown)


def _blanked(value: Any, secrets: Collection[str], depth: int) -> Any:
    if is_mapping(value):
        return {name: _blanked(each, secrets, depth + 1) for name, each in value.items()}
    if is_listing(value):
        return [_blanked(each, secrets, depth + 1) for each in value]
    if not isinstance(value, str | int | float):
        return value
    text, raw = str(value), isinstance(value, Raw)
    dense = _BETWEEN_DIGITS.sub("", text)
    whole = depth > 1 and text in secrets
    part = any(s in text or s in dense for s in secrets if raw or len(s) >= _LONG)
    return _HIDDEN if whole or part else value
