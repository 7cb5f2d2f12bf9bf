"""Webhooks for tests, signed as Frame signs them."""

import hmac
import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from frame_async.serialization import dump_json


def signed_webhook(
    type: str,  # noqa: A002  # as the event has it
    data: Mapping[str, Any],
    *,
    secret: str,
    id: str | None = None,  # noqa: A002  # the same
    created: float | None = None,
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook, to post to your own endpoint.

    Args:
        type: of the event, such as ``transfer.succeeded``.
        data: what it happened to.
        secret: the one that your endpoint verifies with.
        id: of the event; by default a new one. Give the same twice to deliver twice.
        created: when it happened, in epoch seconds; by default now.
    """
    body = dump_json(
        {
            "id": f"evt_{token_hex(16)}" if id is None else id,
            "object": "event",
            "type": type,
            "created": int(time.time() if created is None else created),
            "livemode": False,
            "data": dict(data),
        }
    )
    digest = hmac.digest(secret.encode(), body, "sha256").hex()
    return body, {
        "Content-Type": "application/json",
        "User-Agent": "Frame-Robot v1.0.0",
        "X-Frame-Event": type,
        "X-Frame-Webhook-Id": "we_test",
        "X-Frame-Signature": f"sha256={digest}",
    }
