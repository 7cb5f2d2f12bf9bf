"""Fingerprints: whether two requests are the same, and if not, which fields differ.

A fingerprint has a digest for each field, so that a conflict can be named without its
values. Payment method data is represented by 16 bits only: enough to notice nearly every
change (65,535 in 65,536), too little to find a card number by trying.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

_DIGITS: Final = 16
_FEW_DIGITS: Final = 4
_HARDLY_TOLD: Final = "payment_method_data"


def make_fingerprint(fields: Mapping[str, bytes]) -> str:
    """A fingerprint of the canonical bytes of each field."""
    digits = {_HARDLY_TOLD: _FEW_DIGITS}.get
    return ",".join(
        [
            f"{name}={sha256(fields[name]).hexdigest()[: digits(name, _DIGITS)]}"
            for name in sorted(fields)
        ]
    )


def differing_fields(one: str, other: str) -> tuple[str, ...]:
    """The names of the fields in which two fingerprints differ, in order."""
    first, second = _parsed(one), _parsed(other)
    names = sorted(first.keys() | second.keys())
    return tuple(name for name in names if first.get(name) != second.get(name))


def _parsed(fingerprint: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in fingerprint.split(",") if part)
    return {name: digest for name, _, digest in pairs}
