"""What can be wrong with the file, in words: the fault, and how to fix it."""

import sqlite3
from pathlib import Path
from typing import Final

from attrs import frozen

from frame_async.errors import StoreError


@frozen
class FileFault:
    """Why the file can't be used."""

    what: str
    """What is wrong, in words that follow the path."""
    fix: str
    """What to do about it."""

    def error_for(self, path: Path) -> StoreError:
        """The error for one caller."""
        return StoreError(f"the store {path} {self.what} ({self.fix})")


class FaultError(Exception):
    """A fault on its way to the callers, each of whom gets a `StoreError`."""

    def __init__(self, fault: FileFault) -> None:
        super().__init__(fault.what)
        self.fault = fault


DAMAGED: Final = FileFault(
    "is damaged", "restore it from a backup, or move it away: what it remembered is then lost"
)
FOREIGN: Final = FileFault("belongs to another application", "choose another path")
FOLDER: Final = FileFault("is a folder", "name a file in it")
SPECIAL: Final = FileFault("is not a regular file", "choose another path")
LINKED: Final = FileFault(
    "has a second name (a hard link), with which its journal could be missed", "remove that link"
)
REPLACED: Final = FileFault(
    "was deleted, emptied, replaced or restored while it was in use",
    "put the file that was in use back; until then, keys that it may have known are in doubt",
)
UNSUITABLE: Final = FileFault(
    "can't be written safely where it is", "choose a path on a disk of this machine"
)
OTHER_MACHINE: Final = FileFault(
    "is written by another machine", "give each machine a store of its own"
)
CLOSED: Final = FileFault("is closed", "make another one")

# SQLite's primary result codes (https://sqlite.org/rescode.html).
_FAULTS: Final = {
    sqlite3.SQLITE_PERM: FileFault("may not be opened", "give this user access to it"),
    sqlite3.SQLITE_BUSY: FileFault(
        "is locked by another process", "end what holds the file, then try again"
    ),
    sqlite3.SQLITE_READONLY: FileFault(
        "can't be written", "make the file, its folder and its disk writable for this user"
    ),
    sqlite3.SQLITE_IOERR: FileFault(
        "can't be read or written", "look at the disk, and at limits on the size of files"
    ),
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: FileFault("has no room left on its disk", "free some space"),
    sqlite3.SQLITE_CANTOPEN: FileFault(
        "can't be opened", "make the file and its folder readable and writable for this user"
    ),
    sqlite3.SQLITE_NOTADB: FileFault("is not an SQLite file", "choose another path"),
}


def fault_of(error: sqlite3.Error) -> FileFault:
    """The fault behind an error of SQLite's, whose own words are kept."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    fault = _FAULTS.get(code & 0xFF, FileFault("can't answer", "see what SQLite says"))
    return FileFault(f"{fault.what}: {error}", fault.fix)


def fault_of_system(error: OSError) -> FileFault:
    """The fault behind an error of the operating system's."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileFault("is in a folder that doesn't exist", "create the folder")
    return FileFault(f"can't be opened: {error.strerror}", "choose another path, or fix this one")
