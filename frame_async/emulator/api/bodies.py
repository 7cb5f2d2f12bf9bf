"""Request bodies: from bytes to a JSON object, and from that to what may be kept."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .answers import bad_request
from .checks import is_list, is_object
from .validation import FIELDS, ITEM_FIELDS

HIDDEN = "[hidden]"
"""Stands in the ledger for a value that may be secret."""

LARGEST = 1024**2
"""Most bytes of a body, 1 MiB: aiohttp's own limit, which nobody here raises."""


PATIENCE = 30.0
"""Seconds that a body may take to arrive. aiohttp itself would wait for ever, also
for the rest of a body whose framing it has found to be broken."""


async def read_body(request: web.BaseRequest, media_type: str = "application/json") -> bytes:
    """Read the body of a request that says it is JSON, or of another media type.

    Raises:
        RefusedError: 415 for another type or a content coding, 413 above 1 MiB,
            400 for broken chunks, 408 when it takes too long.
        ConnectionError: The client left before the body was complete.
    """
    _require(request, media_type)
    if (request.content_length or 0) > LARGEST:
        raise bad_request(413, "The body is larger than 1 MiB.")
    if request.headers.get("Expect", "").lower() == "100-continue":
        await _continue(request)
    try:
        return await _patiently(request)
    except web.HTTPRequestEntityTooLarge:
        raise bad_request(413, "The body is larger than 1 MiB.") from None
    except (web.RequestPayloadError, HttpProcessingError):  # they repeat what came in
        raise bad_request(400, "The body is not framed as HTTP asks.") from None
    except TimeoutError:
        raise bad_request(408, f"The body did not come within {PATIENCE:g} s.") from None


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object; of a name that occurs twice the last value counts.

    Raises:
        RefusedError: 400 for anything else: other encodings than UTF-8, NaN and
            Infinity, numbers and nesting beyond what Python reads.
    """
    try:
        content = _decode(body.decode("utf-8"))
    except (ValueError, RecursionError):  # ValueError: bad UTF-8, bad JSON, endless digits
        raise bad_request(400, "The body is not JSON.") from None
    if not is_object(content):
        raise bad_request(400, "The body is not a JSON object.")
    return content


def redact(body: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a body for the ledger, with nothing in it that could be card or bank data.

    Beside ``payment_method_data`` that is whatever has an unknown name or a
    container where the reference has a plain value: a card under a misspelt or
    mistaken name is a card all the same.
    """
    items = body.get("line_items")
    shown = _plain_values(body, FIELDS)
    if is_list(items):
        shown["line_items"] = [
            _plain_values(item, ITEM_FIELDS) if is_object(item) else HIDDEN for item in items
        ]
    if "payment_method_data" in body:
        shown["payment_method_data"] = HIDDEN
    return shown


def _require(request: web.BaseRequest, media_type: str) -> None:
    given = request.headers.get("Content-Type", "").partition(";")[0]
    if given.strip().lower() != media_type:
        raise bad_request(415, f"Send the body as Content-Type: {media_type}.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise bad_request(415, "Send the body without a Content-Encoding.")


async def _patiently(request: web.BaseRequest) -> bytes:
    content = request.content
    if content.is_eof() and content.exception() is None and content.total_bytes <= LARGEST:
        return content.read_nowait()  # it came with the head, as it nearly always does
    async with asyncio.timeout(PATIENCE):
        return await request.read()


async def _continue(request: web.BaseRequest) -> None:
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _plain_values(source: Mapping[str, Any], known: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: HIDDEN if name not in known or isinstance(value, dict | list) else value
        for name, value in source.items()
    }
