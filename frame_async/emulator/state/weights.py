"""How much memory the emulator's keepings take: about, and quickly."""

from collections.abc import Mapping, Sequence
from sys import getsizeof
from typing import cast

KEPT = 64 << 20
"""Most bytes of sessions, of the ledger and of what else grows with requests: 64 MiB each."""


def weight(value: object) -> int:
    """Return about how many bytes of memory a JSON value takes."""
    if isinstance(value, str | bytes):
        return getsizeof(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return 100 + sum(len(name) + weight(each) for name, each in members.items())
    if isinstance(value, Sequence):
        return 60 + sum(map(weight, cast("Sequence[object]", value)))
    return 30
