"""The OpenAPI 3.1 document of call and events, made from the rules that judge the call."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from frame_async.emulator.state.sessions import DAY
from frame_async.emulator.webhooks.described import webhooks_of
from frame_async.emulator.webhooks.published import ASSUMPTIONS

from .answers import ApiAnswer, json_answer
from .validation import FIELDS, REQUIRED, schemas_of

_PATH = "/v1/payment_link_sessions"

_ABOUT = """\
Creates payment link sessions, as Frame's public reference describes it. This document is the
Frame emulator's reading of that reference, not Frame's own. Fields that it does not name are
ignored without a word."""

_DESCRIPTIONS: Mapping[str, str] = {
    "customer": "ID of the customer. Excludes `account` and `customer_email`.",
    "account": "ID of the account. Excludes `customer`.",
    "customer_email": "The payer's e-mail address. Excludes `customer`.",
    "client_reference_id": "The merchant's own reference.",
    "success_url": "Where the payer goes after a successful or processing payment; "
    "a signed payload is appended.",
    "cancel_url": "Where the payer goes after cancelling; a signed payload is appended.",
    "expires_in": "Seconds until the session expires.",
    "phone_number_collection": "Whether checkout asks for a phone number.",
    "shipping_address_collection": "Whether checkout asks for a shipping address.",
    "payment_method": "ID of a payment method to pre-fill. Requires `customer` or `account`.",
    "payment_method_data": "A new payment method to pre-fill. In production, card data must come "
    "encrypted from Frame.js. Other types than `card` and `ach` are taken and can't be paid with.",
    "line_items": "The products, at least one. `quantity_maximum` must not be less than "
    "`quantity_minimum`.",
}

_EXAMPLE = {
    "line_items": [{"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 5}],
    "client_reference_id": "order-42",
    "customer_email": "payer@example.com",
    "success_url": "https://shop.example/thanks",
}

_TEXT = {"type": ["string", "null"]}
_TIME = {"type": "integer", "description": "Seconds since the epoch."}

_SESSION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "customer_email": _TEXT,
        "payment_status": {"type": "string", "description": "`unpaid` when new."},
        "phone_number_collection": {"type": "boolean"},
        "shipping_address_collection": {"type": "boolean"},
        "status": {"type": "string", "description": "`open` when new."},
        "client_reference_id": _TEXT,
        "object": {"type": "string", "const": "payment_link.session"},
        "expires": _TIME,
        "created": _TIME,
        "updated": _TIME,
        "livemode": {"type": "boolean"},
        "customer": _TEXT,
        "account": _TEXT,
        "payment_method": _TEXT,
        "url": {
            "type": "string",
            "format": "uri",
            "description": "The hosted page. Not in Frame's reference, but in its libraries.",
        },
    },
}

_PROBLEMS = {
    "description": "Messages; for an object or a list, problems by field or index.",
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Problems"}},
    ],
}

_STRING = {"type": "string"}


def _object(required: Sequence[str], **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_ERRORS: Mapping[str, Any] = {
    "standard": _object(
        ["error", "error_details"],
        error=_STRING,
        error_details=_object(["message"], message=_STRING)
        | {"additionalProperties": {"$ref": "#/components/schemas/Problems"}},
    ),
    "cli": _object(
        ["error"],
        error=_object(
            ["type", "message"],
            type=_STRING,
            message=_STRING,
            errors={"$ref": "#/components/schemas/Problems"},
        ),
    ),
    "node": _object(["code", "message"], code=_STRING, message=_STRING),
    "php": _object(["error"], error=_object(["message", "code"], message=_STRING, code=_STRING)),
    "ruby": _object(["error"], error=_STRING),
    "text": _STRING,
}
"""Errors by the name of their envelope."""

_REFUSALS: Mapping[str, str] = {
    "400": "The body is no JSON object, or the request no proper HTTP.",
    "401": "No key, or one that is not accepted.",
    "408": "The body did not come in time.",
    "409": "A request with this Idempotency-Key is still in progress (only with idempotency on).",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not sent as application/json, or compressed.",
    "422": "The body breaks a rule: the answer has every problem, by field.",
    "429": "More requests in the rolling window than this key may make.",
    "500": "The emulator failed, or a fault was asked for.",
}


@cache
def answer_document(assumed: frozenset[str], envelope: str) -> ApiAnswer:
    """Answer with the document."""
    return json_answer(200, document(assumed, envelope))


@cache
def document(assumed: frozenset[str], envelope: str) -> Mapping[str, Any]:
    """Return the document; `assumed` has the names of what is assumed of events."""
    media_type = "text/plain" if envelope == "text" else "application/json"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Frame Payments: payment link sessions",
            "version": "1",
            "description": f"{_ABOUT} {_about_events(assumed)}",
            "x-assumptions": [
                {"name": name, "about": about, "assumed": name in assumed}
                for name, about in ASSUMPTIONS.items()
            ],
        },
        "servers": [{"url": "/", "description": "This emulator"}],
        "security": [{"key": []}],
        "paths": {_PATH: {"post": _operation(media_type)}},
        "webhooks": webhooks_of(assumed),
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A secret key; here any that starts with `sk_sandbox_`.",
                }
            },
            "schemas": {
                "PaymentLinkSessionRequest": _request(),
                "PaymentLinkSession": {**_SESSION, "required": list(_SESSION["properties"])},
                "Problems": _PROBLEMS,
                "Error": _ERRORS[envelope],
            },
        },
    }


def _about_events(assumed: frozenset[str]) -> str:
    if not assumed:
        return "Webhooks carry what Frame publishes of them; nothing is assumed beyond that."
    said = "; ".join(f"`{name}`: {ASSUMPTIONS[name]}" for name in ASSUMPTIONS if name in assumed)
    return f"Assumed of webhooks beyond what Frame publishes: {said}."


def _operation(media_type: str) -> dict[str, Any]:
    return {
        "operationId": "createPaymentLinkSession",
        "summary": "Create a payment link session",
        "description": "Makes a page on which a payer can pay for the line items. Frame V1 does "
        "not look at idempotency keys: the same request sent twice makes two sessions.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Ignored, unless the emulator was told to honour it; "
                "then 1 to 255 characters.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/PaymentLinkSessionRequest"},
                    "example": _EXAMPLE,
                }
            },
        },
        "responses": {
            "201": _created(),
            **{code: _refusal(code, media_type) for code in _REFUSALS},
        },
    }


def _request() -> dict[str, Any]:
    properties = schemas_of(FIELDS, REQUIRED)
    for name, description in _DESCRIPTIONS.items():
        properties[name]["description"] = description
    properties["expires_in"]["default"] = DAY
    return {
        "type": "object",
        "required": list(REQUIRED),
        "properties": properties,
        "allOf": [
            {"not": _with("customer", "account")},
            {"not": _with("customer", "customer_email")},
            {"anyOf": [{"not": _with("payment_method")}, _with("customer"), _with("account")]},
        ],
    }


def _with(*names: str) -> dict[str, Any]:
    """Describe objects that have all of these fields, none of them ``null``."""
    filled = {name: {"not": {"type": "null"}} for name in names}
    return {"required": list(names), "properties": filled}


def _created() -> dict[str, Any]:
    return {
        "description": "The session. Which 2xx Frame answers with is not documented.",
        "headers": {"X-Request-Id": _header("Names this request.", {"type": "string"})},
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/PaymentLinkSession"}}
        },
    }


def _refusal(code: str, media_type: str) -> dict[str, Any]:
    headers = {"X-Request-Id": _header("Names this request.", {"type": "string"})}
    if code == "429":
        wait = "When to try again: seconds or an HTTP-date. It may be absent."
        headers["Retry-After"] = _header(wait, {"type": "string"})
    if code == "401":
        headers["WWW-Authenticate"] = _header("`Bearer`.", {"type": "string"})
    return {
        "description": _REFUSALS[code],
        "headers": headers,
        "content": {media_type: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _header(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "schema": dict(schema)}
