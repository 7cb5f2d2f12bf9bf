"""Many calls: a bounded number in flight, one result for each input, errors as values.

Inputs are taken as the results are: at most ``max_in_flight`` inputs are between the
source and the consumer at any time, so memory doesn't grow with either.
"""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sized,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, cast

from attrs import define, field, frozen

from frame_async.calls import Call
from frame_async.errors import CallError, FrameError, WrongModeError
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.dispositions import disposition_of

if TYPE_CHECKING:  # an item without a context has any; Python itself has defaults from 3.13
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

_BETWEEN_DISMISSALS: Final = 0.05
"""Seconds; a call that comes to wait when its run was stopped is sent away by the next."""

_IN_A_ROW: Final = 8
"""Results to hand over before the calls begin that they made room for. Were calls to begin all
at once, their objects would come and go in such numbers that the garbage collector runs for
each flight, which costs more than all else here."""


def _shown(request: object) -> str:
    """A request, which hides what is secret in it; of anything else, its type alone."""
    right = isinstance(request, PaymentLinkSessionRequest)
    return repr(request) if right else f"<{type(request).__name__}>"


@frozen
class BulkItem(Generic[T]):
    """One input of a bulk run."""

    request: PaymentLinkSessionRequest = field(repr=_shown)
    """What is asked for."""
    idempotency_key: str | None = None
    """Your own key for it, as in ``create``; without one, nothing is remembered."""
    context: T = field(default=cast("T", None), eq=False)
    """Whatever you want to find again in the result, such as a row number."""


@frozen
class BulkResult(Generic[T]):
    """What became of one input: a session, or an error."""

    index: int
    """Which input it was, counted from 0."""
    item: BulkItem[T]
    """The input; a bare request comes back inside an item."""
    session: PaymentLinkSession | None = None
    """The session, when there is one to hand over."""
    error: FrameError | None = None
    """Why there is none; exactly one of ``session`` and ``error`` is given."""

    @property
    def call(self) -> Call:
        """The record of the call; an empty one when the input was found wrong before."""
        if self.session is not None:
            return self.session.call
        return self.error.call if isinstance(self.error, CallError) else Call()


Create = Callable[[BulkItem[Any]], Awaitable[PaymentLinkSession]]
"""Makes one call."""


class BulkResults(Generic[T]):
    """The results of ``create_many``, as they come: iterate with ``async for``.

    Leaving the loop early ends the run: calls in flight are cancelled, and the books
    say what is known of each. To wait until that is done, use ``async with`` or `aclose`;
    to let what is in flight finish, call `stop` and go on iterating.
    """

    def __init__(self, pool: "CallPool") -> None:
        self._pool = pool
        self._stream = _stream(pool)

    def __aiter__(self) -> AsyncIterator[BulkResult[T]]:
        return self

    def __anext__(self) -> Awaitable[BulkResult[T]]:
        return anext(self._stream)

    def stop(self, grace: float | None = None) -> None:
        """Take no further input; what waits for the rate window comes back as not sent.

        What is on the wire goes on, and its results still come. What isn't finished after
        ``grace`` seconds, if given, is cancelled: it has no result, its record is in the store.
        """
        self._pool.stop()
        if grace is not None:
            self._pool.cancel_after(grace)

    async def aclose(self) -> None:
        """End the run now; returns when every call in flight has left its record."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


# Apart from the class: were the generator and its owner to know each other, a loop that is
# left early would end the run only when the garbage collector comes by.
async def _stream(pool: "CallPool") -> AsyncGenerator[BulkResult[Any]]:
    pool.start()
    try:
        # What is there is taken without a coroutine, which costs more than the taking.
        while (result := pool.taken() or await pool.take()) is not None:
            yield result
    finally:
        await pool.end()
    if pool.failure is not None:
        raise pool.failure


@define(kw_only=True, eq=False, repr=False)
class CallPool:
    """Workers that take inputs, make calls, and put results where `take` finds them."""

    source: "Source"
    create: Create
    workers: int
    """Calls in flight, and results not yet taken, at most."""
    ordered: bool
    """Whether results come in the order of the inputs."""
    dismiss: Callable[[], None]
    """Sends away whoever of this run waits for the rate window."""
    livemode: bool | None = None
    """What every session must say of its mode; None for whatever it says."""
    failure: BaseException | None = field(init=False, default=None)
    """Why the run ended before its source did."""
    _tasks: set[asyncio.Task[None]] = field(init=False, factory=set[asyncio.Task[None]])
    _credits: int = field(init=False, default=0)
    """How many more inputs may be taken."""
    _idle: deque[asyncio.Future[None]] = field(init=False, factory=deque["asyncio.Future[None]"])
    """Workers that wait for a credit: a semaphore costs three times as much."""
    _ready: deque[BulkResult[Any]] = field(init=False, factory=deque[BulkResult[Any]])
    _early: dict[int, BulkResult[Any]] = field(init=False, factory=dict[int, BulkResult[Any]])
    """Results that wait for those before them, when ordered."""
    _next: int = field(init=False, default=0)
    _in_a_row: int = field(init=False, default=0)
    """Results that were taken since the event loop had its turn."""
    _news: asyncio.Future[None] | None = field(init=False, default=None)
    _timers: list[asyncio.TimerHandle] = field(init=False, factory=list[asyncio.TimerHandle])
    _stopped: bool = field(init=False, default=False)
    _cancelled: bool = field(init=False, default=False)

    def start(self) -> None:
        """Set the first worker to work; whoever finds an input calls another one."""
        self._credits = self.workers
        self._hire()

    def _hire(self) -> None:
        task = asyncio.create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def stop(self) -> None:
        """No further input."""
        self.source.close()
        if self._stopped:
            return
        self._stopped = True
        self._rouse()
        self._dismiss()

    def _dismiss(self) -> None:
        """Send away who waits, and, as long as any call is under way, who comes to wait."""
        self.dismiss()
        if self._tasks:
            self._later(_BETWEEN_DISMISSALS, self._dismiss)

    def cancel_after(self, seconds: float) -> None:
        """Cancel what is still in flight then."""
        self._later(seconds, self._cancel)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time()
        self._timers = [timer for timer in self._timers if timer.when() > now]
        self._timers.append(asyncio.get_running_loop().call_later(seconds, act))

    def _cancel(self) -> None:
        self._cancelled = True
        for task in self._tasks:
            task.cancel()

    async def take(self) -> BulkResult[Any] | None:
        """The next result; None when there will be none."""
        self._in_a_row = 0
        if self._ready and self._tasks:
            await asyncio.sleep(0)
        while not self._ready and self._tasks:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if not self._ready:
            self._ready.extend(self._early.pop(index) for index in sorted(self._early))
        return self.taken()

    def taken(self) -> BulkResult[Any] | None:
        """A result that is there; None when there is none now, or to let calls begin first."""
        if not self._ready or self._in_a_row == _IN_A_ROW:
            return None
        self._in_a_row += 1
        self._credit()
        return self._ready.popleft()

    def _credit(self) -> None:
        """One more input may be taken, by whoever has waited longest."""
        while self._idle:
            waiting = self._idle.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._credits += 1

    def _rouse(self) -> None:
        """The source is closed: who waits for a credit finds that there is nothing to take."""
        while self._idle:
            self._credit()

    async def end(self) -> None:
        """Cancel what is still in flight, and wait until it has left its record."""
        self.source.close()
        for timer in self._timers:
            timer.cancel()
        self._cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _work(self) -> None:
        source = self.source
        while not source.closed:
            if self._credits:
                self._credits -= 1
            else:
                waiting = asyncio.get_running_loop().create_future()
                self._idle.append(waiting)
                await waiting
            try:
                found = source.next() if source.plain else await source.take()
            except Exception as error:  # noqa: BLE001  # the input's own, for the consumer
                self._fail(error)
                return
            if found is None:
                self._rouse()
                return
            if len(self._tasks) < self.workers:
                self._hire()
            self._put(await self._result(*found))

    async def _result(self, index: int, given: object) -> BulkResult[Any]:
        item: BulkItem[Any] = given if isinstance(given, BulkItem) else BulkItem(given)  # type: ignore[arg-type]
        del given  # a traceback shows local variables
        try:
            session = await self.create(item)
        except FrameError as error:
            if disposition_of(error).stops_run:
                self._fail(error)
            return BulkResult(index, item, error=error)
        if self.livemode is not None and session.livemode is (not self.livemode):
            self._fail(WrongModeError(session.id, livemode=not self.livemode))
        return BulkResult(index, item, session)

    def _fail(self, error: BaseException) -> None:
        """Remember the first failure; what is in flight still comes to its end."""
        if self.failure is None:
            self.failure = error
        self.stop()

    def _put(self, result: BulkResult[Any]) -> None:
        if not self.ordered:
            self._ready.append(result)
        else:
            self._early[result.index] = result
            while self._next in self._early:
                self._ready.append(self._early.pop(self._next))
                self._next += 1
        self._tell()

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                self._fail(error)  # a defect of ours: never silence
        elif not self._cancelled:
            # The input was cancelled by somebody else: a run that is cut short says so.
            self._fail(asyncio.CancelledError("the input of the run was cancelled"))
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


@frozen
class Counted(Generic[T]):
    """Inputs of which it is known how many there are."""

    items: AsyncIterable[T]
    count: int

    def __aiter__(self) -> AsyncIterator[T]:
        return aiter(self.items)

    def __len__(self) -> int:
        return self.count


_END: Final = object()


class Source:
    """The inputs, numbered, one at a time."""

    def __init__(self, inputs: Iterable[Any] | AsyncIterable[Any]) -> None:
        self.closed = False
        """Whether there is nothing more to take."""
        self.size = len(inputs) if isinstance(inputs, Sized) else None
        """How many there are; None where that isn't known."""
        self._count = 0
        self._lock = asyncio.Lock()
        self._async: AsyncIterator[Any] | None = None
        self._sync: Iterator[Any] = iter(())
        if isinstance(inputs, AsyncIterable):
            self._async = aiter(inputs)
        else:
            self._sync = iter(inputs)
        self.plain = self._async is None
        """Whether `next` gives the inputs, which is quicker than `take`."""

    def next(self) -> tuple[int, Any] | None:
        """The next input and its number; None when there is none, or after `close`."""
        try:
            given = _END if self.closed else next(self._sync, _END)
        except BaseException:
            self.closed = True
            raise
        return self._numbered(given)

    async def take(self) -> tuple[int, Any] | None:
        """The same, also of an async iterator, which is asked by one at a time.

        An input that was asked for before `close` is still handed out: none is lost.
        """
        if self._async is None:
            return self.next()
        try:
            async with self._lock:
                given = _END if self.closed else await anext(self._async, _END)
        except BaseException:
            self.closed = True
            raise
        return self._numbered(given)

    def _numbered(self, given: Any) -> tuple[int, Any] | None:
        if given is _END:
            self.closed = True
            return None
        self._count += 1
        return self._count - 1, given

    def close(self) -> None:
        """Take nothing more."""
        self.closed = True
