"""What events say: the fields that Frame publishes, and more only where it was assumed.

Frame's reference gives a Transfer ``charge_intent, account, account_id, metadata,
reference, failure_reason`` beside its amount and status, and nothing that ties it to a
payment link session. What Frame fills ``metadata`` and ``reference`` with isn't published.
The data of ``payment_link.created`` is a payment link of Frame's dashboard (Frame's SDKs),
whose id is none of a session. Each thing beyond that is an assumption with a name.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from frame_async.emulator.state.orders import Order, Transfer
from frame_async.emulator.state.randomness import new_id
from frame_async.emulator.state.sessions import Session

IN_METADATA: Final = "reference-in-metadata"
IN_TRANSFER: Final = "client-reference-id-in-transfer"
OF_SESSIONS: Final = "session-events"

ASSUMPTIONS: Final[Mapping[str, str]] = {
    IN_METADATA: "the metadata of a transfer and of its charge intent has the session's "
    "client_reference_id",
    IN_TRANSFER: "a transfer has the session's client_reference_id as a field of its own",
    OF_SESSIONS: "payment_link.created comes with the session as its data, and transfers and "
    "charge intents name their session in payment_link_session",
}
"""What may be assumed of Frame's events, by name. Nobody outside Frame can say."""


def payment_events(
    session: Session, order: Order, transfer: Transfer, assumed: Collection[str]
) -> list[tuple[str, dict[str, Any]]]:
    """The events of a payment that has ended, each with its type and its data."""
    charge_id, paid = new_id(), transfer.failure_code is None
    reference = session.client_reference_id
    known = IN_METADATA in assumed and reference is not None
    about: dict[str, Any] = {
        "amount": order.amount,
        "status": "succeeded" if paid else "failed",
        "metadata": {"client_reference_id": reference} if known else {},
    }
    if OF_SESSIONS in assumed:
        about["payment_link_session"] = session.id
    account = session.given.get("account")
    data = {
        "id": transfer.id,
        "object": "transfer",
        **about,
        "charge_intent": charge_id,
        "account": account,
        "account_id": account,
        "reference": None,
        "failure_reason": transfer.failure_code,
    }
    if IN_TRANSFER in assumed:
        data["client_reference_id"] = reference
    if not paid:
        return [("transfer.failed", data)]
    charge = {
        "id": charge_id,
        "object": "charge_intent",
        **about,
        "account": _expanded(session, "account"),
        "customer": _expanded(session, "customer"),
    }
    return [("charge_intent.succeeded", charge), ("transfer.succeeded", data)]


def created_data(
    session: Session, now: float, url: str, assumed: Collection[str]
) -> dict[str, Any]:
    """The data of ``payment_link.created``, which comes when a session is made.

    Whether Frame sends it for a session isn't published; it says nothing of the session.
    """
    if OF_SESSIONS in assumed:
        return {**session.as_json(now), "url": url}
    link_id = new_id()
    return {
        "id": link_id,
        "object": "payment_link",
        "name": "Payment link",
        "status": "active",
        "link_id": link_id.partition("-")[0],
        "created": session.created,
        "updated": session.created,
        "livemode": False,
    }


def _expanded(session: Session, kind: str) -> dict[str, Any] | None:
    """What a charge intent has in place of an id (Frame's SDKs): the object."""
    named = session.given.get(kind)
    return None if named is None else {"id": named, "object": kind}
