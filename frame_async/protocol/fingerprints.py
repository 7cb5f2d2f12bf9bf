"""Fingerprints: whether two requests are the same, and if not, which fields differ.

A fingerprint is one digest of the request, and a checksum for each field so that a conflict
can be named without its values. Payment method data is represented by 16 bits only: enough
to notice nearly every change (65,535 in 65,536), too little to find a card number by trying.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final
from zlib import crc32

_DIGITS: Final = 8
_IN_FEW_BITS: Final = "payment_method_data"
_NEVER_IN_UTF_8: Final = b"\xff"
"""Between values, so that nothing can move from one to the next."""


def make_fingerprint(fields: Mapping[str, bytes]) -> str:
    """A fingerprint of what stands for each field, in UTF-8: a digest, names, checksums."""
    parts = dict(sorted(fields.items()))
    if _IN_FEW_BITS in parts:
        few_bits = blake2b(parts[_IN_FEW_BITS], digest_size=2).hexdigest()
        parts[_IN_FEW_BITS] = few_bits.encode()
    digest = blake2b(_NEVER_IN_UTF_8.join(parts.values()), digest_size=16).hexdigest()
    checksums = "".join(map("{:08x}".format, map(crc32, parts.values())))
    return f"{digest}:{' '.join(parts)}:{checksums}"


def differing_fields(one: str, other: str) -> tuple[str, ...]:
    """The names of the fields in which two fingerprints differ, in order."""
    first, second = _parsed(one), _parsed(other)
    names = sorted(first.keys() | second.keys())
    return tuple(name for name in names if first.get(name) != second.get(name))


def _parsed(fingerprint: str) -> dict[str, str]:
    """The checksum of each field."""
    _, _, parts = fingerprint.partition(":")
    names, _, digits = parts.partition(":")
    sums = (digits[at : at + _DIGITS] for at in range(0, len(digits), _DIGITS))
    return dict(zip(names.split(), sums, strict=True))
