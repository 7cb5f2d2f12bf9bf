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


def plain(value: Any) -> Any:
    """A copy made of JSON's own types: a string of a subclass as the ``str`` that it stands for.

    Whatever JSON has no type for comes as it is.
    """
    if is_mapping(value):
        return {plain(name): plain(item) for name, item in value.items()}
    if is_listing(value):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return int(value) if isinstance(value, int) else float(value)


def name_of(value: object) -> str:
    """A foreign field name as errors show it; ``?`` for what doesn't look like one.

    A name that nobody foresaw can be anything: a line break, a megabyte, a card number.
    """
    return value if type(value) is str and _NAME.fullmatch(value) else "?"
