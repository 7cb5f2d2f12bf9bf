"""Reading what a server said when it said no, in every envelope that Frame uses.

The newest is ``{"error_details": {"message"} or "text", "error": "Unprocessable Entity"}``,
which Frame's mobile SDKs call the standard envelope. Frame's CLI reads
``{"error": {"type", "message", "errors": {nested hash of lists}}}``;
also seen are ``{"error": "text"}``, ``{"error": {"message", "code"}}``,
``{"code", "message"}``, ``{"code", "error_details": {...}}``, and HTML from a proxy.
Nothing here ever fails: an answer in a new form loses its details, not its status.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from frame_async.errors import ServerAnswer, UnreadableError
from frame_async.serialization._json import decode
from frame_async.serialization._lenient import decode_answer
from frame_async.shapes import is_listing, is_mapping

_TITLE: Final = re.compile(r"(?i)<title[^>]{0,99}>([^<]{0,999})</title")
_MOST_FIELDS: Final = 100
_DEEPEST: Final = 16
_LONGEST_PAGE: Final = 65_536


def load_error(
    status: int,
    data: bytes,
    request_id: str | None = None,
    clean: Callable[[str], str] = str,
) -> ServerAnswer:
    """Read an error answer; `clean` makes every text in it safe to show."""
    try:
        decoded = _decoded(data)
    except UnreadableError:
        return ServerAnswer(status, message=_page(data, clean), request_id=request_id)
    body = _object(decoded)
    inner = _object(body.get("error")) or body
    details = body.get("error_details")
    said = details.get("message") if is_mapping(details) else details
    return ServerAnswer(
        status,
        type=_first(clean, inner.get("type"), body.get("type")),
        code=_first(clean, _digits(inner.get("code")), _digits(body.get("code"))),
        message=_first(clean, inner.get("message"), said, body.get("error"), body.get("message")),
        field_errors=_field_errors(inner, body, clean),
        request_id=request_id,
    )


def _decoded(data: bytes) -> Any:
    """All of it if it is JSON; if it breaks a rule of that, as far as its beginning goes."""
    if len(data) > _LONGEST_PAGE:
        try:
            return decode(data, "error answer")
        except UnreadableError:
            data = data[:_LONGEST_PAGE]
    return decode_answer(data, "error answer")


def _object(value: object) -> Mapping[str, Any]:
    return value if is_mapping(value) else {}


def _first(clean: Callable[[str], str], *candidates: object) -> str | None:
    return next((clean(c) for c in candidates if isinstance(c, str) and c), None)


def _digits(code: object) -> object:
    """A code that is a number, as it is in PHP's exceptions, as a text."""
    return str(code) if type(code) is int else code


def _field_errors(
    inner: Mapping[str, Any], body: Mapping[str, Any], clean: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    nested = inner.get("errors") or body.get("errors") or _without_message(body)
    found: dict[str, tuple[str, ...]] = {}
    for path, message in islice(_flat(nested, "", _DEEPEST), _MOST_FIELDS):
        place = clean(path)
        found[place] = (*found.get(place, ()), clean(message))
    return found


def _without_message(body: Mapping[str, Any]) -> object:
    details = body.get("error_details")
    if not is_mapping(details):
        return None if isinstance(details, str) else details
    text = isinstance(details.get("message"), str)
    return {name: value for name, value in details.items() if not text or name != "message"}


def _flat(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth == 0:
        return
    if is_mapping(value):
        for name, item in value.items():
            yield from _flat(item, _joined(path, str(name)), depth - 1)
    elif is_listing(value):
        for index, item in enumerate(value):
            place = f"{path}[{index}]" if is_mapping(item) or is_listing(item) else path
            yield from _flat(item, place, depth - 1)
    elif value is not None:
        yield path, str(value)


def _joined(path: str, name: str) -> str:
    if name.isascii() and name.isdigit() and path:
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _page(data: bytes, clean: Callable[[str], str]) -> str | None:
    text = data[:_LONGEST_PAGE].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        title = _TITLE.search(text)
        return clean(f"HTML page: {title.group(1).strip()}") if title else "HTML page"
    return clean(text) if text else None
