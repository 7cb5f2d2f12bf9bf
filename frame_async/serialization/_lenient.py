"""Reading JSON that must not be lost: what was signed, and what says that something exists.

A text that breaks a rule of JSON is read as far as it can be. What can't be is a `Raw`.
"""

import json
import re
from typing import Any, Final, cast

from frame_async.errors import UnreadableError
from frame_async.serialization._json import decode
from frame_async.shapes import is_listing

# Both halves of a pair as they are; one half, however it is written; any other escape as it is,
# so that the text \\ud83d, a backslash and five characters, is none.
_HALF: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2}|[\ud800-\udfff])|(?s:\\.)"
)
_ANY_HALF: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(r'(?s)"(?:[^"\\]|\\.)*+"?|[{}\[\],]|[^{}\[\],"]++')
_OPENING: Final = re.compile(r"\s*+\{")
_BETWEEN: Final = re.compile(r"[\s,]*+")
_SPACE: Final = re.compile(r"\s*+")
_COLON: Final = re.compile(r"\s*+:\s*+")
_DEEPER: Final = {"{": 1, "[": 1, "}": -1, "]": -1}
_MOST_ALIKE: Final = 16
_MOST_DIGITS: Final = 4_300
"""Python makes no integer of more (its documentation of `sys.set_int_max_str_digits`)."""
_MOST_RAW: Final = 1_000
"""Values that nobody can read, in one object; each takes time that grows with the text."""


class Raw(str):
    """A piece of JSON that can't be read, as it was written; of no type that a field has."""

    __slots__ = ()


def decode_signed(data: bytes, what: str) -> Any:
    """Decode strictly, but for half of a surrogate pair, which is read as U+FFFD.

    JavaScript writes one when it cuts a text in the middle of an emoji, and JSON allows it
    (RFC 8259, section 8.2).

    Raises:
        UnreadableError: it is not JSON.
    """
    try:
        return decode(data, what)
    except UnreadableError:
        try:
            text = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            text = ""
        repaired = _repaired(text)
        if repaired == text:
            raise
    decoded = decode(repaired.encode(), what)  # strictly
    try:
        return json.loads(text, object_pairs_hook=_told_apart)
    except (ValueError, RecursionError):
        return decoded


def _told_apart(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names stay as many as they are when their halves are read as U+FFFD.

    A name that is there twice as it was written is there once afterwards, and so is one of a
    great many that differ in nothing but halves: whoever counts the names sees it.
    """
    given = dict(pairs)
    found: dict[str, Any] = {name: None for name in given if not _ANY_HALF.search(name)}
    for name, value in given.items():
        whole = name
        if name not in found:
            whole = _ANY_HALF.sub("\ufffd", name)
            for _ in range(_MOST_ALIKE):
                whole += "\ufffd" if whole in found else ""
        found[whole] = _without_halves(value)
    return found


def _without_halves(value: Any) -> Any:
    """A text or a list of what is inside of it; an object has none any more."""
    if isinstance(value, str):
        return _ANY_HALF.sub("\ufffd", value)
    return [_without_halves(each) for each in value] if is_listing(value) else value


def decode_answer(data: bytes, what: str) -> Any:
    """Decode an answer: strictly, or else an object's values one by one, as far as they go.

    So NaN, control characters, integers of any length, UTF-16, a byte-order mark and whatever
    comes after the object cost nothing, and deep nesting costs the value that is so deep.

    Raises:
        UnreadableError: it is neither JSON nor an object that came whole.
    """
    try:
        return decode(data, what)
    except UnreadableError:
        try:
            return _members(_repaired(_text(data)))
        except (ValueError, RecursionError):
            pass
        raise


def _text(data: bytes) -> str:
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return data.decode(encoding, "replace")


def _repaired(text: str) -> str:
    return _HALF.sub(lambda found: "\ufffd" if found.group(1) else found.group(), text)


def _integer(digits: str) -> int | Raw:
    return int(digits) if len(digits) <= _MOST_DIGITS else Raw(digits)


_decoder: Final = json.JSONDecoder(strict=False, parse_int=cast("Any", _integer))


def _members(text: str) -> dict[str, Any]:
    """The names and values of the object that the text begins with.

    Raises:
        ValueError: it begins with none that came whole.
    """
    found: dict[str, Any] = {}
    at, raw = _skip(_OPENING, text, 0), 0
    while not text.startswith("}", at := _skip(_BETWEEN, text, at)):
        name, at = _decoder.raw_decode(text, at)
        value, at = _value(text, _skip(_COLON, text, at))
        raw += isinstance(value, Raw)
        if type(name) is not str or raw > _MOST_RAW:
            raise ValueError
        found[name] = value
    return found


def _value(text: str, at: int) -> tuple[Any, int]:
    """A value, and where it ends."""
    try:
        value, end = _decoder.raw_decode(text, at)
        if text.startswith((",", "}"), _skip(_SPACE, text, end)):
            return value, end
    except (ValueError, RecursionError):
        pass
    end = _end(text, at)
    return Raw(text[at:end].rstrip()), end


def _end(text: str, at: int) -> int:
    """Where a value ends that can't be read: before the comma or brace that follows it."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        if depth == 0 and token.group() in (",", "}"):
            return token.start()
        depth += _DEEPER.get(token.group(), 0)
    raise ValueError


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError
    return match.end()
