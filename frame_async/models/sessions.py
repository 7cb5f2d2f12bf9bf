"""What Frame answers: a payment link session (Frame reference, payment link sessions)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, fields, frozen

from frame_async.calls import Call
from frame_async.errors import Problem, SessionUnreadableError, ValidationError
from frame_async.shapes import is_mapping, plain


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

    @property
    def checkout_url(self) -> str:
        """Where to send the payer: `url`, which is there.

        Raises:
            SessionUnreadableError: Frame's answer had none that is safe to send a payer to; the
                error has the session's id.
        """
        if self.url is None:
            said = f"session {self.id} has no address of a checkout page"
            raise SessionUnreadableError(said, self.call, session_id=self.id)
        return self.url

    def to_dict(self) -> dict[str, Any]:
        """All fields in JSON's own types, times in ISO 8601; `from_dict` makes the session of it.

        Fields of `extra` stand beside the others, as in Frame's answer. Without `call`.
        """
        known = {name: _written(getattr(self, name)) for name in _TYPES}
        return {**known, **plain(self.extra)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> "PaymentLinkSession":
        """A session from what `to_dict` made, or from Frame's answer; its `call` is empty.

        As in an answer, a value of another type than expected goes to `extra`.

        Raises:
            ValidationError: it is no mapping, or has no id, or a blank one.
        """
        known, extra = dict[str, Any](), dict[str, Any]()
        for name, value in given.items() if is_mapping(given) else ():
            found = _moment(value) if name in _TIMES else value
            fits = name in _TYPES and isinstance(found, _TYPES[name])
            (known if fits else extra)[name] = found if fits else value
            if not fits and (inner := id_in(name, value)):
                known[name] = inner
        if not is_blank(known.get("id", "")):
            unread = tuple(sorted(extra.keys() & _TYPES.keys() - known.keys()))
            return cls(**known, extra=extra, unread=unread)
        problem = Problem(
            "id", "is missing or blank", "pass what to_dict() made, or Frame's answer"
        )
        raise ValidationError("invalid payment link session", [problem])


_TYPES: Final[Mapping[str, Any]] = {
    a.name: a.type for a in fields(PaymentLinkSession) if a.name not in ("extra", "unread", "call")
}
_EXPANDED: Final = frozenset(("id", "customer", "account", "payment_method"))
"""Ids in whose place Frame may put the object, as it does in its ChargeIntent and Invoice."""
_TIMES: Final = frozenset(("expires", "created", "updated"))


def _written(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else plain(value)


ISO_8601: Final = re.compile(
    r"(?a)\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?"
)
"""A time; Python reads more, such as days and weeks, than an API means by it."""


def id_in(name: str, value: object) -> str | None:
    """The id in an object that came in place of it; a session's own may be a number."""
    if name == "id" and type(value) is int:
        return str(value)
    found = value.get("id") if is_mapping(value) and name in _EXPANDED else None
    if name == "id" and type(found) is int:
        return str(found)
    return found if type(found) is str and found.strip() else None


def is_blank(session_id: str) -> bool:
    """Whether nothing in it can be seen."""
    return not "".join(filter(str.isprintable, session_id)).strip()


def _moment(value: Any) -> Any:
    """Epoch seconds or ISO 8601 as a time; anything else as it is."""
    if isinstance(value, bool) or (isinstance(value, str) and not ISO_8601.fullmatch(value)):
        return value
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return value
