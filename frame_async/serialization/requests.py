"""Requests to their canonical bytes."""

from typing import Any, Final

from frame_async.models.requests import REQUEST_FIELDS, PaymentLinkSessionRequest, shield
from frame_async.serialization import _json
from frame_async.serialization._converter import writer

_write: Final = writer(PaymentLinkSessionRequest)


def dump(request: PaymentLinkSessionRequest) -> bytes:
    """The request body: canonical JSON in UTF-8. It may hold card data: box it at once.

    Canonical means that names are sorted and fields that were not given are absent,
    so equal requests give equal bytes, in every process and on every attempt.
    """
    return _json.encode(_body(request))


def dump_fields(request: PaymentLinkSessionRequest) -> tuple[bytes, dict[str, bytes]]:
    """What `dump` gives, and what stands for each field in a fingerprint: box both at once.

    That is the text of a text, and the canonical JSON of everything else.
    """
    given = _body(request)
    return _json.encode(given), {
        name: value.encode() if type(value) is str else _told(value)
        for name, value in given.items()
    }


def load_request(body: bytes) -> PaymentLinkSessionRequest:
    """The request that `dump` wrote.

    Raises:
        UnreadableError: it is no JSON object.
        ValidationError: it is none that can be made.
    """
    given, body = _json.as_object(_json.decode(body, "request"), "request"), b""
    added = {name: given.pop(name) for name in given.keys() - REQUEST_FIELDS}
    given = shield(given)  # a traceback shows local variables
    return PaymentLinkSessionRequest.from_dict({**given, "extra": added})


def _body(request: PaymentLinkSessionRequest) -> dict[str, Any]:
    """The fields that were given, and those that the class doesn't know."""
    return _write(request) if request.extra is None else {**_write(request), **request.extra}


def _told(value: object) -> bytes:
    """What stands for anything but a plain text; the text of an enum is its value."""
    return str.__str__(value).encode() if isinstance(value, str) else _json.encode(value)
