"""How much memory the emulator's keepings take: about, and quickly."""

from collections.abc import Mapping, Sequence
from sys import getsizeof

KEPT = 64 << 20
"""Most bytes of sessions, of the ledger and of what else grows with requests: 64 MiB each."""


def weight(value: object) -> int:
    """Return about how many bytes of memory a JSON value takes."""
    match value:
        case str() | bytes():
            return getsizeof(value)
        case Mapping():
            return 100 + sum(len(name) + weight(each) for name, each in value.items())
        case Sequence():
            return 60 + sum(map(weight, value))
        case _:
            return 30
