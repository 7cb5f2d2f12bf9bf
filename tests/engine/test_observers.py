"""What a call tells: to the log, and to observers."""

import logging

import pytest
from support.clients import Connect, attempt
from support.faults import FaultServer, answer, cut_answer, refusal, serve

from frame_async import (
    Attempt,
    Call,
    FrameClient,
    Outcome,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
)
from frame_async.observers import Observer


async def test_a_clean_call_is_silent_at_info(
    connect: Connect, order: PaymentLinkSessionRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """A call that succeeds at once says nothing at INFO, and two lines at DEBUG."""
    async with FaultServer.playing(serve) as server:
        client = connect(server)
        caplog.set_level(logging.INFO, "frame_async")
        await attempt(client, order)
        assert caplog.messages == []
        caplog.set_level(logging.DEBUG, "frame_async")
        await attempt(client, order, "order-42")
    first, second = caplog.messages
    assert first.startswith("order-42: attempt 1 created: HTTP 201, 0.")
    assert first.endswith("reused connection")
    assert second.startswith("order-42: created after 1 attempt in 0.")


async def test_a_retried_call_tells_its_story(
    connect: Connect, order: PaymentLinkSessionRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """A retried call tells its story at INFO in one line each; doubt is a WARNING."""
    caplog.set_level(logging.INFO, "frame_async")
    said = refusal("503 Service Unavailable", "X-Request-Id: req_7")
    async with FaultServer.playing(cut_answer(0), answer(said), serve) as server:
        await attempt(connect(server), order, "order-42")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING", "INFO", "INFO", "INFO"]
    lines = caplog.messages
    assert lines[0].startswith("order-42: attempt 1 unknown: the connection broke, ")
    assert lines[1].startswith("order-42: waiting 1.")
    assert lines[1].endswith(" s (after attempt 1: backoff)")
    assert "attempt 2 unknown: HTTP 503" in lines[2]
    assert "request id req_7" in lines[2]
    assert "attempt 3 created: HTTP 201" in lines[4]
    assert lines[5].endswith("2 of them may have created a session that nobody has")
    assert all("\n" not in line for line in lines)


class Notes(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        self.told.append(("attempt", key, number, attempt.outcome))

    def waiting(self, key: str, seconds: float, why: str) -> None:
        self.told.append(("waiting", key, why))

    def call_ended(self, call: Call) -> None:
        self.told.append(("call", call.idempotency_key, call.outcome, call.retries))


class Broken(Observer):
    """Raises whatever it is told."""

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        raise RuntimeError(key)

    def call_ended(self, call: Call) -> None:
        raise KeyError(call)


async def test_observers_are_told_the_same(
    connect: Connect, order: PaymentLinkSessionRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Each observer hears of every attempt, wait and end, even next to one that raises."""
    notes = Notes()
    async with FaultServer.playing(cut_answer(0), serve) as server:
        client = connect(server, observers=[Broken(), notes, Observer()])
        ended = await attempt(client, order)
    assert isinstance(ended, PaymentLinkSession)
    assert notes.told == [
        ("attempt", "key", 1, Outcome.UNKNOWN),
        ("waiting", "key", "after attempt 1: backoff"),
        ("attempt", "key", 2, Outcome.CREATED),
        ("call", "key", Outcome.CREATED, 1),
    ]
    assert "an observer raised RuntimeError and was ignored" in caplog.messages


class Bound(Notes):
    """Wants to know whose calls it watches, and leaves them to another."""

    def bind(self, base_url: str, endpoint: str) -> Notes:
        if base_url.startswith("https"):
            raise ValueError("loopback only")
        self.told.append((base_url, endpoint))
        self.other = Notes()
        return self.other


async def test_an_observer_hears_which_client_it_watches(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """It is told address and endpoint before any call; what it returns is told of the calls."""
    bound = Bound()
    async with FaultServer.playing(serve) as server:
        client = connect(server, observers=[bound])
        for key in ("one", "two"):
            await attempt(client, order, key)
    assert bound.told == [(client.base_url, "POST /v1/payment_link_sessions")]
    assert [told[0] for told in bound.other.told] == ["attempt", "call"] * 2
    with pytest.raises(ValueError, match="loopback only"):
        FrameClient("sk_sandbox_x", observers=[bound])


async def test_what_an_attempt_remembers(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Each attempt has its outcome, status, phases, connection, and what was slept and why."""
    async with FaultServer.playing(answer(refusal("503 No")), serve) as server:
        ended = await attempt(connect(server), order)
    first, second = ended.call.attempts
    assert (first.outcome, first.status, first.reused) == (Outcome.UNKNOWN, 503, False)
    assert (first.slept, first.slept_for) == (0.0, "")
    assert 1.0 <= second.slept <= 1.5
    assert second.slept_for == "after attempt 1: backoff"
    for one in (first, second):
        assert None not in (one.gate, one.connect, one.send, one.wait, one.read)
