"""What Frame sends back by itself: the events of webhooks (Frame's documentation of webhooks)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from frame_async.shapes import is_mapping


class EventType:
    """The events around a payment link; others come as they are."""

    PAYMENT_LINK_CREATED: Final = "payment_link.created"
    TRANSFER_SUCCEEDED: Final = "transfer.succeeded"
    """The payment landed; Frame names this as the one to wait for."""
    TRANSFER_FAILED: Final = "transfer.failed"
    CHARGE_INTENT_SUCCEEDED: Final = "charge_intent.succeeded"


@frozen(kw_only=True)
class Event:
    """An event as Frame sent it.

    Only ``id`` and ``type`` are certain. A field that the body lacks is ``None``, one that
    this class doesn't know is kept in ``extra``. The repr leaves ``data`` and ``extra``
    out, since they may tell of a payer.
    """

    id: str
    """The event's id, the same at each delivery: 1 to 255 visible ASCII characters."""
    type: str
    """What happened, see `EventType`."""
    created: datetime | None = None
    """When it happened, in UTC, from ``created`` or ``created_at``. It is part of the
    signed body, and it stays the same when the event is delivered again."""
    livemode: bool | None = None
    """True for live mode, False for Frame's sandbox mode."""
    data: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)
    """What it happened to: a session, a transfer, a charge intent, ..."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)
    """Fields of the body that this class doesn't know, such as ``object``, as they came."""

    @property
    def session_id(self) -> str | None:
        """The payment link session that this is about, as far as ``data`` tells.

        That is the ``id`` of a session, or the ``payment_link_session`` of anything else.
        Frame has published neither; they are what the emulator sends.
        """
        if self.type.startswith("payment_link."):
            return _text(self.data.get("id"))
        named = self.data.get("payment_link_session")
        return _text(named.get("id") if is_mapping(named) else named)

    @property
    def client_reference_id(self) -> str | None:
        """Your own reference, as far as ``data`` tells."""
        return _text(self.data.get("client_reference_id"))

    @property
    def failure_code(self) -> str | None:
        """Why a payment failed, as far as ``data`` tells."""
        return _text(self.data.get("failure_code"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
