"""Requests to the admin API: who may make them, and what they say, with every mistake named.

Programs on this machine may, and the emulator's own pages.
There is no key, so a web page that the developer happens to have open must not get in.
A page at another address is known by what browsers say of it (``Sec-Fetch-Site`` and
``Origin``), and one whose name was made to point here by its ``Host``, see `hosts`.
"""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from frame_async.emulator.api.answers import RefusedError, error_answer
from frame_async.emulator.api.bodies import decode_object, read_body
from frame_async.emulator.api.hosts import require_own_host

_OWN = ("same-origin", "none")  # the emulator's pages, and what a person typed


def refuse_strangers(
    request: web.BaseRequest, own_hosts: Collection[str], *, remote: bool, is_page: bool
) -> None:
    """Let a request through, or not.

    Args:
        request: The request.
        own_hosts: The emulator's own names.
        remote: Whether other machines may reach it.
        is_page: Whether it asks for a page to look at, which links elsewhere may lead to.

    Raises:
        RefusedError: 403, with what is wrong.
    """
    require_own_host(request, own_hosts, remote=remote)
    origin = request.headers.get("Origin")
    if origin is not None and not _same_place(origin, request.headers["Host"]):
        raise _stranger("Pages from elsewhere may not use the emulator's admin API.")
    followed_a_link = is_page and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN and not followed_a_link:
        raise _stranger("Pages from elsewhere may not use the emulator's admin API.")


def _same_place(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _stranger(message: str) -> RefusedError:
    return RefusedError(error_answer(403, "permission_error", message))


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
