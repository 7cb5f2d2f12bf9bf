"""Payment link sessions of Frame Payments, from asyncio.

Every other public name has a home of its own: all errors in `frame_async.errors`, all
data classes in `frame_async.models`, the local stand-in for Frame in
`frame_async.emulator`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from frame_async._version import __version__

if TYPE_CHECKING:
    from frame_async.calls import Attempt, Call, Outcome
    from frame_async.client import FrameClient
    from frame_async.clients import FrameClients
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
    "Attempt",
    "BankAccount",
    "Call",
    "CallError",
    "Card",
    "FrameClient",
    "FrameClients",
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

# Loaded when they are asked for: a command line's --help needs none of them.
_HOMES = {
    "Attempt": "calls",
    "BankAccount": "models",
    "Call": "calls",
    "CallError": "errors",
    "Card": "models",
    "FrameClient": "client",
    "FrameClients": "clients",
    "FrameError": "errors",
    "IdempotencyConflictError": "errors",
    "IdempotencyKey": "protocol.idempotency",
    "Lane": "protocol.window",
    "LineItem": "models",
    "NotSentError": "errors",
    "NothingCreatedError": "errors",
    "Outcome": "calls",
    "OutcomeUnknownError": "errors",
    "PaymentLinkSession": "models",
    "PaymentLinkSessionRequest": "models",
    "PaymentStatus": "models",
    "RateLimit": "protocol.window",
    "RequestRefusedError": "errors",
    "RetryPolicy": "protocol.retry",
    "SessionStatus": "models",
    "UsageError": "errors",
    "ValidationError": "errors",
}

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
