"""A handler acts on an event once: not twice for two deliveries, and not never for a crash."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.signing import SECRET

from frame_async.errors import EventInFlightError, StoreError
from frame_async.models import Event
from frame_async.stores import InDoubt, MemoryStore
from frame_async.stores.sqlite import SQLiteStore
from frame_async.testing.store_conformance import HandClock
from frame_async.webhooks import Turn, WebhookReceiver

EVENT = Event(id="evt_1", type="transfer.succeeded")


def made(store: Any, **options: Any) -> WebhookReceiver:
    """A receiver on a store."""
    return WebhookReceiver(SECRET, store=store, **options)


async def act(receiver: WebhookReceiver, event: Event = EVENT) -> Turn:
    """Take one's turn at an event, and succeed."""
    async with receiver.once(event) as turn:
        return turn


async def test_two_deliveries_one_turn() -> None:
    """The first delivery has its turn, the second has none; a turn is true or false itself."""
    receiver = made(MemoryStore())
    first, second = await act(receiver), await act(receiver)
    assert first == Turn(first=True, interrupted=0)
    assert second == Turn(first=False)
    assert first
    assert not second


async def test_events_and_scopes_are_told_apart() -> None:
    """Another event, or another scope on the same store, has turns of its own."""
    store = MemoryStore()
    assert await act(made(store))
    assert await act(made(store), Event(id="evt_2", type="transfer.succeeded"))
    assert await act(made(store, scope="mail"))
    assert not await act(made(store, scope="mail"))
    assert set(store._keys) == {"webhook:evt_1", "webhook:evt_2", "mail:evt_1"}


async def test_a_type_does_not_make_another_event() -> None:
    """The id alone stands for an event."""
    receiver = made(MemoryStore())
    assert await act(receiver)
    assert not await act(receiver, Event(id="evt_1", type="transfer.failed"))


async def test_receivers_of_a_process_share_their_memory() -> None:
    """Without a store, all receivers of a process remember together."""
    event = Event(id=f"evt_{os.getpid()}_shared", type="t")
    assert await act(WebhookReceiver(SECRET), event)
    assert not await act(WebhookReceiver(SECRET), event)


async def test_an_event_is_remembered_for_so_many_days() -> None:
    """After `keep_for` days, and not before, the event would be acted upon again."""
    clock = HandClock()
    receiver = made(MemoryStore(clock), keep_for=2)
    assert await act(receiver)
    clock.seconds += 2 * 86_400 - 1
    assert not await act(receiver)
    clock.seconds += 1
    assert await act(receiver)


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_a_handler_that_fails_frees_the_event(error: BaseException) -> None:
    """What the handler raises passes through unchanged, and the next delivery has its turn."""
    receiver = made(MemoryStore())
    with pytest.raises(type(error)) as caught:
        async with receiver.once(EVENT):
            raise error
    assert caught.value is error
    assert await act(receiver) == Turn(first=True, interrupted=0)


async def test_a_failure_after_the_first_frees_nothing() -> None:
    """A delivery that has no turn can fail as it likes: the event stays remembered."""
    receiver = made(MemoryStore())
    assert await act(receiver)
    with pytest.raises(ValueError, match="no"):
        async with receiver.once(EVENT):
            raise ValueError("no")
    assert not await act(receiver)


async def test_one_handler_at_a_time() -> None:
    """While a handler works, another delivery hears that it does, and comes back later."""
    receiver = made(MemoryStore())
    async with receiver.once(EVENT):
        with pytest.raises(EventInFlightError, match="evt_1") as caught:
            await act(receiver)
    assert caught.value.event_id == "evt_1"
    assert not await act(receiver)


async def test_a_slow_handler_keeps_its_turn_in_memory() -> None:
    """What only this process remembers is not taken over when the lease runs out."""
    clock = HandClock()
    receiver = made(MemoryStore(clock), lease=9)
    async with receiver.once(EVENT):
        clock.seconds += 3600
        with pytest.raises(EventInFlightError):
            await act(receiver)
    assert not await act(receiver)


async def test_a_hundred_deliveries_at_once() -> None:
    """However many deliveries come at the same time, one handler runs."""
    receiver, ran = made(MemoryStore()), 0

    async def deliver() -> None:
        nonlocal ran
        async with receiver.once(EVENT) as turn:
            await asyncio.sleep(0)
            ran += turn.first

    ended = await asyncio.gather(*(deliver() for _ in range(100)), return_exceptions=True)
    assert ran == 1
    assert sum(isinstance(each, EventInFlightError) for each in ended) == 99


async def test_a_cancelled_handler_frees_the_event() -> None:
    """When the task that handles an event is cancelled, the next delivery has its turn."""
    receiver, inside = made(MemoryStore()), asyncio.Event()

    async def handle() -> None:
        async with receiver.once(EVENT):
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(handle())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await act(receiver)


# --- stores that are slow, or fail ----------------------------------------------------


class Failing(MemoryStore):
    """A store of which some methods fail, or wait."""

    def __init__(self, *failing: str) -> None:
        super().__init__()
        self.failing = failing
        self.gate: asyncio.Event | None = None

    def fail(self, name: str) -> None:
        if name in self.failing:
            raise StoreError("the disk is on fire")

    async def claim(self, key: str, fingerprint: str, lease: float) -> Any:
        self.fail("claim")
        return await super().claim(key, fingerprint, lease)

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        self.fail("complete")
        if self.gate is not None:
            await self.gate.wait()
        return await super().complete(key, token, body, keep)

    async def release(self, key: str, token: str) -> bool:
        self.fail("release")
        return await super().release(key, token)


async def test_no_store_no_turn() -> None:
    """When the store can't answer, nothing is done and the caller hears it."""
    with pytest.raises(StoreError, match="on fire"):
        await act(made(Failing("claim")))


async def test_what_was_done_stays_done(caplog: pytest.LogCaptureFixture) -> None:
    """When the store fails after the handler succeeded, that is logged and not raised."""
    assert await act(made(Failing("complete")))
    assert "webhook:evt_1: acted upon, but not remembered: the disk is on fire" in caplog.text


async def test_a_failing_release_hides_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """When handler and store both fail, the handler's error is raised, the store's logged."""
    with pytest.raises(ValueError, match="mine"):
        async with made(Failing("release")).once(EVENT):
            raise ValueError("mine")
    assert "is free after its lease only: the disk is on fire" in caplog.text


async def test_completion_survives_cancellation() -> None:
    """A task that is cancelled after its handler succeeded doesn't forget that it did."""
    store = Failing()
    store.gate = asyncio.Event()
    receiver, done = made(store), asyncio.Event()

    async def handle() -> None:
        async with receiver.once(EVENT):
            done.set()

    task = asyncio.create_task(handle())
    await done.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not await act(receiver)


# --- between processes ---------------------------------------------------------------


class Metronome:
    """A clock whose sleeps end when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.beats: asyncio.Queue[None] = asyncio.Queue()

    def time(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.beats.get()


async def until(met: Any) -> None:
    """Wait for something that another task or thread brings about."""
    async with asyncio.timeout(30):
        while not met():  # noqa: ASYNC110  # what it waits for sets no event
            await asyncio.sleep(0.001)


async def test_a_turn_is_kept_while_its_handler_works(tmp_path: Path) -> None:
    """The claim is renewed every third of its lease, so a slow handler keeps its turn."""
    hand, metronome = HandClock(), Metronome()
    mine = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    others = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    receiver, other = made(mine, lease=9, clock=metronome), made(others, lease=9)
    async with receiver.once(EVENT) as turn:
        assert turn
        for beat in range(5):
            await until(lambda count=beat + 1: len(metronome.asked) == count)
            hand.seconds += 8
            metronome.beats.put_nowait(None)
        await until(lambda: len(metronome.asked) == 6)
        with pytest.raises(EventInFlightError):
            await act(other)
    assert metronome.asked == [3.0] * 6
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not await act(other)
    await mine.aclose()
    await others.aclose()


async def test_a_lost_turn_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that slept past its renewed lease is overtaken; the log says that both ran."""
    hand, metronome = HandClock(), Metronome()
    mine = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    others = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    async with made(mine, lease=9, clock=metronome).once(EVENT):
        metronome.beats.put_nowait(None)
        await until(lambda: len(metronome.asked) == 2)
        hand.seconds += 10
        assert await act(made(others, lease=9)) == Turn(first=True, interrupted=1)
        assert not caplog.text
    assert "webhook:evt_1: another process had taken it over meanwhile" in caplog.text
    await mine.aclose()
    await others.aclose()


async def test_a_store_that_fails_meanwhile_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A renewal that fails is logged, and the next one is tried all the same."""
    hand, metronome = HandClock(), Metronome()
    store = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    renew, failures = store.renew, [StoreError("busy")]

    async def renew_now_and_then(*arguments: Any) -> bool:
        if failures:
            raise failures.pop()
        return await renew(*arguments)

    store.renew = renew_now_and_then  # type: ignore[assignment]
    async with made(store, lease=9, clock=metronome).once(EVENT):
        metronome.beats.put_nowait(None)
        await until(lambda: "webhook:evt_1: could not be renewed: busy" in caplog.text)
        hand.seconds += 8
        metronome.beats.put_nowait(None)
        await until(lambda: len(metronome.asked) == 3)
        hand.seconds += 8
        with pytest.raises(EventInFlightError):
            await act(made(store, lease=9))
    await store.aclose()


async def test_what_was_cut_off_is_not_forgotten_by_a_failure(tmp_path: Path) -> None:
    """After a crash and then a failure, the third turn still knows of the crash."""
    hand = HandClock()
    store = SQLiteStore(tmp_path / "events.sqlite", now=hand)
    await store.claim("webhook:evt_1", "event=1", 9)  # by a process that dies now
    hand.seconds += 10
    receiver = made(store)
    with pytest.raises(ValueError, match="no"):
        async with receiver.once(EVENT) as turn:
            assert turn.interrupted == 1
            raise ValueError("no")
    assert isinstance(await store.claim("webhook:evt_1", "event=1", 9), InDoubt)
    hand.seconds += 10
    assert (await act(receiver)).interrupted == 2
    assert not await act(receiver)
    await store.aclose()


WORKER = """
import asyncio, sys
from frame_async.models import Event
from frame_async.webhooks import WebhookReceiver

async def main():
    async with WebhookReceiver("x" * 32, store=sys.argv[1], lease=0.3) as receiver:
        async with receiver.once(Event(id="evt_1", type="t")):
            print("inside", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_killed_process_leaves_its_turn(tmp_path: Path) -> None:
    """When a process is killed while it acts, another has its turn after the lease, warned."""
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "inside\n"
        worker.kill()
        worker.wait()
        async with made(url, lease=0.3) as receiver:
            assert await first_turn(receiver) == Turn(first=True, interrupted=1)
            assert not await act(receiver)


async def first_turn(receiver: WebhookReceiver) -> Turn:
    """Deliver again and again, as Frame does, until no other handler holds the event."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await act(receiver)
            except EventInFlightError:
                await asyncio.sleep(0.02)


async def test_a_receiver_closes_the_store_that_it_opened(tmp_path: Path) -> None:
    """A store that was given as a URL is closed with the receiver, one's own store isn't."""
    async with made(f"sqlite:///{tmp_path / 'a.sqlite'}") as receiver:
        await act(receiver)
    with pytest.raises(StoreError):
        await act(receiver)
    store = SQLiteStore(tmp_path / "b.sqlite")
    async with made(store) as receiver:
        await act(receiver)
    assert not await act(receiver)
    await store.aclose()


async def test_another_clock_has_a_memory_of_its_own() -> None:
    """With a clock of one's own, and no store, the memory goes by that clock."""
    event = Event(id=f"evt_{os.getpid()}_clock", type="t")
    assert await act(WebhookReceiver(SECRET, clock=Metronome()), event)
    assert await act(WebhookReceiver(SECRET, clock=Metronome()), event)
