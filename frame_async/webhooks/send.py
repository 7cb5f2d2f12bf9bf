"""Webhooks made and signed here, for trying a handler: what Frame would send, or bad on purpose."""

import os
import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, Final

import aiohttp
from attrs import frozen

from frame_async.protocol.signatures import SIGNATURE_HEADER, Secrets
from frame_async.serialization import dump_json

ANSWER_WITHIN: Final = 30.0
"""Seconds that the receiver has for its answer; Frame itself may not wait that long."""

_TRANSFER: Final[Mapping[str, Any]] = {
    "amount": 1900,
    "currency": "usd",
    "charge_intent": "ci_1",
    "account": None,
    "account_id": None,
    "metadata": {},
    "reference": None,
    "failure_reason": None,
}
_LINK: Final[Mapping[str, Any]] = {"name": "Payment link", "status": "active", "link_id": "link_1"}
_INTENT: Final[Mapping[str, Any]] = {"amount": 1900, "currency": "usd", "metadata": {}}
_DATA: Final[Mapping[str, Mapping[str, Any]]] = {
    "transfer": _TRANSFER,
    "payment_link": _LINK,
    "charge_intent": _INTENT,
}
"""What Frame publishes of each object (Frame reference, transfers; Frame's SDKs)."""


def example_event(kind: str, reference: str | None = None) -> dict[str, Any]:
    """An event of a type such as ``transfer.succeeded``, with the fields that Frame publishes."""
    thing, _, what = kind.rpartition(".")
    data: dict[str, Any] = {"id": f"{thing or kind}_{token_hex(8)}", "object": thing or kind}
    if what in ("succeeded", "failed"):
        data["status"] = what
    data |= _DATA.get(thing, {})
    if what == "failed" and "failure_reason" in data:
        data["failure_reason"] = "insufficient_funds"
    if reference is not None:
        data["reference"] = reference
    return {
        "id": f"evt_{token_hex(16)}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": data,
    }


@frozen
class SignedWebhook:
    """One webhook as it goes over the wire."""

    body: bytes
    headers: dict[str, str]


@frozen
class WebhookAnswer:
    """What the receiver answered."""

    status: int
    seconds: float


def sign_event(event: Mapping[str, Any], secrets: Secrets) -> SignedWebhook:
    """An event signed as Frame signs (Frame's documentation of webhooks)."""
    return _signed(dump_json(event), str(event.get("type", "")), secrets)


def _signed(body: bytes, kind: str, secrets: Secrets) -> SignedWebhook:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Frame-Robot v1.0.0",
        "X-Frame-Event": "".join(c if "!" <= c <= "~" else "?" for c in kind),
        "X-Frame-Webhook-Id": "we_local",
        SIGNATURE_HEADER: f"sha256={secrets.sign(body).hex()}",
    }
    return SignedWebhook(body, headers)


def _other_body(webhook: SignedWebhook, _: Secrets) -> SignedWebhook:
    return SignedWebhook(webhook.body[:-1] + b" }", webhook.headers)


def _other_secret(webhook: SignedWebhook, _: Secrets) -> SignedWebhook:
    return SignedWebhook(
        webhook.body, webhook.headers | {SIGNATURE_HEADER: f"sha256={token_hex(32)}"}
    )


def _unsigned(webhook: SignedWebhook, _: Secrets) -> SignedWebhook:
    headers = {n: value for n, value in webhook.headers.items() if n != SIGNATURE_HEADER}
    return SignedWebhook(webhook.body, headers)


def _malformed(webhook: SignedWebhook, _: Secrets) -> SignedWebhook:
    signature = webhook.headers[SIGNATURE_HEADER].removeprefix("sha256=")
    return SignedWebhook(webhook.body, webhook.headers | {SIGNATURE_HEADER: signature})


def _not_json(webhook: SignedWebhook, secrets: Secrets) -> SignedWebhook:
    return _signed(webhook.body[:-1], webhook.headers["X-Frame-Event"], secrets)


TAMPERINGS: Final[Mapping[str, Callable[[SignedWebhook, Secrets], SignedWebhook]]] = {
    "body": _other_body,
    "secret": _other_secret,
    "unsigned": _unsigned,
    "malformed": _malformed,
    "not-json": _not_json,
}
"""Ways to spoil a webhook, by name: a body that was changed after it was signed, a signature
under another secret, none, one without ``sha256=``, and a body that is signed but no JSON."""


async def send(url: str, webhook: SignedWebhook) -> WebhookAnswer:
    """Deliver a webhook once, without following redirects.

    Raises:
        OSError: there was no answer; its message says why.
    """
    began = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url, data=webhook.body, headers=webhook.headers, allow_redirects=False
            ) as answer,
        ):
            return WebhookAnswer(answer.status, time.monotonic() - began)
    except TimeoutError:
        reason = f"no answer within {ANSWER_WITHIN:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        said = os.strerror(number) if isinstance(number, int) and number > 0 else ""
        reason = f"no answer: {said.lower() or type(error).__name__}"
    raise OSError(reason)
