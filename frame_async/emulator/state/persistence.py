"""The state file: what an emulator knows, kept while it runs and over a restart.

The first line says what the file is and holds a digest of the second, which holds
everything else as JSON. No key, card or secret is in it; merchants' references and
payers' e-mail addresses are, so only its owner may read it.

One emulator at a time uses a state file. It is replaced whenever it is saved, so a file
beside it is what is locked; the lock ends with its process.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from attrs import define, field

from frame_async.emulator.api.checks import is_object

from .emulator_state import EmulatorState

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOGGER = logging.getLogger("frame_async.emulator")
_EVERY = 5.0
_SHARE = 20  # at most a twentieth of the time goes into saving
_FORMAT = "frame_async emulator state"
_VERSION = 1


class StateError(ValueError):
    """A file is no state file that can be used; the message names it."""


def load_state(path: Path, take: Callable[[Mapping[str, Any]], None]) -> bool:
    """Read a state file and have its values taken; tell whether there was one.

    Raises:
        StateError: The file is something else, damaged, or of another version.
        OSError: It can't be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    values = _values(path, content)
    try:
        take(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise StateError(f"{path} is damaged: its values are not those of an emulator") from None
    return True


def save_state(path: Path, values: Mapping[str, Any]) -> None:
    """Write a state file: whole or not at all, for nobody else to read.

    Raises:
        OSError: It can't be written. What was there before is as it was.
    """
    payload = json.dumps(values, separators=(",", ":")).encode("ascii")
    head = {"format": _FORMAT, "version": _VERSION, "sha256": sha256(payload).hexdigest()}
    target = path.resolve()  # a link stays a link
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):  # left behind by a process of this number that was killed
        draft.unlink()
    try:
        _write(draft, json.dumps(head).encode("ascii") + b"\n" + payload + b"\n")
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _settle(target.parent)


def _values(path: Path, content: bytes) -> Mapping[str, Any]:
    head, _, rest = content.partition(b"\n")
    about = _decoded(head)
    if not is_object(about) or about.get("format") != _FORMAT:
        raise StateError(f"{path} is no state file of the emulator; it was left as it is")
    if about.get("version") != _VERSION:
        raise StateError(f"{path} is a state file of another version of the emulator")
    payload = rest.removesuffix(b"\n")
    if sha256(payload).hexdigest() != about.get("sha256"):
        raise StateError(f"{path} is damaged: it is not what was written; it was left as it is")
    values = _decoded(payload)
    if not is_object(values):
        raise StateError(f"{path} is damaged: its values are not those of an emulator")
    return values


def _decoded(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Make a rename last over a power cut, where a folder can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


@define(eq=False)
class Persistence:
    """Loads the state once, and saves it whenever something happened."""

    file: str | PathLike[str]
    """The state file."""
    state: EmulatorState
    """What it keeps."""
    every: float = _EVERY
    """Seconds between looking whether something happened. What happened since is lost
    when the process is killed."""
    _lock: StateLock = field(init=False, factory=StateLock)
    _loaded: bool = field(init=False, default=False)
    _saved: tuple[int, int, float] | None = field(init=False, default=None)
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    @property
    def path(self) -> Path:
        """Where the state file is."""
        return Path(self.file)

    async def begin(self) -> None:
        """Load what there is, the first time, and begin to save.

        Raises:
            StateError: The file can't be used, or another emulator uses it.
            OSError: It can't be read, or its folder not be written to.
        """
        self._lock.take(self.path)
        try:
            await self._load()
        except BaseException:
            self._lock.give_back()
            raise
        self._task = asyncio.create_task(self._save_regularly())

    async def _load(self) -> None:
        if self._loaded:
            return
        if await asyncio.to_thread(load_state, self.path, self.state.load):
            self._saved = self._mark()
        else:
            await self._save()  # so that a path that can't be is known now
        self._loaded = True

    async def end(self) -> None:
        """Save for the last time.

        Raises:
            OSError: It can't be written.
        """
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        try:
            await self._save()  # bank payments end without a request that would tell
        finally:
            self._lock.give_back()

    async def _save_regularly(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(self.every, took * _SHARE))
            if self._mark() == self._saved:
                continue
            begun = time.monotonic()
            try:
                await self._save()
            except OSError as error:
                _LOGGER.warning("the state file %s was not written: %s", self.path, error.strerror)
            took = time.monotonic() - begun

    async def _save(self) -> None:
        mark = self._mark()
        values = self.state.dump()
        saving = asyncio.ensure_future(asyncio.to_thread(save_state, self.path, values))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await saving  # two writers at a time would be one too many
            raise
        self._saved = mark

    def _mark(self) -> tuple[int, int, float]:
        """Return what changes with everything that happens."""
        state = self.state
        return state.ledger.count, state.sessions.count, state.clock.offset
