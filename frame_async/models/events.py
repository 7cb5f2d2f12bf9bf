"""What Frame sends back by itself: the events of webhooks (Frame's documentation of webhooks)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import field, frozen

from frame_async.shapes import is_mapping


class EventType:
    """The events around a payment link; others come as they are."""

    PAYMENT_LINK_CREATED: Final = "payment_link.created"
    """A payment link was made in Frame's dashboard; it is no session."""
    TRANSFER_SUCCEEDED: Final = "transfer.succeeded"
    """The payment landed; Frame names this as the one to wait for. Nothing that is published
    of it ties it to a session for certain, see `Event.references`."""
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
    """What it happened to: a transfer, a charge intent, a payment link of the dashboard, ..."""
    extra: Mapping[str, Any] = field(factory=dict[str, Any], hash=False, repr=False)
    """Fields of the body that this class doesn't know, such as ``object``, as they came."""

    @property
    def session_id(self) -> str | None:
        """The payment link session that this is about, as far as ``data`` tells.

        That is the ``id`` of a session, or the ``payment_link_session`` of anything else.
        Frame has published neither for an event. The ``data`` of ``payment_link.created`` is
        a payment link of Frame's dashboard (Frame's SDKs), whose id is none of a session.
        """
        if self.data.get("object") in _SESSIONS:
            return _text(self.data.get("id"))
        named = self.data.get("payment_link_session")
        if not is_mapping(named):
            return _text(named)
        # One that says that it is something else, a link of the dashboard, is none.
        return _text(named.get("id")) if named.get("object", _SESSIONS[0]) in _SESSIONS else None

    def references(self) -> dict[str, str]:
        """Every value in ``data`` that may tie the event to an order, by the path it came from.

        Such as ``{"data.metadata.order": "42", "data.account": "acc_1"}``: the session, your
        own reference, ``reference`` and ``metadata``, and what the event names (charge intent,
        customer, account), in expanded objects as well. Whole numbers are given as digits.
        Frame publishes ``charge_intent``, ``account``, ``account_id``, ``metadata`` and
        ``reference`` for a Transfer, and not what it fills them with (Frame's documentation of
        transfers), so compare them with what you know, and leave what matches no order, or
        several, to a person.
        """
        return dict(_references(self.data, "data"))

    @property
    def client_reference_id(self) -> str | None:
        """Your own reference, as far as ``data`` tells."""
        return _text(self.data.get("client_reference_id"))

    @property
    def failure_code(self) -> str | None:
        """Why a charge failed, as far as ``data`` tells: a field of Frame's Charge."""
        return _text(self.data.get("failure_code"))

    @property
    def failure_reason(self) -> str | None:
        """Why a transfer failed, as far as ``data`` tells: a field of Frame's Transfer."""
        return _text(self.data.get("failure_reason"))


_SESSIONS: Final = ("payment_link.session", "payment_link_session")
_OWN: Final = ("client_reference_id", "reference")
_NAMED: Final = ("payment_link_session", "charge_intent", "customer", "account", "account_id")


def _references(data: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Paths and values; an event is never nested deep, its reader sees to that."""
    if data.get("object") in _SESSIONS:
        yield from _reference(data.get("id"), f"{path}.id")
    for name in _OWN:
        yield from _reference(data.get(name), f"{path}.{name}")
    metadata = data.get("metadata")
    for name, value in metadata.items() if is_mapping(metadata) else ():
        yield from _reference(value, f"{path}.metadata.{name}")
    for name in _NAMED:
        value = data.get(name)
        if is_mapping(value):
            if value.get("object") not in _SESSIONS:
                yield from _reference(value.get("id"), f"{path}.{name}.id")
            yield from _references(value, f"{path}.{name}")
        else:
            yield from _reference(value, f"{path}.{name}")


def _reference(value: object, path: str) -> Iterator[tuple[str, str]]:
    if type(value) is int or (isinstance(value, str) and value.strip()):
        yield path, str(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
