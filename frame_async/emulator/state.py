"""The state file: what an emulator knows, kept over a restart.

The first line says what the file is and holds a digest of the second, which holds
everything else as JSON. No key, card or secret is in it; merchants' references and
payers' e-mail addresses are, so only its owner may read it.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from .checks import is_object

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
