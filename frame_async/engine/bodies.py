"""Bodies of answers: bounded, whatever is declared or compressed."""

import zlib
from typing import Final

LARGEST_BODY: Final = 1_048_576
"""Bytes of an answer that are read, decompressed ones included; a session takes about 400."""

_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class UnusableBodyError(Exception):
    """A body that can't be had; its argument says why in a few words."""


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding, which was not asked for but may be there.

    Raises:
        UnusableBodyError: larger than `LARGEST_BODY`, damaged, or of an unknown encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise UnusableBodyError("it is in an encoding that was not asked for")
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        unpacked = unpacker.decompress(body, LARGEST_BODY + 1)
    except zlib.error:
        unpacked = None
    if unpacked is None or (not unpacker.eof and len(unpacked) <= LARGEST_BODY):
        raise UnusableBodyError("its compression is damaged")
    if len(unpacked) > LARGEST_BODY:
        raise UnusableBodyError("it is larger than 1 MiB")
    return unpacked
