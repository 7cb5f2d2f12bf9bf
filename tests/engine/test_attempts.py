"""tenacity's own objects in a retry policy: they replace our schedule, and nothing else."""

import pytest
import tenacity
from support.clients import Connect, attempt
from support.clock import FastClock
from support.faults import FaultServer, Wire, answer, refusal, serve

from frame_async import (
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.errors import ConfigurationError

BUSY = refusal("503 Service Unavailable")


async def test_stop_of_tenacity_replaces_ours(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """With stop_after_attempt(3) there are three attempts, and the error says why no more."""
    policy = RetryPolicy(max_retries=0, stop=tenacity.stop_after_attempt(3))
    async with FaultServer.playing(answer(*[BUSY] * 9)) as server:
        ended = await attempt(connect(server), order, retry=policy)
    assert isinstance(ended, OutcomeUnknownError)
    assert len(server.ledger) == 3
    assert "the retry policy's stop says so" in str(ended)


async def test_wait_of_tenacity_replaces_ours(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """With wait_fixed(7) each wait is seven seconds."""
    policy = RetryPolicy(wait=tenacity.wait_fixed(7))
    async with FaultServer.playing(answer(BUSY, BUSY), serve) as server:
        ended = await attempt(connect(server, timeout=100), order, retry=policy)
    assert isinstance(ended, PaymentLinkSession)
    assert clock.slept == [7.0, 7.0]


async def test_the_server_is_asked_before_tenacity(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """What Retry-After asks for is waited, however short the policy's own wait is."""
    said = refusal("429 Too Many Requests", "Retry-After: 9")
    policy = RetryPolicy(wait=tenacity.wait_fixed(1))
    async with FaultServer.playing(answer(said), serve) as server:
        ended = await attempt(connect(server, timeout=100), order, retry=policy)
    assert isinstance(ended, PaymentLinkSession)
    assert sum(clock.slept) == pytest.approx(9.0, abs=1.0)


async def test_tenacity_repeats_no_refusal(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A refusal is final, whatever the policy's stop would allow."""
    policy = RetryPolicy(stop=tenacity.stop_never)
    async with FaultServer.playing(answer(refusal("422 No"))) as server:
        ended = await attempt(connect(server), order, retry=policy)
    assert isinstance(ended, RequestRefusedError)
    assert len(server.ledger) == 1


async def test_the_deadline_goes_before_tenacity(
    connect: Connect, order: PaymentLinkSessionRequest, clock: FastClock
) -> None:
    """A wait that doesn't fit before the deadline of the call isn't begun."""
    policy = RetryPolicy(stop=tenacity.stop_never, wait=tenacity.wait_fixed(60))
    async with FaultServer.playing(answer(*[BUSY] * 9)) as server:
        ended = await attempt(connect(server), order, retry=policy, timeout=30)
    assert isinstance(ended, OutcomeUnknownError)
    assert "deadline of the call" in str(ended)
    assert clock.slept == []


@pytest.mark.parametrize("name", ["stop", "wait"])
def test_other_objects_are_refused(name: str) -> None:
    """What can't be called is refused by name when the policy is made."""
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{name} must be one of tenacity's"):
        RetryPolicy(**{name: 3})  # type: ignore[arg-type]


async def test_a_refusal_is_final_also_while_the_client_closes(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """What would not have been repeated anyway is not said to have been given up."""

    async def close_first(wire: Wire) -> None:
        await wire.read_request()
        client.stop_waiting()
        await wire.send(refusal("422 No"))

    async with FaultServer.playing(close_first) as server:
        client = connect(server)
        ended = await attempt(client, order)
    assert isinstance(ended, RequestRefusedError)
    assert "gave up" not in str(ended)
