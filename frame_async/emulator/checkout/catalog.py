"""How many of a thing a payer may choose."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

MOST = 999_999
"""Most of one thing that can be bought, whatever its session allows."""


@frozen
class Choice:
    """How many of a line item may be bought, both bounds included."""

    least: int
    """The smallest number."""
    most: int
    """The largest number."""
    usual: int
    """What is chosen at first: one, if that is allowed."""


def choice_of(item: Mapping[str, Any]) -> Choice:
    """Return what a line item lets the payer choose.

    Without bounds it is exactly one; without a lower bound at least one, if the upper
    one allows that; without an upper bound, up to 99. Frame does not say.
    """
    given_least: int | None = item.get("quantity_minimum")
    given_most: int | None = item.get("quantity_maximum")
    if given_least is None and given_most is None:
        return Choice(1, 1, 1)
    most = max(99, given_least or 0) if given_most is None else given_most
    least = min(1, most) if given_least is None else given_least
    least, most = min(least, MOST), min(most, MOST)
    return Choice(least, most, min(max(1, least), most))
