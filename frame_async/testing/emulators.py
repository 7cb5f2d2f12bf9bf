"""An emulator for tests: in a thread of its own, with assertions that tell what was seen."""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from frame_async.emulator import Emulator, LedgerEntry
from frame_async.testing.clock import VirtualClock
from frame_async.testing.loops import LoopThread
from frame_async.testing.sightings import of_sessions, of_throttling, of_unknown_fields

T = TypeVar("T")


class EmulatorThread:
    """An `Emulator` on a free port that works whatever event loop a test has, or has none.

    Use it as ``with EmulatorThread() as emulator:``, or get it from the pytest fixture
    ``frame_emulator``.

    Args:
        clock: the emulator's time, a `VirtualClock` for instance; by default the time of day.
        thread: a running thread to share; by default, one of its own.
        options: those of `Emulator`.
    """

    def __init__(
        self,
        *,
        clock: VirtualClock | None = None,
        thread: LoopThread | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock
        """The clock that it was given."""
        self.api_key = f"sk_sandbox_{token_hex(12)}"
        """A key that no other emulator's tests use: what a process remembers of one test
        never answers another."""
        if clock is not None:
            options = {"clock": clock.time} | options
        self.emulator = Emulator(**options)
        """The emulator itself, which lives in another thread: touch it in `call` only."""
        self._owns_thread = thread is None
        self._thread = LoopThread() if thread is None else thread

    def start(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: it is running already.
            OSError: the address can't be had.
        """
        if self._owns_thread:
            self._thread.start()
        try:
            self.call(lambda emulator: emulator.start())
        except BaseException:
            self._end_thread()
            raise

    def stop(self) -> None:
        """Stop listening, and close all connections; what was seen stays known."""
        try:
            self.call(lambda emulator: emulator.aclose())
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        if self._owns_thread:
            self._thread.stop()

    @overload
    def call(self, function: Callable[[Emulator], Awaitable[T]]) -> T: ...
    @overload
    def call(self, function: Callable[[Emulator], T]) -> T: ...
    def call(self, function: Callable[[Emulator], Any]) -> Any:
        """Do something with the emulator in its thread, and wait for the result.

        What the function returns is awaited there, if it can be. The test's own event loop
        stands still meanwhile: where the emulator waits for the test, use `acall`.
        """
        return self._thread.call(lambda: function(self.emulator))

    @overload
    async def acall(self, function: Callable[[Emulator], Awaitable[T]]) -> T: ...
    @overload
    async def acall(self, function: Callable[[Emulator], T]) -> T: ...
    async def acall(self, function: Callable[[Emulator], Any]) -> Any:
        """As `call`, while the test's event loop goes on."""
        return await asyncio.wrap_future(self._thread.submit(lambda: function(self.emulator)))

    @property
    def base_url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:41234``, without ``/v1``."""
        return self.call(lambda emulator: emulator.base_url)

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Every request so far, oldest first."""
        return self.call(lambda emulator: emulator.ledger)

    def created(self, reference: str | None = None) -> tuple[str, ...]:
        """The ids of all sessions made, or of those with one ``client_reference_id``."""
        return self.call(lambda emulator: emulator.created(reference))

    def assert_created_once(self, reference: str) -> str:
        """One session has that ``client_reference_id``; return its id.

        Raises:
            AssertionError: none or several have; the message tells what was seen.
        """
        __tracebackhide__ = True
        created = self.created(reference)
        if len(created) != 1:
            raise AssertionError(of_sessions("one session", reference, created, self.ledger))
        return created[0]

    def assert_not_created(self, reference: str | None = None) -> None:
        """No session has that ``client_reference_id``; without one: there is none at all.

        Raises:
            AssertionError: there is one; the message tells what was seen.
        """
        __tracebackhide__ = True
        if created := self.created(reference):
            raise AssertionError(of_sessions("no session", reference, created, self.ledger))

    def assert_no_429(self) -> None:
        """No request was refused for coming too fast.

        Raises:
            AssertionError: one was; the message tells which.
        """
        __tracebackhide__ = True
        if message := of_throttling(self.ledger):
            raise AssertionError(message)

    def assert_no_unknown_fields(self) -> None:
        """No request had a field that Frame would have ignored in silence.

        Raises:
            AssertionError: one had; the message tells which, and which field.
        """
        __tracebackhide__ = True
        if message := of_unknown_fields(self.ledger):
            raise AssertionError(message)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<EmulatorThread {vars(self).get('emulator')!r}>"
