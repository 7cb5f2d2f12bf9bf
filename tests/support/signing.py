"""Webhooks signed by hand, from Frame's documentation and not with the code under test."""

import hashlib
import hmac
import json
from typing import Any

SECRET = "whsec_0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


def event_body(**changes: Any) -> bytes:
    """The body of an event; a field given as None is left out."""
    event: dict[str, Any] = {
        "id": "evt_0123",
        "object": "event",
        "type": "transfer.succeeded",
        "created": 1_781_115_881,
        "livemode": False,
        "data": {
            "id": "tr_1",
            "object": "transfer",
            "amount": None,
            "status": "succeeded",
            "payment_link_session": "ses_1",
            "client_reference_id": "order-42",
            "failure_code": None,
        },
    }
    event |= changes
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    """The value of the signature header."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The headers of a delivery, as Frame sends them."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Frame-Robot v1.0.0",
        "X-Frame-Event": "transfer.succeeded",
        "X-Frame-Webhook-Id": "we_1",
        "X-Frame-Signature": signature(body, secret),
    }
