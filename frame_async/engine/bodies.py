"""Bodies of answers: bounded, whatever is declared or compressed."""

import re
import zlib
from typing import Final

LARGEST_BODY: Final = 1_048_576
"""Bytes of an answer that are read, decompressed ones included; a session takes about 400."""

_STATUS_LINE: Final = re.compile(
    rb"(?:\r?\n)*HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\n]*)?\r?\n"  # RFC 9112 4
)
_HEAD_END: Final = re.compile(rb"\n\r?\n")
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


def read_roughly(answer: bytes) -> tuple[int | None, bytes]:
    """The status of an answer that aiohttp refused, or that broke off, and its body as it came.

    None without a whole status line; that of an interim answer (1xx) says nothing.
    """
    at = 0
    while (line := _STATUS_LINE.match(answer, at)) is not None:
        head_end = _HEAD_END.search(answer, line.end() - 1)
        if (status := int(line[1])) >= 200:
            return status, answer[head_end.end() :] if head_end else b""
        if head_end is None:
            break
        at = head_end.end()
    return None, b""
