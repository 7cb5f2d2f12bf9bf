"""What tests about single calls share."""

from collections.abc import Callable
from typing import Any

from support.faults import FaultServer

from frame_async import (
    CallError,
    FrameClient,
    NothingCreatedError,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
)

Connect = Callable[..., FrameClient]
"""Makes a client of a fault server (or address), with options of `FrameClient`."""

Ended = PaymentLinkSession | CallError


async def attempt(
    client: FrameClient, order: PaymentLinkSessionRequest, key: str = "key", **options: Any
) -> Ended:
    """Create a session; what it ended with, as a value."""
    try:
        return await client.payment_link_sessions.create(
            order,
            idempotency_key=key,
            **options,
        )
    except CallError as error:
        return error


def assert_true(ended: Ended, server: FaultServer, key: str = "key") -> None:
    """What was told about a call must agree with what the server did for its key."""
    created = server.created_for(key)
    call = ended.call
    if isinstance(ended, PaymentLinkSession):
        assert ended.id in created
        assert call.outcome is Outcome.CREATED
        assert len(created) - 1 <= call.possible_duplicates
    elif isinstance(ended, NothingCreatedError):
        assert not created
        assert call.possible_duplicates == 0
    else:
        assert isinstance(ended, OutcomeUnknownError)
        certain = call.attempts[-1].outcome is Outcome.CREATED
        assert len(created) <= call.possible_duplicates + certain
        assert call.outcome in (Outcome.UNKNOWN, Outcome.CREATED)
    unknown = [a for a in call.attempts if a.outcome is Outcome.UNKNOWN]
    assert call.possible_duplicates == len(unknown)
    seen = [s for s in server.ledger if s.key == key and s.complete]
    arrived = [a for a in call.attempts if a.outcome is not Outcome.NOT_SENT]
    assert len(seen) <= len(arrived)
