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
GZIP: Final = b"\x1f\x8b"
"""How gzip begins, and no text."""
_PIECE: Final = 512


class UnusableBodyError(Exception):
    """A body that can't be had; its argument says why in a few words."""

    def __init__(self, why: str, body: bytes = b"") -> None:
        super().__init__(why)
        self.body = body
        """What could be had of it, decompressed."""


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding, which was not asked for but may be there.

    Raises:
        UnusableBodyError: larger than `LARGEST_BODY`, damaged, or of an unknown encoding.
    """
    names = [name for name in encoding.lower().replace(" ", "").split(",") if name != "identity"]
    if not any(names) and body.startswith(GZIP):
        names = ["gzip"]  # a proxy has lost the header
    for name in filter(None, reversed(names)):
        body = _unpacked(body, name)
    return body


def salvage(body: bytes, encoding: str) -> bytes:
    """What can be had of a body that didn't come whole, or can't be decompressed."""
    try:
        return decompress(body, encoding)
    except UnusableBodyError as error:
        return error.body or body


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding not in _WINDOW_BITS:
        raise UnusableBodyError("it is in an encoding that was not asked for")
    bits = _WINDOW_BITS[encoding]
    if encoding == "deflate" and int.from_bytes(body[:2]) % 31:
        bits = -15  # without zlib's head, as many servers send it (RFC 9110 8.4.1.2)
    unpacker, unpacked = zlib.decompressobj(bits), bytearray()
    try:
        # In pieces: what comes before the damage may be all that there is to read.
        for at in range(0, len(body), _PIECE):
            unpacked += unpacker.decompress(body[at : at + _PIECE], LARGEST_BODY + 1)
            if len(unpacked) > LARGEST_BODY:
                raise UnusableBodyError("it is larger than 1 MiB", bytes(unpacked))
    except zlib.error:
        raise UnusableBodyError("its compression is damaged", bytes(unpacked)) from None
    if not unpacker.eof:
        raise UnusableBodyError("its compression is damaged", bytes(unpacked))
    return bytes(unpacked)


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
