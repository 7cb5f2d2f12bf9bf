"""The rules that request fields obey; each says what is wrong and how to fix it.

A rule is a function of a value that gives ``None`` when all is well, else a pair
``(rule, fix)``. No rule ever puts the value of a string into words: it may be secret.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from frame_async.errors import Problem
from frame_async.shapes import is_listing, is_mapping, name_of

Broken = tuple[str, str] | None
Rule = Callable[[Any], Broken]

LARGEST_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""

TOO_MUCH: Final = object()
"""Stands in a copied value for what lies too deep or would make it too large."""

_LEAVE_OUT = "give one, or leave the field out"
_HALF = re.compile(r"[\ud800-\udfff]")
_EMAIL = re.compile(r"\S+@[^\s@]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORM = "use the form https://host/path"


def text(value: object) -> Broken:
    """A string with at least one character that isn't a space, encodable as UTF-8."""
    if not isinstance(value, str):
        return f"must be a string, not {kind(value)}", "pass a str"
    if not str.strip(value):
        return "must not be empty", _LEAVE_OUT
    return encodable(value)


def encodable(value: str) -> Broken:
    """A string without half surrogate pairs, which have no UTF-8 form."""
    if _HALF.search(value):
        return "has a character that UTF-8 can't carry", "remove the lone surrogate"
    return None


def flag(value: object) -> Broken:
    """True or False, and nothing that merely looks like it."""
    if not isinstance(value, bool):
        return f"must be a boolean, not {kind(value)}", "pass True or False"
    return None


def integer(lowest: int, highest: int = LARGEST_INTEGER, unit: str = "") -> Rule:
    """A whole number in bounds; a boolean is none, nor is 3.0."""

    def rule(value: object) -> Broken:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be an integer, not {kind(value)}", "pass an int"
        if not lowest <= value <= highest:
            above = value > highest or highest < LARGEST_INTEGER
            bounds = f"from {lowest} to {highest}" if above else f"{lowest} or more"
            return f"must be {bounds}{unit}", f"pass an int {bounds}"
        return None

    return rule


def email(value: object) -> Broken:
    """Something before and something after an ``@``; the rest is the server's to judge."""
    broken = text(value)
    if broken is None and isinstance(value, str) and not _EMAIL.fullmatch(value):
        return "must be an e-mail address", "use the form name@domain"
    return broken


def web_url(value: object) -> Broken:
    """An absolute HTTP(S) URL (Frame reference: ``success_url``, ``cancel_url``).

    It has a host, and no space or control character. Whatever else is in it is sent as given.
    """
    broken = text(value)
    if broken is not None or not isinstance(value, str):
        return broken
    plain = str.__str__(value)  # str() of a str enum is its member's name
    if _CONTROL.search(plain):
        return "has a control character", "take it out, or percent-encode it"
    if any(map(str.isspace, plain)):
        return "has a space", "percent-encode it, such as %20"
    return _address(plain)


def _address(value: str) -> Broken:
    try:
        parts: SplitResult = urlsplit(value)
    except ValueError:
        return "has a host that can't be read", _FORM
    if parts.scheme not in ("http", "https") or not value.partition(":")[2].startswith("//"):
        return "must be an absolute HTTP(S) URL", _FORM
    if not parts.hostname:
        return "has no host", _FORM
    try:
        fits = parts.port != 0
    except ValueError:
        fits = False
    return (
        None if fits else ("has a port that isn't from 1 to 65535", "correct it, or leave it out")
    )


def json_value(value: object, path: str) -> Iterator[Problem]:
    """Every place in a copied value that JSON can't carry, or not without loss."""
    if value is TOO_MUCH:
        yield Problem(path, "is nested too deeply, or too large", "keep it small and flat")
    elif is_mapping(value):
        yield from _json_object(value, path)
    elif is_listing(value):
        for index, item in enumerate(value):
            yield from json_value(item, f"{path}[{index}]")
    elif (broken := _json_scalar(value)) is not None:
        yield Problem(path, *broken)


def _json_object(value: Mapping[Any, Any], path: str) -> Iterator[Problem]:
    for name, item in value.items():
        if type(name) is not str or encodable(name):
            yield Problem(path, "has a name that isn't a plain string", "use string keys")
        else:
            yield from json_value(item, f"{path}.{name_of(name)}")


def _json_scalar(value: object) -> Broken:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int):
        return integer(-LARGEST_INTEGER)(value)
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return None
    named = value if type(value) is float else kind(value)
    return f"must be a JSON value, not {named}", "use str, int, float, bool, list or dict"


def kind(value: object) -> str:
    """What a value is, in a user's words."""
    return "None" if value is None else type(value).__name__
