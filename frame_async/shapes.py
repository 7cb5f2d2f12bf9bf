"""Telling the shapes of foreign data apart, in a way that type checkers follow."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

_NAME: Final = re.compile(r"[^\W\d][\w .-]{0,39}")


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping of anything to anything."""
    return isinstance(value, Mapping)


def is_listing(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or tuple of anything."""
    return isinstance(value, (list, tuple))


def name_of(value: object) -> str:
    """A foreign field name as errors show it; ``?`` for what doesn't look like one.

    A name that nobody foresaw can be anything: a line break, a megabyte, a card number.
    """
    return value if type(value) is str and _NAME.fullmatch(value) else "?"
