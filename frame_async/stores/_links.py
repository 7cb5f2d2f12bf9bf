"""What every store on a server needs: links to it, one for each event loop and process.

A connection belongs to the event loop that opened it, and to the process. So a store has a
link for each loop; links end with their loop at the latest, and a forked child leaves its
parent's alone and makes its own.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from threading import Lock
from typing import Final, Generic, TypeVar

from attrs import define, frozen

from frame_async.errors import ConfigurationError
from frame_async.observers import logger
from frame_async.stores._sqlite_time import LEAST_DOUBTFUL

MOST_MICROSECONDS: Final = 10**15
"""About 30 years: what scripts and functions on servers can still add up exactly."""


@frozen
class Failure:
    """Why there is no answer."""

    reason: str
    did_nothing: bool = False
    """Whether the server refused to do it now, and may do it soon."""


class Link(ABC):
    """The connections of one event loop."""

    def __init__(self) -> None:
        self._end = self._last_until_the_loop_ends()
        self._closing: asyncio.Future[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was closed, or can't go on."""
        return self._closing is not None

    async def open(self) -> None:
        """Arrange to be closed with the event loop, at the latest."""
        await anext(self._end)

    async def _last_until_the_loop_ends(self) -> AsyncGenerator[None]:
        # An event loop that ends closes its asynchronous generators: the only moment at
        # which connections that were left open can still be closed properly.
        try:
            yield
        finally:
            await self._close()

    async def close(self) -> None:
        """Close the connections, once what is on its way has been answered."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._end.aclose())
        await asyncio.shield(self._closing)

    @abstractmethod
    async def _close(self) -> None:
        """Do that."""


AnyLink = TypeVar("AnyLink", bound=Link)


class Links(Generic[AnyLink]):
    """The links of one store, each made when it is first needed."""

    def __init__(self, make: Callable[[], AnyLink]) -> None:
        self._make = make
        self._process = os.getpid()
        self._lock = Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, AnyLink] = {}
        self._inherited: list[object] = []
        """The parent's, kept from the garbage: to close them here would end the parent's."""
        self.closed = False

    async def here(self) -> AnyLink:
        """The link of the event loop that runs."""
        loop = asyncio.get_running_loop()
        if self._process != os.getpid():
            self._inherited += [self._by_loop, self._lock]
            self._process, self._by_loop, self._lock = os.getpid(), {}, Lock()
        link = self._by_loop.get(loop)
        if link is None or link.has_ended:
            link = self._make()
            with self._lock:
                for ended in [other for other in self._by_loop if other.is_closed()]:
                    del self._by_loop[ended]
                self._by_loop[loop] = link
            await link.open()
        return link

    async def aclose(self) -> None:
        """Close those of all event loops, the others' in their own time."""
        self.closed = True
        if self._process != os.getpid():
            return
        here = asyncio.get_running_loop()
        for loop, link in list(self._by_loop.items()):
            if loop is here:
                await link.close()
            elif not loop.is_closed():
                asyncio.run_coroutine_threadsafe(link.close(), loop)


@define
class Memory:
    """What this process has seen of what a server remembers: which memory, and how far it was.

    A server has a name for it, drawn when there is none yet, and counts claims. Another name,
    or a count that was passed before, means that it was emptied, replaced or set back since.
    """

    name: bytes = b""
    turn: int = 0

    def note(self, name: bytes, turn: int) -> bool:
        """This is how it is now; whether it is another one than before."""
        other = self.name != name
        self.turn = turn if other else max(self.turn, turn)
        self.name = name
        return other


@define
class Doubtful:
    """For how long keys are in doubt after a store lost its memory."""

    seconds: float = LEAST_DOUBTFUL

    def note(self, keep: float) -> int:
        """Something is to be kept for so many seconds; the same in microseconds."""
        self.seconds = max(self.seconds, keep)
        return micro(keep)

    def log(self, store: object) -> None:
        """Say so."""
        logger.error(
            "%s was emptied, replaced or set back to an older copy while it was in use: for %.0f "
            "hours, each key that it doesn't know is in doubt",
            store,
            self.seconds / 3600,
        )


def checked_timeout(timeout: float) -> float:
    """The seconds that an operation may take.

    Raises:
        ConfigurationError: they make no sense.
    """
    if isinstance(timeout, bool) or not 0 < timeout <= 3600:
        raise ConfigurationError("the timeout of a store must be above 0, and 3600 s at most")
    return timeout


def without_secrets(reason: str, secrets: Iterable[str]) -> str:
    """The reason, unless it holds a secret."""
    shown = any(secret in reason for secret in secrets if secret)
    return "the reason would show the password" if shown else reason


def encoded(text: str) -> bytes:
    """Any text, lone surrogates included, as bytes that are its own."""
    return text.encode("utf-8", "surrogatepass")


def micro(seconds: float) -> int:
    """Whole microseconds, within what servers can add up exactly."""
    return min(max(0, round(seconds * 1e6)), MOST_MICROSECONDS)
