"""One emulator at a time on a state file: a lock that ends with its process.

The state file is replaced whenever it is saved, so a file beside it is what is locked.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from .state import StateError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class StateLock:
    """The lock of a state file."""

    def __init__(self) -> None:
        self._beside = Path()
        self._descriptor: int | None = None

    def take(self, path: Path) -> None:
        """Take the lock.

        Raises:
            StateError: Another emulator has it.
            OSError: The file beside can't be made.
        """
        target = path.resolve()  # as it is for who saves
        self._beside = target.with_name(f".{target.name}.lock")
        while self._descriptor is None:
            descriptor = os.open(self._beside, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _lock(descriptor)
            except BlockingIOError:
                os.close(descriptor)
                raise StateError(
                    f"{path} is in use by another emulator; stop that one, or keep the "
                    "state of this one in another file (--state)"
                ) from None
            except BaseException:
                os.close(descriptor)
                raise
            if _is_at(descriptor, self._beside):
                self._descriptor = descriptor
            else:  # whoever had it has just removed it
                os.close(descriptor)

    def give_back(self) -> None:
        """Let another emulator have it; does nothing if it isn't taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with suppress(OSError):  # Windows removes no file that is open
            self._beside.unlink()
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file as long as it is open.

    Raises:
        BlockingIOError: Somebody else has it.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
