"""Telling the shapes of foreign data apart, in a way that type checkers follow."""

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping of anything to anything."""
    return isinstance(value, Mapping)


def is_listing(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or tuple of anything."""
    return isinstance(value, list | tuple)
