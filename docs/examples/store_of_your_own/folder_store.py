"""A store in a folder that processes share: a small file for each key and each window."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import attrs

from frame_async import Lane, RateLimit
from frame_async.errors import ConfigurationError, StoreError
from frame_async.stores import Claim, Window, rules

T = TypeVar("T")


def open_folder(url: str) -> "FolderStore":
    """The store of a URL such as folder:///var/lib/shop/store."""
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment or not parts.path:
        raise ConfigurationError("a folder store is folder:///path, and nothing more")
    return FolderStore(unquote(parts.path))


class FolderStore:
    shared = True

    def __init__(self, folder: str, now: Callable[[], float] = time.time) -> None:
        self._folder = Path(folder)
        self._now = now
        self._closed = False

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        return await self._key(
            key,
            lambda found, now: rules.claim(found, key, fingerprint, token_hex(8), now, lease),
        )

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        change = rules.Change(state=rules.State.CLAIMED, seconds=lease, doubts=doubts)
        return await self._change(key, token, change)

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        change = rules.Change(state=rules.State.DONE, seconds=keep, body=body)
        return await self._change(key, token, change)

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        change = rules.Change(state=rules.State.DOUBT, seconds=keep, doubts=doubts)
        return await self._change(key, token, change)

    async def release(self, key: str, token: str) -> bool:
        def release(path: Path) -> bool:
            mine = rules.owned(load_key(path), token)
            if mine is not None:
                path.unlink()
            return mine is not None

        return await self._run(f"key {key}", release)

    async def _change(self, key: str, token: str, change: rules.Change) -> bool:
        return await self._key(key, lambda found, now: rules.change(found, token, change, now))

    async def _key(
        self,
        key: str,
        decide: Callable[[rules.KeyRecord | None, float], tuple[T, rules.KeyRecord | None]],
    ) -> T:
        def run(path: Path) -> T:
            answer, record = decide(load_key(path), self._now())
            if record is not None:
                write(path, {**attrs.asdict(record), "body": record.body.decode("latin-1")})
            return answer

        return await self._run(f"key {key}", run)

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        return await self._window(
            window, lambda rolling, now: rolling.enter(token, lane, now, hold, pace=pace)
        )

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        return await self._window(
            window, lambda rolling, now: rolling.opens_in(lane, ahead, now, pace=pace)
        )

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        return await self._window(
            window, lambda rolling, now: rolling.force(token, lane, now, hold)
        )

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        await self._window(window, lambda rolling, now: rolling.leave(token, now, sent=sent))

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        await self._window(window, lambda rolling, now: rolling.refuse(token, now, pause))

    async def _window(self, window: Window, work: Callable[[rules.RollingWindow, float], T]) -> T:
        def run(path: Path) -> T:
            rolling = load_window(path, window.limit)
            answer = work(rolling, self._now())
            write(
                path,
                attrs.asdict(rolling, filter=lambda field, _: field.init or field.name == "known"),
            )
            return answer

        return await self._run(f"window {window.name}", run)

    async def aclose(self) -> None:
        self._closed = True

    async def _run(self, name: str, work: Callable[[Path], T]) -> T:
        if self._closed:
            raise StoreError("the folder store is closed")
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        # A thread goes on when its caller is cancelled, so nothing is left half done.
        return await asyncio.to_thread(self._locked, self._folder / digest, work)

    def _locked(self, path: Path, work: Callable[[Path], T]) -> T:
        try:
            with locked(self._folder / "lock"):
                return work(path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"the folder store can't answer: {error}") from None


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else reads or writes meanwhile; a process that dies lets go."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a file whole or not at all; on the disk when this returns."""
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def load_key(path: Path) -> rules.KeyRecord | None:
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    record |= {"state": rules.State(record["state"]), "body": record["body"].encode("latin-1")}
    return rules.KeyRecord(**record)


def load_window(path: Path, limit: RateLimit) -> rules.RollingWindow:
    if not path.exists():
        return rules.RollingWindow(limit)
    found = json.loads(path.read_text())
    known, before = found.pop("known"), RateLimit(**found.pop("limit"))
    slots = {token: rules.SlotState(**slot) for token, slot in found.pop("slots").items()}
    rolling = rules.RollingWindow(before, slots=slots, **found)
    rolling.known = known
    if before != limit:
        rolling.resize(limit)
    return rolling
