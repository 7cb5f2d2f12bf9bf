"""The events in the words of OpenAPI 3.1: the document's section ``webhooks``."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from .published import IN_METADATA, IN_TRANSFER, OF_SESSIONS

_TEXT: Final = {"type": "string"}
_PERHAPS: Final = {"type": ["string", "null"]}
_TIME: Final = {"type": "integer", "description": "Seconds since the epoch."}
_HEADERS: Final[Mapping[str, str]] = {
    "X-Frame-Signature": "`sha256=` and the HMAC-SHA256 of the body under the endpoint's secret, "
    "in hexadecimal digits.",
    "X-Frame-Event": "The event's type.",
    "X-Frame-Webhook-Id": "Names the endpoint.",
}
_ABOUT: Final[Mapping[str, str]] = {
    "payment_link.created": "A payment link was made.",
    "charge_intent.succeeded": "A payment was taken.",
    "transfer.succeeded": "A payment landed.",
    "transfer.failed": "A payment failed.",
}


def webhooks_of(assumed: Collection[str]) -> dict[str, Any]:
    """Describe each event; `assumed` has the names of what is assumed beyond what is published."""
    data = {
        "payment_link.created": _link(assumed),
        "charge_intent.succeeded": _object(_charge(assumed)),
        "transfer.succeeded": _object(_transfer(assumed, "succeeded")),
        "transfer.failed": _object(_transfer(assumed, "failed")),
    }
    return {name: {"post": _operation(name, data[name])} for name in data}


def _operation(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    event = _object(
        {
            "id": {"type": "string", "description": "The same at each delivery."},
            "object": {"const": "event"},
            "type": {"const": name},
            "created": _TIME,
            "livemode": {"type": "boolean"},
            "data": data,
        }
    )
    return {
        "summary": _ABOUT[name],
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": said, "schema": _TEXT}
            for header, said in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": event}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "default": {"description": "Anything else is delivered again, up to three times."},
        },
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _payment(assumed: Collection[str], kind: str, status: str) -> dict[str, Any]:
    """What a transfer and its charge intent have in common."""
    reference = {"client_reference_id": _TEXT} if IN_METADATA in assumed else {}
    session = {"payment_link_session": _TEXT} if OF_SESSIONS in assumed else {}
    return {
        "id": _TEXT,
        "object": {"const": kind},
        "amount": {"type": "integer", "description": "In hundredths."},
        "status": {"const": status},
        "metadata": {"type": "object", "properties": reference, "additionalProperties": False},
        **session,
    }


def _transfer(assumed: Collection[str], status: str) -> dict[str, Any]:
    reference = {"client_reference_id": _PERHAPS} if IN_TRANSFER in assumed else {}
    return {
        **_payment(assumed, "transfer", status),
        "charge_intent": _TEXT,
        "account": _PERHAPS,
        "account_id": _PERHAPS,
        "reference": {"type": "null", "description": "What Frame puts here isn't published."},
        "failure_reason": {"type": "null"} if status == "succeeded" else _TEXT,
        **reference,
    }


def _charge(assumed: Collection[str]) -> dict[str, Any]:
    named = {
        name: {"anyOf": [_object({"id": _TEXT, "object": {"const": name}}), {"type": "null"}]}
        for name in ("account", "customer")
    }
    return {**_payment(assumed, "charge_intent", "succeeded"), **named}


def _link(assumed: Collection[str]) -> dict[str, Any]:
    if OF_SESSIONS in assumed:
        return {"$ref": "#/components/schemas/PaymentLinkSession"}
    return _object(
        {
            "id": {"type": "string", "description": "Of the link, which is no session."},
            "object": {"const": "payment_link"},
            "name": _TEXT,
            "status": _TEXT,
            "link_id": _TEXT,
            "created": _TIME,
            "updated": _TIME,
            "livemode": {"type": "boolean"},
        }
    )
