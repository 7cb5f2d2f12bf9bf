"""`create_many`, over real sockets: one result per input, a bounded number in flight."""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from support.bulk_runs import until
from support.cheapest import Cheapest
from support.faults import FaultServer, Wire, answer, framed, refusal, session_body

from frame_async import (
    FrameClient,
    LineItem,
    PaymentLinkSession,
    RateLimit,
    RetryPolicy,
    ValidationError,
)
from frame_async import PaymentLinkSessionRequest as Request
from frame_async.bulk import BulkItem, BulkResult, BulkResults, BulkSummary, summarize
from frame_async.calls import Call, Outcome
from frame_async.emulator import Emulator
from frame_async.engine.pool import CallPool, Source
from frame_async.errors import (
    AuthenticationError,
    ClientClosedError,
    EventLoopError,
    NotSentError,
    OutcomeUnknownError,
    RequestRefusedError,
    StoreError,
    WrongModeError,
)
from frame_async.observers import Observer
from frame_async.serialization import load_session
from frame_async.stores import Claim, MemoryStore

FAST = RetryPolicy(backoff=0.01, jitter=0.01, not_sent_backoff=0.01, max_retries=2)


def numbered(number: int) -> Request:
    """The request with that number."""
    return Request(client_reference_id=f"o-{number}", line_items=[LineItem(product="prod_1")])


class Inputs:
    """Inputs that know how many were taken."""

    def __init__(self, count: int, make: Callable[[int], Any] = numbered) -> None:
        self.taken = 0
        self._count = count
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        while self.taken < self._count:
            self.taken += 1
            yield self._make(self.taken - 1)

    async def slowly(self) -> AsyncIterator[Any]:
        for each in self:
            await asyncio.sleep(0)
            yield each


class Gate:
    """A server that answers once it is told to, or only odd or even requests."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.most = 0

    async def play(self, wire: Wire) -> None:
        while await wire.read_request():
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            body = wire.create()
            await self.open.wait()
            self.waiting -= 1
            await wire.send(framed(body))


class Books(Observer):
    """Keeps every record."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call_ended(self, call: Call) -> None:
        self.calls.append(call)


def client_of(server: FaultServer | str, **options: Any) -> FrameClient:
    url = server if isinstance(server, str) else server.url
    given: dict[str, Any] = {"rate_limit": None, "store": MemoryStore(), "retry": FAST}
    return FrameClient("sk_sandbox_many", base_url=url, **(given | options))


async def listed(results: BulkResults) -> list[BulkResult]:
    return [result async for result in results]


async def collect(results: BulkResults, into: list[BulkResult]) -> None:
    """Collect results as they come, so that they are there if the run ends with an error."""
    async for result in results:
        into.append(result)  # noqa: PERF401  # see above


def others() -> list["asyncio.Task[Any]"]:
    """Every task but this one and the server's."""
    found = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    return [t for t in found if "FaultServer" not in repr(t.get_coro())]


@pytest.mark.parametrize("kind", ["list", "generator", "async", "items"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_one_result_for_each_input(
    frame: FrameClient, emulator: Emulator, kind: str, ordered: bool
) -> None:
    """Whatever kind of iterable: each input has one result, with its number and its session."""
    made = (lambda n: BulkItem(numbered(n), f"k-{n}", n)) if kind == "items" else numbered
    inputs = Inputs(50, made)
    ways: dict[str, Callable[[Inputs], Any]] = {"list": list, "async": Inputs.slowly}
    given = ways.get(kind, iter)(inputs)
    results = await listed(
        frame.payment_link_sessions.create_many(given, max_in_flight=7, ordered=ordered)
    )
    indexes = [result.index for result in results]
    assert (indexes if ordered else sorted(indexes)) == list(range(50))
    for result in results:
        assert result.session is not None
        assert result.error is None
        assert emulator.created(f"o-{result.index}") == (result.session.id,)
        assert result.item.request == numbered(result.index)
        assert result.call.outcome is Outcome.CREATED
        if kind == "items":
            assert (result.item.context, result.call.idempotency_key) == (
                result.index,
                f"k-{result.index}",
            )


async def test_no_inputs(frame: FrameClient) -> None:
    """Nothing in, nothing out."""
    assert await listed(frame.payment_link_sessions.create_many([])) == []
    results = frame.payment_link_sessions.create_many(Inputs(0).slowly())
    assert await summarize(results) == BulkSummary()


@pytest.mark.parametrize("ordered", [False, True])
async def test_wrong_inputs_are_results(frame: FrameClient, ordered: bool) -> None:
    """What is no request, or has an unusable key, is an error in its place and ends nothing."""
    inputs: list[Any] = [
        numbered(0),
        {"line_items": []},
        BulkItem(numbered(2), "spaces are not allowed"),
        BulkItem("nonsense"),  # type: ignore[arg-type]
        None,
        numbered(5),
    ]
    results = await listed(frame.payment_link_sessions.create_many(inputs, ordered=ordered))
    by_index = {result.index: result for result in results}
    assert sorted(by_index) == [0, 1, 2, 3, 4, 5]
    for index in (1, 2, 3, 4):
        assert isinstance(by_index[index].error, ValidationError)
        assert by_index[index].session is None
        assert by_index[index].call == Call()
    assert by_index[0].session
    assert by_index[5].session


@pytest.mark.parametrize(
    "options",
    [
        {"max_in_flight": 0},
        {"max_in_flight": True},
        {"max_in_flight": "3"},
        {"timeout": 0},
        {"retry": "often"},
        {"lane": "fast"},
        {"mode": "test"},
    ],
)
async def test_unusable_options(frame: FrameClient, options: dict[str, Any]) -> None:
    """An option that can't be used is refused at once, before any input is taken."""
    inputs = Inputs(3)
    with pytest.raises(ValidationError, match=next(iter(options))):
        frame.payment_link_sessions.create_many(inputs, **options)
    assert inputs.taken == 0


@pytest.mark.parametrize("given", ["text", b"bytes", {"a": 1}, 7, None, numbered(1)])
async def test_unusable_inputs(frame: FrameClient, given: Any) -> None:
    """What is no iterable of requests is refused with the fix."""
    with pytest.raises(ValidationError, match="must be an iterable of requests"):
        frame.payment_link_sessions.create_many(given)


@pytest.mark.parametrize("ordered", [False, True])
async def test_in_flight_and_ahead_are_bounded(ordered: bool) -> None:
    """Never more calls in flight, nor inputs ahead of the consumer, than asked for."""
    gate, inputs = Gate(), Inputs(100)
    async with FaultServer.playing(gate.play) as server, client_of(server) as client:
        async with client.payment_link_sessions.create_many(
            inputs, max_in_flight=5, ordered=ordered
        ) as results:
            first = asyncio.ensure_future(anext(results))
            await until(lambda: gate.waiting == 5)
            gate.open.set()
            await first
            for consumed in range(1, 20):
                await asyncio.sleep(0.01)  # all the time in the world to run ahead
                assert inputs.taken <= consumed + 5
                await anext(results)
        assert gate.most == 5


@pytest.mark.parametrize("ordered", [False, True])
async def test_calls_begin_while_results_wait(ordered: bool) -> None:
    """Where many results wait, a few are taken, then the calls that they make room for begin."""
    gate, inputs, before = Gate(), Inputs(80), list[int]()
    async with FaultServer.playing(gate.play) as server, client_of(server) as client:
        async with client.payment_link_sessions.create_many(
            inputs, max_in_flight=40, ordered=ordered
        ) as results:
            first = asyncio.ensure_future(anext(results))
            await until(lambda: gate.waiting == 40)
            gate.open.set()
            await first
            await until(lambda: gate.waiting == 0)
            for _ in range(39):
                before.append(inputs.taken)
                await anext(results)
            assert len(await listed(results)) == 40
    assert len(set(before)) >= 4, before


async def test_few_inputs_need_few_workers(frame: FrameClient) -> None:
    """However many calls may be in flight, three inputs cost no more than a few tasks."""
    async with frame.payment_link_sessions.create_many(
        Inputs(3), max_in_flight=1_000_000
    ) as results:
        await anext(results)
        assert len(others()) < 20


async def test_ordered_waits_for_the_slow_one() -> None:
    """In order, a slow first call holds back those after it, and none is lost."""
    gate = Gate()

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            if b'"o-0"' in wire.seen.received:
                await gate.open.wait()
            await wire.send(framed(wire.create()))

    async with FaultServer.playing(play) as server, client_of(server) as client:
        results = client.payment_link_sessions.create_many(
            Inputs(20), max_in_flight=4, ordered=True
        )
        first = asyncio.ensure_future(anext(results))
        await until(lambda: len(server.created) >= 3)
        await asyncio.sleep(0.05)
        assert not first.done()
        gate.open.set()
        rest = [await first, *await listed(results)]
        assert [result.index for result in rest] == list(range(20))


async def test_leaving_the_loop_leaves_the_books_right(order: Request) -> None:
    """After `break`, what was in flight is in doubt in the store, and no task or socket stays."""
    gate, books, store = Gate(), Books(), MemoryStore()

    async def play(wire: Wire) -> None:
        if wire.number == 0:
            await wire.read_request()
            await wire.send(framed(wire.create()))
        await gate.play(wire)

    items = [BulkItem(numbered(n), f"k-{n}") for n in range(10)]
    async with FaultServer.playing(play) as server:
        async with client_of(server, observers=[books], store=store) as client:
            async with client.payment_link_sessions.create_many(items, max_in_flight=3) as results:
                async for result in results:
                    assert result.session
                    await until(lambda: gate.waiting >= 2)
                    break
            ended = [call for call in books.calls if call.cancelled]
            assert {call.outcome for call in ended} == {Outcome.UNKNOWN}
            sent = {seen.key for seen in server.ledger if seen.complete}
            assert {call.idempotency_key for call in books.calls} >= sent
            for call in ended:
                with pytest.raises(OutcomeUnknownError):
                    await client.payment_link_sessions.create(
                        numbered(int(call.idempotency_key[2:])),
                        idempotency_key=call.idempotency_key,
                        retry=RetryPolicy(on_unknown="raise"),
                    )
            assert not others()


async def test_leaving_the_loop_without_ceremony() -> None:
    """A bare `break` ends the run soon, without garbage collection."""
    gate = Gate()
    gate.open.set()
    gc.disable()
    try:
        async with FaultServer.playing(gate.play) as server, client_of(server) as client:
            inputs = Inputs(1000)
            async for _ in client.payment_link_sessions.create_many(inputs, max_in_flight=4):
                break
            await asyncio.sleep(0.1)
            taken = inputs.taken
            assert taken < 20
            await asyncio.sleep(0.1)
            assert inputs.taken == taken
    finally:
        gc.enable()


async def test_cancelled_consumer() -> None:
    """A cancelled consumer passes the cancellation on once every call has left its record."""
    gate, books = Gate(), Books()
    async with FaultServer.playing(gate.play) as server:
        async with client_of(server, observers=[books]) as client:
            many = client.payment_link_sessions.create_many
            task = asyncio.ensure_future(listed(many(Inputs(100), max_in_flight=6)))
            await until(lambda: gate.waiting == 6)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [call.outcome for call in books.calls if call.cancelled] == [Outcome.UNKNOWN] * 6
    assert len(server.created) == 6


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_exception_of_the_input(frame: FrameClient, kind: str, ordered: bool) -> None:
    """It is raised after the results of everything that had been taken."""

    def failing() -> Iterator[Request]:
        yield from Inputs(9)
        raise LookupError("the database went away")

    async def slowly() -> AsyncIterator[Request]:
        for each in failing():
            yield each

    seen: list[BulkResult] = []
    given = failing() if kind == "sync" else slowly()
    many = frame.payment_link_sessions.create_many
    with pytest.raises(LookupError, match="went away"):
        await collect(many(given, max_in_flight=4, ordered=ordered), seen)
    assert sorted(result.index for result in seen) == list(range(9))


async def test_an_input_that_is_cancelled(frame: FrameClient) -> None:
    """An input that ends with somebody else's cancellation never looks like a complete run."""

    async def cut_short() -> AsyncIterator[Request]:
        yield numbered(0)
        raise asyncio.CancelledError

    seen: list[BulkResult] = []
    with pytest.raises(asyncio.CancelledError):
        await collect(frame.payment_link_sessions.create_many(cut_short()), seen)
    assert [result.index for result in seen] == [0]


class Strange(MemoryStore):
    """A store of somebody's own, which fails with an error of its own."""

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        if key.endswith("k-2"):
            await asyncio.sleep(0.2)  # until all others hold results that wait for this one
            raise RuntimeError("a defect")
        return await super().claim(key, fingerprint, lease)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_defect_ends_the_run(emulator: Emulator, ordered: bool) -> None:
    """An exception that nobody foresaw is raised, and never waited for in vain."""
    items = (BulkItem(numbered(n), f"k-{n}") for n in range(50))
    async with client_of(emulator.base_url, store=Strange()) as client:
        async with asyncio.timeout(30):
            with pytest.raises(RuntimeError, match="a defect"):
                await listed(
                    client.payment_link_sessions.create_many(
                        items, max_in_flight=4, ordered=ordered
                    )
                )


async def test_stop_finishes_what_is_on_the_wire() -> None:
    """After `stop`, no input is taken, what was sent still comes, and the loop ends."""
    gate, inputs = Gate(), Inputs(100)
    async with FaultServer.playing(gate.play) as server, client_of(server) as client:
        results = client.payment_link_sessions.create_many(inputs, max_in_flight=4)
        first = asyncio.ensure_future(anext(results))
        await until(lambda: gate.waiting == 4)
        results.stop()
        gate.open.set()
        rest = [await first, *await listed(results)]
        assert len(rest) == inputs.taken == len(server.created) == 4
        assert all(result.session for result in rest)


async def test_stop_sends_away_who_waits_for_the_window(emulator: Emulator) -> None:
    """After `stop`, who waits for the window, or comes to wait later, comes back as not sent."""

    class Late(MemoryStore):
        """Takes its time for a claim, so that some are on their way to the line."""

        async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
            await asyncio.sleep(0.2 if int(key.rpartition("-")[2]) >= 6 else 0)
            return await super().claim(key, fingerprint, lease)

    items = [BulkItem(numbered(n), f"k-{n}") for n in range(100)]
    async with client_of(emulator.base_url, rate_limit=RateLimit(4, 600.0), store=Late()) as client:
        results = client.payment_link_sessions.create_many(
            items, max_in_flight=8, lane="interactive"
        )
        seen = [await anext(results) for _ in range(4)]
        results.stop()
        async with asyncio.timeout(30):
            seen += await listed(results)
    assert [result.error for result in seen[:4]] == [None] * 4
    assert seen[4:]
    for result in seen[4:]:
        assert isinstance(result.error, NotSentError)
        assert not result.call.attempts
    assert len(emulator.created()) == 4


async def test_stop_with_grace_cancels_the_rest() -> None:
    """What isn't finished in time has no result, but its record is in the books."""
    gate, books = Gate(), Books()
    async with FaultServer.playing(gate.play) as server:
        async with client_of(server, observers=[books]) as client:
            results = client.payment_link_sessions.create_many(Inputs(100), max_in_flight=4)
            first = asyncio.ensure_future(anext(results, None))
            await until(lambda: gate.waiting == 4)
            results.stop(grace=30.0)
            results.stop(grace=0.05)
            assert await first is None
            assert await listed(results) == []
            assert [call.outcome for call in books.calls] == [Outcome.UNKNOWN] * 4


async def test_stop_before_the_start_and_after_the_end(frame: FrameClient) -> None:
    """Stopping what hasn't begun takes nothing; stopping what is over does nothing."""
    inputs = Inputs(5)
    results = frame.payment_link_sessions.create_many(inputs)
    results.stop()
    assert await listed(results) == []
    assert inputs.taken == 0
    results.stop(grace=0)
    await results.aclose()
    await results.aclose()


async def test_401_in_the_middle() -> None:
    """A key that is not accepted any more ends the run, with a result for all in flight."""
    said = [framed(session_body(f"pls_{n}")) for n in range(5)]
    revoked = refusal("401 Unauthorized")

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            await wire.send(said.pop() if said else revoked)

    inputs, seen = Inputs(1000), list[BulkResult]()
    async with FaultServer.playing(play) as server, client_of(server) as client:
        with pytest.raises(AuthenticationError):
            await collect(client.payment_link_sessions.create_many(inputs, max_in_flight=3), seen)
    assert len(seen) == inputs.taken == len(server.ledger) <= 11
    assert sum(result.session is not None for result in seen) == 5
    refused = [result.error for result in seen if result.error]
    assert all(isinstance(error, AuthenticationError) for error in refused)


async def test_the_wrong_mode(emulator: Emulator) -> None:
    """The first session of the wrong mode ends the run, and is handed over all the same."""
    inputs, seen = Inputs(100), list[BulkResult]()
    async with client_of(emulator.base_url) as client:
        results = client.payment_link_sessions.create_many(inputs, max_in_flight=2, mode="live")
        with pytest.raises(WrongModeError, match="is sandbox, but live was meant"):
            await collect(results, seen)
    assert len(seen) == inputs.taken <= 4
    assert {result.session.id for result in seen if result.session} == set(emulator.created())


class Vanishing(MemoryStore):
    """A store that goes away after a number of claims."""

    left = 5

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        self.left -= 1
        if self.left < 0:
            raise StoreError("the store is gone")
        return await super().claim(key, fingerprint, lease)


async def test_the_store_goes_away(emulator: Emulator) -> None:
    """A store that can't answer ends the run before anything more is sent."""
    items, seen = Inputs(100, lambda n: BulkItem(numbered(n), f"k-{n}")), list[BulkResult]()
    async with client_of(emulator.base_url, store=Vanishing()) as client:
        with pytest.raises(StoreError, match="gone"):
            await collect(client.payment_link_sessions.create_many(items, max_in_flight=3), seen)
    assert len(emulator.created()) == sum(result.session is not None for result in seen) == 5
    assert len(seen) == items.taken <= 8


async def test_a_closed_client(frame: FrameClient) -> None:
    """A closed client ends the run with one error, not with one for each of a million inputs."""
    await frame.aclose()
    inputs = Inputs(1000)
    with pytest.raises(ClientClosedError):
        await listed(frame.payment_link_sessions.create_many(inputs, max_in_flight=4))
    assert inputs.taken <= 4


async def test_a_client_that_is_closed_meanwhile() -> None:
    """Closing the client under a run ends it, and nobody waits for ever."""
    gate, inputs = Gate(), Inputs(1000)
    async with FaultServer.playing(gate.play) as server:
        client = client_of(server)
        task = asyncio.ensure_future(
            listed(client.payment_link_sessions.create_many(inputs, max_in_flight=4))
        )
        await until(lambda: gate.waiting == 4)
        await client.aclose()
        async with asyncio.timeout(30):
            with pytest.raises((ClientClosedError, NotSentError)):
                await task
    assert inputs.taken < 20


def test_a_second_event_loop(order: Request) -> None:
    """Results that are asked for on another loop than the client's say so."""

    async def first() -> tuple[FrameClient, Emulator]:
        emulator = Emulator(limit=None)
        await emulator.start()
        client = client_of(emulator.base_url)
        await client.payment_link_sessions.create(order)
        return client, emulator

    async def second(client: FrameClient) -> None:
        with pytest.raises(EventLoopError):
            await listed(client.payment_link_sessions.create_many([order]))

    with asyncio.Runner() as runner:
        client, emulator = runner.run(first())
        with asyncio.Runner() as another:
            another.run(second(client))

        async def end() -> None:
            await client.aclose()
            await emulator.aclose()

        runner.run(end())


async def test_errors_are_values() -> None:
    """A refusal and a lost answer are results among others, each with its record."""
    refused = refusal("422 Unprocessable Entity")
    async with (
        FaultServer.playing(answer(refused, refused)) as server,
        client_of(server) as client,
    ):
        summary = BulkSummary()
        seen = []
        async for result in client.payment_link_sessions.create_many(Inputs(6), max_in_flight=1):
            summary.add(result)
            seen.append(result)
    assert [type(result.error) for result in seen[:2]] == [RequestRefusedError] * 2
    assert seen[0].call.attempts[0].status == 422
    assert summary == BulkSummary(created=4, refused=2)
    assert summary.total == 6


async def test_the_same_key_twice_in_one_run(frame: FrameClient, emulator: Emulator) -> None:
    """Two inputs with one key share one session."""
    items = [BulkItem(numbered(1), "k"), BulkItem(numbered(1), "k")]
    first, second = await listed(frame.payment_link_sessions.create_many(items))
    assert first.session
    assert second.session
    assert first.session.id == second.session.id
    assert emulator.created() == (first.session.id,)


async def peak(results: BulkResults) -> int:
    """Bytes at the peak of a run."""
    gc.collect()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    await summarize(results)
    return tracemalloc.get_traced_memory()[1] - before


async def grows(few: BulkResults, many: BulkResults) -> float:
    """How many times the memory of a run with few inputs one with many needs."""
    tracemalloc.start(1)
    try:
        little = await peak(few)
        return await peak(many) / (little + 20_000)
    finally:
        tracemalloc.stop()


async def test_memory_stays_flat() -> None:
    """Ten times the calls take no more memory."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Cheapest, "127.0.0.1", 0)
    order = numbered(1)
    async with client_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        many = client.payment_link_sessions.create_many
        await summarize(many([order] * 100))  # warm
        assert await grows(*(many(order for _ in range(n)) for n in (60, 600))) < 1.5
    server.close()


def test_memory_stays_flat_for_many_inputs() -> None:
    """What the engine itself keeps doesn't grow with its inputs, whatever the order.

    FRAME_SOAK_CALLS says how many more they are, 20,000 unless told.
    """
    inputs = 5 * int(os.environ.get("FRAME_SOAK_CALLS", "4000"))
    session = load_session(session_body("pls_1"), Call())

    async def create(item: BulkItem) -> PaymentLinkSession:
        await asyncio.sleep(0)
        return session

    def run(count: int, ordered: bool) -> BulkResults:
        order = numbered(1)
        source = Source(order for _ in range(count))
        return BulkResults(
            CallPool(
                source=source, create=create, workers=16, ordered=ordered, dismiss=lambda: None
            )
        )

    async def measure() -> None:
        assert await grows(run(1_000, False), run(inputs, False)) < 1.5
        assert await grows(run(1_000, True), run(10_000, True)) < 1.5

    asyncio.run(measure())
