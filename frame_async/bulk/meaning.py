"""What a cell or value of a file means, whoever wrote it: read once, the same everywhere after."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from frame_async.shapes import is_listing, is_mapping

_INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u200e\u200f"
"""What nobody sees, and Python doesn't take for white space."""


_BREAKS: Final = re.compile(r"\s*[\r\n\t]\s*")


def trimmed(text: str) -> str:
    """The text without the white space around it, and whatever else nobody sees there."""
    if text.isascii():
        return text.strip()
    before = None
    while text != before:
        before, text = text, text.strip().strip(_INVISIBLE)
    return text


def on_one_line(name: str) -> str:
    """A column's name with a blank for each line break in it, as spreadsheets have them."""
    return _BREAKS.sub(" ", trimmed(name))


def meant(value: Any) -> Any:
    """The value as it is meant: text trimmed, whole floats as integers, NaN as nothing.

    ``None`` is "not given" at every depth. Numbers of numpy and `decimal.Decimal` are numbers.
    """
    if isinstance(value, str):
        return trimmed(value)
    if is_mapping(value):
        return _members(value)
    if is_listing(value):
        return [meant(item) for item in value if item is not None]
    if not isinstance(value, bool | int | None) and hasattr(value, "item"):
        value = value.item()  # a number of numpy
    if isinstance(value, float | Decimal):
        return _number(value)
    return value


def _members(value: Mapping[Any, Any]) -> dict[Any, Any]:
    found = {name: meant(item) for name, item in value.items()}
    return {name: item for name, item in found.items() if item is not None}


def _number(value: float | Decimal) -> Any:
    if math.isnan(value):
        return None
    return int(value) if math.isfinite(value) and value == int(value) else value
