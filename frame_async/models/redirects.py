"""What a payer's browser brings back: the signed payload of a redirect.

Frame says that there is one on ``success_url`` and ``cancel_url``, and has not published
its format. This one is the project's own, which the emulator uses too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen


class RedirectResult:
    """The values of `Redirect.result` that the emulator sends; others come as they are."""

    PAID: Final = "paid"
    PROCESSING: Final = "processing"
    """A bank payment is under way; whether it lands, a webhook tells."""
    CANCELED: Final = "canceled"


@frozen(kw_only=True)
class Redirect:
    """What a redirect says: a hint for the page that the payer sees.

    It is no proof of payment: a payer may never come back, or come back by reloading. The
    webhook ``transfer.succeeded`` is the truth.
    """

    session: str
    """Id of the payment link session."""
    result: str
    """How the payer left the checkout page, see `RedirectResult`."""
    client_reference_id: str | None = None
    """Your own reference."""
    payment_status: str | None = None
    """Life of the payment, see `PaymentStatus`."""
    issued_at: datetime | None = None
    """When the payer was sent back, in UTC, to the second."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)
    """Fields of the payload that this class doesn't know, as they came."""
