"""The value of a field that nobody gave."""

from enum import Enum
from typing import Final, Literal

from attrs import AttrsInstance, fields


class NotGiven(Enum):
    """The type of `NOT_GIVEN`; it has no other value.

    An enum member, so that type checkers narrow it and pickling keeps its identity.
    """

    NOT_GIVEN = "not given"
    """The one value."""

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""Stands for a field that is left out of the request body. It is not ``None``."""


def shown(instance: AttrsInstance) -> str:
    """A repr of the fields that were given, without those that never show."""
    pairs = (
        (a.name, getattr(instance, a.name, NOT_GIVEN)) for a in fields(type(instance)) if a.repr
    )
    listed = ", ".join(f"{name}={value!r}" for name, value in pairs if value is not NOT_GIVEN)
    return f"{type(instance).__name__}({listed})"
