"""What Frame answers: a payment link session (Frame reference, payment link sessions)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from frame_async.calls import Call


class SessionStatus:
    """The published values of `PaymentLinkSession.status`; others come as they are."""

    OPEN: Final = "open"
    """A payer may pay."""


class PaymentStatus:
    """The published values of `PaymentLinkSession.payment_status`; others come as they are."""

    UNPAID: Final = "unpaid"
    """Nobody has paid yet."""


@frozen(kw_only=True)
class PaymentLinkSession:
    """A payment link session as Frame answered it.

    Only ``id`` is certain. A field that the answer lacks is ``None``, and so is one of
    another type than it should have: ``unread`` names it. One that this class doesn't know
    is kept in ``extra``. Times are aware datetimes in UTC.
    """

    id: str
    """The session's id."""
    object: str | None = None
    """What kind of object this is; its spelling varies, so don't branch on it."""
    status: str | None = None
    """Life of the session, see `SessionStatus`."""
    payment_status: str | None = None
    """Life of the payment, see `PaymentStatus`."""
    client_reference_id: str | None = None
    """Your own reference."""
    customer: str | None = None
    """Customer id."""
    customer_email: str | None = None
    """Payer's e-mail address."""
    account: str | None = None
    """Account id."""
    payment_method: str | None = None
    """Payment method id."""
    phone_number_collection: bool | None = None
    """Whether a phone number is collected."""
    shipping_address_collection: bool | None = None
    """Whether a shipping address is collected."""
    expires: datetime | None = None
    """When the session expires."""
    created: datetime | None = None
    """When it was created."""
    updated: datetime | None = None
    """When it was last changed."""
    livemode: bool | None = None
    """True for live mode, False for Frame's sandbox mode."""
    url: str | None = None
    """Address of the hosted checkout page. Not in Frame's reference, but in Frame's SDKs."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)
    """As they came: fields of the answer that this class doesn't know, those in ``unread``, and
    objects that Frame put in the place of an id (the field has the id then). JSON that can't
    be read is here as its text."""
    unread: tuple[str, ...] = ()
    """Paths of the fields that had a value of another type than expected. They are ``None``."""
    call: Call = field(factory=Call, eq=False, repr=False)
    """The record of the call that created it."""
