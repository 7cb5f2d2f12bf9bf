"""What the admin API is told: queries and bodies, with every mistake named."""

from collections.abc import Collection, Mapping
from typing import Any

from aiohttp import web

from frame_async.emulator.answers import RefusedError, error_answer
from frame_async.emulator.bodies import decode_object, read_body

_MOST = 500


def wrong(field: str, message: str) -> RefusedError:
    """Make the refusal (422) of one field."""
    text = f"{field} {message}"
    return RefusedError(error_answer(422, "validation_error", text, {field: [message]}))


def not_found(what: str) -> RefusedError:
    """Make the refusal (404) of something that is not there."""
    return RefusedError(error_answer(404, "invalid_request_error", f"There is no such {what}."))


async def read_object(request: web.BaseRequest, allowed: Collection[str]) -> dict[str, Any]:
    """Read a JSON object with no fields but these; no body at all is an empty object.

    Raises:
        RefusedError: With what is wrong.
    """
    if not request.body_exists:
        return {}
    body = decode_object(await read_body(request))
    for name in body:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise wrong("body", f"has a field that is not known here; known are: {known}")
    return body


def page_size(query: Mapping[str, str]) -> int:
    """Return ``limit`` of a query: how many things to list, 1 to 500, 50 when not given."""
    return whole(query, "limit", least=1, most=_MOST) or 50


def whole(query: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    """Return a whole number of a query, if it is there.

    Raises:
        RefusedError: It is no number between the bounds.
    """
    text = query.get(name)
    if text is None:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else least - 1
    if not least <= number <= most:
        raise wrong(name, f"must be a whole number from {least} to {most}")
    return number
