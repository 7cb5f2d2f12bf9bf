"""The emulator's checks of single values, worded as dry-validation words them.

A check takes a value and returns what is wrong with it; an empty result means
nothing is. No message repeats any part of the value. Where something is required,
``null`` is none.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeGuard
from urllib.parse import urlsplit

from attrs import frozen

from .answers import Problems

Check: TypeAlias = Callable[[Any], Problems]
"""Returns what is wrong with a value."""

FILLED = "must be filled"
MISSING = "is missing"

_SECRET = re.compile(r"[!-~]{1,512}")
_SHORTEST_SECRET = 16
_NEVER_IN_A_URL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


@frozen
class Rule:
    """A check that the OpenAPI document can describe."""

    judge: Check
    """Returns what is wrong with a value."""
    schema: Mapping[str, Any]
    """What JSON Schema can say of it."""

    def __call__(self, value: Any) -> Problems:
        """Return what is wrong with a value."""
        return self.judge(value)


def _text(value: object) -> list[str]:
    if value is None or value == "":
        return [FILLED]
    if not isinstance(value, str):
        return ["must be a string"]
    return [] if value.isascii() or _encodable(value) else ["must be valid Unicode"]


def _flag(value: object) -> list[str]:
    if value is None:
        return [FILLED]
    return [] if isinstance(value, bool) else ["must be boolean"]


def _url(value: object) -> list[str]:
    if problems := _text(value):
        return problems
    return [] if _is_http_url(str(value)) else ["must be an HTTP(S) URL"]


def integer(at_least: int, at_most: int | None = None) -> Rule:
    """Make a check for a whole number between two bounds, both allowed."""

    def judge(value: object) -> list[str]:
        if value is None:
            return [FILLED]
        if not is_integer(value):
            return ["must be an integer"]
        if value < at_least:
            return [f"must be greater than or equal to {at_least}"]
        if at_most is not None and value > at_most:
            return [f"must be less than or equal to {at_most}"]
        return []

    bounds = {"minimum": at_least} | ({} if at_most is None else {"maximum": at_most})
    return Rule(judge, {"type": "integer", **bounds})


def one_of(*allowed: str) -> Rule:
    """Make a check for one of a few strings."""

    def judge(value: object) -> list[str]:
        if problems := _text(value):
            return problems
        return [] if value in allowed else [f"must be one of: {', '.join(allowed)}"]

    return Rule(judge, {"type": "string", "enum": list(allowed)})


def _text_or_integer(value: object) -> list[str]:
    if value is None or isinstance(value, str):
        return _text(value)
    return [] if is_integer(value) else ["must be a string or an integer"]


def _mapping(value: object) -> list[str]:
    if value is None:
        return [FILLED]
    return [] if is_object(value) else ["must be a hash"]


def fields(
    value: Mapping[str, Any], checks: Mapping[str, Check], required: Collection[str]
) -> dict[str, Problems]:
    """Check an object field by field; fields without a check are let through."""
    problems: dict[str, Problems] = {}
    for name, given in value.items():
        check = checks.get(name)
        if check is not None and (wrong := check(given)):
            problems[name] = wrong
    for name in required:
        if name not in value:
            problems[name] = [MISSING]
    return problems


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a decoded JSON value is an array."""
    return isinstance(value, list)


def is_integer(value: object) -> TypeGuard[int]:
    """Tell whether a value is a JSON integer: Python's booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    return True


def secret_fault(value: object) -> str:
    """What is wrong with a secret that signs webhooks or redirects; empty when nothing is.

    Receivers refuse what is shorter, since it can be guessed; Frame's have 32 characters.
    """
    if not isinstance(value, str) or not _SECRET.fullmatch(value):
        return "must be 1 to 512 visible ASCII characters, without whitespace"
    if value.startswith(("sk_", "pk_")):
        return "must be a secret for webhooks, and not an API key"
    if len(value.removeprefix("whsec_")) < _SHORTEST_SECRET:
        return f"must have {_SHORTEST_SECRET} characters or more, not counting whsec_"
    return ""


def _is_http_url(value: str) -> bool:
    if _NEVER_IN_A_URL.search(value):  # urlsplit would silently drop some of these
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False


text = Rule(_text, {"type": "string", "minLength": 1})
"""A string that is not empty and can be written as UTF-8."""

flag = Rule(_flag, {"type": "boolean"})
"""``true`` or ``false``; the numbers 1 and 0 are neither."""

url = Rule(_url, {"type": "string", "format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/]"})
"""An absolute HTTP or HTTPS address with a host."""

text_or_integer = Rule(
    _text_or_integer, {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}
)
"""A filled string or a whole number."""

mapping = Rule(_mapping, {"type": "object"})
"""An object, whatever is in it."""
