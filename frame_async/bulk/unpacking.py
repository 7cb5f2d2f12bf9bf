"""From the bytes of a file to UTF-8: compressed ones unpacked, other encodings decoded."""

import codecs
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from typing import Any, BinaryIO, Final, cast

from frame_async.errors import ConfigurationError, Problem, ValidationError

UTF_8: Final = "utf-8"
WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How UTF-16 begins."""
UTF_16: Final = Problem("", "is UTF-16", "save the file as UTF-8, or say --encoding utf-16")
NOT_UTF_8: Final = (
    "has bytes that are not UTF-8",
    "save the file as UTF-8, or name its encoding, such as --encoding windows-1252",
)
"""A rule and its fix."""
ZIP: Final = b"PK\x03\x04"
_BEGINNING: Final = 128
"""Bytes among which no text has a NUL."""
_PIECE: Final = 1 << 13
"""Bytes to unpack at a time: they may become a thousand times as many."""
_ZSTD_PIECE: Final = 1 << 8
"""The same of Zstandard, where they may become thirty thousand times as many."""
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP_ONLY: Final = 31
"""What zlib calls a window of 32 KiB with the head of gzip (zlib manual, inflateInit2)."""

_FOREIGN: Final = (
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"RIFF", "an image or a recording"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (ZIP, "a ZIP archive, perhaps a spreadsheet of LibreOffice (.ods)"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet (.xls), or one with a password"),
    (b"SQLite format 3", "a database"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),  # EPS with a preview
    (b"\x7fELF", "a program"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    *((b"\x80" + bytes([version]), "a pickle of Python") for version in range(2, 6)),
    (b"<", "HTML or XML"),
)


def foreign(head: bytes) -> str:
    """What a file is that has no rows for us, by how it begins; empty when it may have some."""
    plain = head.removeprefix(codecs.BOM_UTF8).lstrip()
    known = next((what for begins, what in _FOREIGN if plain.startswith(begins)), "")
    binary = b"\0" in head[:_BEGINNING] and not is_wide(head)
    return known or ("an image, a program or another binary file" if binary else "")


def is_wide(head: bytes) -> bool:
    """Whether text that begins so is UTF-16, with a mark or without."""
    return head.startswith(WIDE_MARKS) or head[:2].count(0) == 1


def is_packed(file: BinaryIO) -> bool:
    """Whether a file is compressed, with gzip or Zstandard."""
    file.seek(0)
    return file.read(4).startswith((_GZIP, _ZSTD))


def unpacked(file: BinaryIO, encoding: str) -> BinaryIO:
    """The file from its beginning, unpacked if it is compressed, in UTF-8.

    Raises:
        ConfigurationError: it needs the extra ``zstd``.
        ValidationError: from every read: what is compressed is damaged or cut, or it isn't in
            that encoding.
    """
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    pieces: Iterator[bytes] | None = None
    if head.startswith(_GZIP):
        packed = _pieces(file, _PIECE)
        pieces = _unpacked(packed, lambda: zlib.decompressobj(_GZIP_ONLY), zlib.error)
    elif head.startswith(_ZSTD):
        begin, damage = _zstandard()
        pieces = _unpacked(_pieces(file, _ZSTD_PIECE), begin, damage)
    if encoding != UTF_8:
        pieces = _decoded(pieces or _pieces(file, _PIECE), encoding)
    # A reader of bytes is all that the readers of rows need.
    return file if pieces is None else cast("BinaryIO", io.BufferedReader(_Stream(pieces)))


def _zstandard() -> tuple[Callable[[], Any], type[Exception]]:
    """What begins to unpack, and what it raises: of Python itself from 3.14 on."""
    with suppress(ImportError):
        own: Any = import_module("compression.zstd")
        return own.ZstdDecompressor, own.ZstdError
    try:
        zstd: Any = import_module("zstandard")
    except ImportError:
        raise ConfigurationError(
            "reading .zst needs an extra: pip install 'frame-async[zstd]', or unpack the file first"
        ) from None
    return lambda: zstd.ZstdDecompressor().decompressobj(), zstd.ZstdError


class _Stream(io.RawIOBase):
    """A file of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            try:
                self._held = next(self._pieces)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    while piece := file.read(size):
        yield piece
        del piece  # the next read may raise, and a traceback shows variables


def _unpacked(
    pieces: Iterator[bytes], begin: Callable[[], Any], damage: type[Exception]
) -> Iterator[bytes]:
    unpacking = begin()
    for piece in pieces:
        while piece:
            if unpacking.eof:  # another one follows, as after `cat a.gz b.gz`
                unpacking = begin()
            try:
                plain = unpacking.decompress(piece)
            except damage:
                break
            piece = unpacking.unused_data  # noqa: PLW2901
            yield plain
            del plain
        if piece:
            del piece
            raise _unusable("is damaged where it is compressed", "make or copy it again")
    if not unpacking.eof:
        raise _unusable("is compressed, and its end is missing", "make or copy it again")


def _decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for piece in chain(pieces, [b""]):
        last = not piece
        plain: bytes | None
        try:
            plain = decoder.decode(piece, last).encode()
        except UnicodeError:
            plain = None  # and raise outside, for the error has what was read
        del piece
        if plain is None:
            raise _unusable(f"has bytes that are not {encoding}", "name its encoding: --encoding")
        yield plain
        del plain


def _unusable(rule: str, fix: str) -> ValidationError:
    return ValidationError("unusable file", [Problem("", rule, fix)])
