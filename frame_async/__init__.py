"""Payment link sessions of Frame Payments, from asyncio.

Every other public name has a home of its own: all errors in `frame_async.errors`, all
data classes in `frame_async.models`, the local stand-in for Frame in
`frame_async.emulator`.
"""

from frame_async._version import __version__
from frame_async.calls import Attempt, Call, Outcome
from frame_async.client import FrameClient
from frame_async.errors import (
    CallError,
    FrameError,
    IdempotencyConflictError,
    NothingCreatedError,
    NotSentError,
    OutcomeUnknownError,
    RequestRefusedError,
    UsageError,
    ValidationError,
)
from frame_async.models import (
    NOT_GIVEN,
    BankAccount,
    Card,
    LineItem,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    PaymentStatus,
    SessionStatus,
)
from frame_async.protocol.idempotency import IdempotencyKey
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import Lane, RateLimit

__all__ = [
    "NOT_GIVEN",
    "Attempt",
    "BankAccount",
    "Call",
    "CallError",
    "Card",
    "FrameClient",
    "FrameError",
    "IdempotencyConflictError",
    "IdempotencyKey",
    "Lane",
    "LineItem",
    "NotSentError",
    "NothingCreatedError",
    "Outcome",
    "OutcomeUnknownError",
    "PaymentLinkSession",
    "PaymentLinkSessionRequest",
    "PaymentStatus",
    "RateLimit",
    "RequestRefusedError",
    "RetryPolicy",
    "SessionStatus",
    "UsageError",
    "ValidationError",
    "__version__",
]
