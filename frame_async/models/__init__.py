"""What is asked for and what is answered: attrs classes without I/O and without JSON."""

from importlib import import_module
from typing import TYPE_CHECKING

from frame_async.calls import Attempt, Call, Outcome
from frame_async.models.payment_methods import BankAccount, Card, PaymentMethodData
from frame_async.models.requests import (
    LineItem,
    LineItemFields,
    PaymentLinkSessionFields,
    PaymentLinkSessionRequest,
)
from frame_async.models.sessions import PaymentLinkSession, PaymentStatus, SessionStatus

if TYPE_CHECKING:
    from frame_async.models.events import Event, EventType
    from frame_async.models.redirects import Redirect, RedirectResult

__all__ = [
    "Attempt",
    "BankAccount",
    "Call",
    "Card",
    "Event",
    "EventType",
    "LineItem",
    "LineItemFields",
    "Outcome",
    "PaymentLinkSession",
    "PaymentLinkSessionFields",
    "PaymentLinkSessionRequest",
    "PaymentMethodData",
    "PaymentStatus",
    "Redirect",
    "RedirectResult",
    "SessionStatus",
]

# Loaded when they are asked for: a client has no use for what Frame sends by itself.
_HOMES = {
    "Event": "events",
    "EventType": "events",
    "Redirect": "redirects",
    "RedirectResult": "redirects",
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
