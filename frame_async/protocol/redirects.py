"""The signed payload on a URL: how it is put there, and what makes it be refused.

Frame says that ``success_url`` and ``cancel_url`` get a signed payload appended (Frame
reference, payment link sessions), and has not published its form. So the form is a
parameter, `RedirectScheme`; its defaults are the project's own.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote_from_bytes, unquote_plus, unquote_to_bytes

from attrs import Attribute, field, frozen

from frame_async.errors import ConfigurationError, RedirectError
from frame_async.protocol.signatures import Algorithm, Secrets

LONGEST_URL: Final = 16_384
"""Characters of a URL that is looked at; servers commonly refuse longer ones."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEX: Final = re.compile(r"([0-9a-f]{2})+")
_URL: Final = re.compile(r"https?://[^\s\x00-\x20\x7f]+")


_DOMAIN: Final = re.compile(r"[ -~]{0,64}")


def _domain(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, str) or not _DOMAIN.fullmatch(value):
        raise ConfigurationError(f"{attribute.name} must be up to 64 ASCII characters")


def _name(_: object, attribute: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigurationError(
            f"{attribute.name} must be the name of a query parameter: letters, digits, _ . -"
        )


def _another(scheme: "RedirectScheme", attribute: "Attribute[Any]", value: object) -> None:
    _name(scheme, attribute, value)
    if value == scheme.payload_name:
        raise ConfigurationError(f"{attribute.name} must differ from payload_name")


def _seconds(_: object, attribute: "Attribute[Any]", value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1e9:  # type: ignore[operator]  # a number by now
        raise ConfigurationError(f"{attribute.name} must be a number of seconds, 0 or more")


def _seconds_or_none(scheme: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None:
        _seconds(scheme, attribute, value)


def _one_of(*allowed: str) -> Callable[[object, "Attribute[Any]", object], None]:
    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise ConfigurationError(f"{attribute.name} must be one of {', '.join(allowed)}")

    return check


@frozen(kw_only=True)
class RedirectScheme:
    """The form of the signed payload on a URL.

    The defaults are the project's own and the emulator's, until Frame publishes its form.

    Raises:
        ConfigurationError: a value that can't be used, by name.
    """

    payload_name: str = field(default="frame_payload", validator=_name)
    """Name of the query parameter that has the payload."""
    signature_name: str = field(default="frame_signature", validator=_another)
    """Name of the query parameter that has the signature."""
    encoding: Literal["base64url", "json"] = field(
        default="base64url", validator=_one_of("base64url", "json")
    )
    """How the payload's JSON is written: in base64url without padding, or percent-encoded."""
    algorithm: Algorithm = field(default="sha256", validator=_one_of("sha256", "sha384", "sha512"))
    """The hash function of the HMAC."""
    digest: Literal["hex", "base64url"] = field(
        default="hex", validator=_one_of("hex", "base64url")
    )
    """How the signature is written: in lower-case hexadecimal digits, or in base64url
    without padding."""
    covers: Literal["payload", "url"] = field(
        default="payload", validator=_one_of("payload", "url")
    )
    """What is signed: the text of the payload (for ``json``, before percent-encoding), or
    the URL up to the signature, which must then be its last parameter."""
    domain: str = field(default="frame_redirect.", validator=_domain)
    """Stands before what is signed, so that under one secret for webhooks and redirects
    neither can pass for the other: Frame signs the bare body of a webhook."""
    max_age: float | None = field(default=3600.0, validator=_seconds_or_none)
    """Seconds after which a redirect is refused; None never refuses one for its age."""
    leeway: float = field(default=60.0, validator=_seconds)
    """Seconds that the issuer's clock may be ahead of yours."""


def append_payload(url: str, payload: bytes, scheme: RedirectScheme, secrets: Secrets) -> str:
    """The URL with the payload and its signature behind its query, before its fragment.

    Query and fragment stay as they were, byte for byte, but for older parameters of the
    same two names.

    Raises:
        ConfigurationError: not an absolute HTTP(S) URL without spaces.
    """
    if not _URL.fullmatch(url):
        raise ConfigurationError("the URL to append to must be of the form https://host/path")
    head, mark, fragment = url.partition("#")
    base, _, query = head.partition("?")
    text = _written(payload, scheme.encoding)
    kept = _without(query, {scheme.payload_name, scheme.signature_name})
    unsigned = f"{base}?{'&'.join([*kept, f'{scheme.payload_name}={text}'])}"
    message = _signed_text(text, scheme) if scheme.covers == "payload" else unsigned.encode()
    message = scheme.domain.encode() + message
    signature = _spelled(secrets.sign(message, scheme.algorithm), scheme.digest)
    return f"{unsigned}&{scheme.signature_name}={signature}{mark}{fragment}"


def _without(query: str, names: set[str]) -> list[str]:
    """The parameters of a query, blank ones too, but for some."""
    return [part for part in query.split("&") if _name_of(part) not in names] if query else []


def _name_of(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _written(payload: bytes, encoding: str) -> str:
    if encoding == "base64url":
        return urlsafe_b64encode(payload).decode().rstrip("=")
    return quote_from_bytes(payload, safe="")


def _spelled(digest: bytes, form: str) -> str:
    return digest.hex() if form == "hex" else urlsafe_b64encode(digest).decode().rstrip("=")


def _signed_text(text: str, scheme: RedirectScheme) -> bytes:
    """What is signed of a payload: its text, without percent-encoding."""
    if scheme.encoding == "base64url":
        return text.encode()
    return unquote_to_bytes(text.replace("+", " "))


def signed_payload(url: str, scheme: RedirectScheme, secrets: Secrets) -> bytes:
    """The payload of a URL, once its signature is found to be right.

    Raises:
        RedirectError: a parameter is missing, doubled or malformed, or the signature is
            not that of the payload under any of the secrets.
    """
    if len(url) > LONGEST_URL:
        raise RedirectError(f"the URL is longer than {LONGEST_URL} characters")
    head = url.partition("#")[0]
    parts = head.partition("?")[2].split("&")
    text = _only(parts, scheme.payload_name)
    digest = _digest(_only(parts, scheme.signature_name), scheme)
    if scheme.covers == "payload":
        message = _signed_text(text, scheme)
    else:
        if _name_of(parts[-1]) != scheme.signature_name:
            raise RedirectError(f"something follows the parameter {scheme.signature_name}")
        message = head[: -len(parts[-1]) - 1].encode("utf-8", "surrogatepass")
    message = scheme.domain.encode() + message
    if not secrets.match(message, digest, scheme.algorithm):
        raise RedirectError(
            "the signature doesn't match: another secret or scheme, or the URL was changed"
        )
    return _read(text, scheme.encoding)


def _only(parts: list[str], name: str) -> str:
    """The value of a parameter that must be there once."""
    values = [part.partition("=")[2] for part in parts if _name_of(part) == name]
    if len(values) != 1:
        many = f"there {len(values)} times, and must be there once" if values else "missing"
        raise RedirectError(f"the parameter {name} is {many}")
    if not values[0].isascii():
        raise RedirectError(f"the parameter {name} has characters that are not ASCII")
    return values[0]


def _digest(value: str, scheme: RedirectScheme) -> bytes:
    if scheme.digest == "hex" and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    if scheme.digest == "base64url" and (digest := _from_base64url(value)) is not None:
        return digest
    form = "lower-case hexadecimal digits" if scheme.digest == "hex" else "base64url"
    raise RedirectError(f"the parameter {scheme.signature_name} must be in {form}")


def _read(text: str, encoding: str) -> bytes:
    if encoding == "json":
        return unquote_to_bytes(text.replace("+", " "))
    payload = _from_base64url(text)
    if payload is None:
        raise RedirectError("the payload is signed, but no base64url", signed=True)
    return payload


def _from_base64url(text: str) -> bytes | None:
    """What is written in base64url without padding; None when it is not."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Bits to spare in the last character: many texts would stand for the same bytes.
    return data if _written(data, "base64url") == text else None


def check_age(issued_at: datetime | None, now: float, scheme: RedirectScheme) -> None:
    """Refuse what is too old, or from the future; `now` is in epoch seconds.

    Raises:
        RedirectError: it is, or it doesn't say when it was issued.
    """
    if scheme.max_age is None:
        return
    if issued_at is None:
        raise RedirectError("the payload is signed, but has no issued_at", signed=True)
    age = now - issued_at.timestamp()
    if age > scheme.max_age:
        raise RedirectError(
            f"the redirect is older than {scheme.max_age:g} seconds; a webhook tells how it ended",
            signed=True,
        )
    if age < -scheme.leeway:
        raise RedirectError("the redirect is from the future; check the clocks", signed=True)
