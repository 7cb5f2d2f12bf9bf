"""What is asked for and what is answered: attrs classes without I/O and without JSON."""

from frame_async.calls import Attempt, Call, Outcome
from frame_async.models.events import Event, EventType
from frame_async.models.not_given import NOT_GIVEN, NotGiven
from frame_async.models.payment_methods import BankAccount, Card, PaymentMethodData
from frame_async.models.redirects import Redirect, RedirectResult
from frame_async.models.requests import LineItem, PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession, PaymentStatus, SessionStatus

__all__ = [
    "NOT_GIVEN",
    "Attempt",
    "BankAccount",
    "Call",
    "Card",
    "Event",
    "EventType",
    "LineItem",
    "NotGiven",
    "Outcome",
    "PaymentLinkSession",
    "PaymentLinkSessionRequest",
    "PaymentMethodData",
    "PaymentStatus",
    "Redirect",
    "RedirectResult",
    "SessionStatus",
]
