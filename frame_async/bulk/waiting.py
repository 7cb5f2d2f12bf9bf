"""What a run waits for: the rate window, as the store knows it, or an answer."""

import time
from collections.abc import Callable
from typing import Any, cast

from attrs import field, frozen

from frame_async.calls import Attempt
from frame_async.observers import Observer
from frame_async.stores import Store

_TOO_MANY = 429
_BROKEN = 500


class WindowWatch:
    """Notes what a store answers to whoever asks for a place in the rate window.

    The store counts what other runs and hosts have sent, and this run before it was
    interrupted; a run by itself doesn't know.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next_at = 0.0

    def watched(self, store: Store) -> Store:
        """The store, with an eye on its window."""
        return cast("Store", _Watched(store, self))

    def heard(self, wait: float) -> None:
        """The store has said how many seconds it takes until there may be a place."""
        self._next_at = self._now() + wait if wait > 0 else 0.0

    @property
    def next_in(self) -> float:
        """Seconds until there may be a place; 0.0 where nobody waits for one."""
        return max(0.0, self._next_at - self._now())


class AnswerWatch(Observer):
    """Notes why the last attempt had no answer that counts, and when the next one is due."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.why = ""
        """Empty as long as there are answers."""
        self._now = now
        self._next_at = 0.0

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:  # noqa: ARG002
        """An attempt is over."""
        self.why = _reason(attempt)

    def waiting(self, key: str, seconds: float, why: str) -> None:  # noqa: ARG002
        """A call sleeps before its next attempt."""
        self._next_at = self._now() + seconds

    @property
    def next_in(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self._next_at - self._now())


def _reason(attempt: Attempt) -> str:
    status = attempt.status or 0
    if status == _TOO_MANY:
        return "Frame takes no more: HTTP 429"
    if 0 < status < _BROKEN:
        return ""
    return f"Frame doesn't answer: {reason_of(attempt)}"


def reason_of(attempt: Attempt) -> str:
    """Why an attempt had no answer that counts, in a few words."""
    return attempt.reason.removeprefix("no connection: ") or f"HTTP {attempt.status}"


@frozen
class Waits:
    """What a run may be waiting for."""

    window: WindowWatch = field(factory=WindowWatch)
    answers: AnswerWatch = field(factory=AnswerWatch)


class _Watched:
    """A store whose every method is that of another."""

    def __init__(self, store: Store, watch: WindowWatch) -> None:
        self._store = store
        self._watch = watch

    def __repr__(self) -> str:
        return repr(self._store)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def enter(self, *given: Any, **named: Any) -> float:
        wait = await self._store.enter(*given, **named)
        self._watch.heard(wait)
        return wait
