"""A file that must stay as it was first read: what was checked is what is sent."""

import io
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

_CHUNK: Final = 1 << 20
"""Bytes that share a digest."""


class RunFileError(Exception):
    """A file of a run was changed meanwhile, or another run has it: this run must stop."""


class PinnedFile(io.RawIOBase):
    """A file that is read more than once, and has to say the same each time.

    Each chunk is compared with what it was when it was read first, before any of it is
    handed out; and its size, time of change and inode, with what they were on opening.

    Raises:
        RunFileError: from every read: the file isn't what it was.
        OSError: it can't be opened or read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._first = os.fstat(self._file.fileno())
        self._digests: dict[int, bytes] = {}
        self._at = 0
        self._chunk = (-1, b"")

    def check(self) -> None:
        """See that the file is still the one that was opened.

        One that was only deleted is: what was opened can still be read.

        Raises:
            RunFileError: it was written to, or another one took its place.
        """
        now = os.fstat(self._file.fileno())
        if now.st_size != self._first.st_size:
            self._fail(f"its size, from {self._first.st_size:,} to {now.st_size:,} bytes")
        if now.st_mtime_ns != self._first.st_mtime_ns:
            self._fail("its time of change")
        try:
            named = self._path.stat()
        except OSError:
            return
        if not os.path.samestat(named, self._first):
            self._fail("another file has taken its place")

    def readinto(self, buffer: Any) -> int:
        """Read what is next, all of it from one chunk; 0 at the end."""
        index, start = divmod(self._at, _CHUNK)
        if self._chunk[0] != index:
            self._chunk = (index, self._load(index))
        piece = self._chunk[1][start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _load(self, index: int) -> bytes:
        self.check()
        self._file.seek(index * _CHUNK)
        pieces, left = list[bytes](), _CHUNK
        while left and (piece := self._file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        chunk = b"".join(pieces)
        digest = blake2b(chunk, digest_size=16).digest()
        if self._digests.setdefault(index, digest) != digest:
            self._fail(f"its content, behind byte {index * _CHUNK:,}")
        return chunk

    def _fail(self, what: str) -> None:
        raise RunFileError(
            f"the input {self._path} was changed during the run ({what}): nothing more is sent "
            "from it (run the same command again to have the new file checked)"
        )

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._first.st_size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The place where the next byte is read."""
        return self._at

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()
