"""Signatures of what Frame sends back: HMAC over bytes, under one or several secrets.

``X-Frame-Signature: sha256=<hex of HMAC-SHA256(secret, raw body)>``, with a secret of 32
characters per endpoint that is used as given, also when it is shown with ``whsec_``
(Frame's documentation of webhooks). Nothing but the body is signed: no time, no header.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from attrs import frozen

from frame_async.errors import ConfigurationError, Problem, ValidationError, WebhookError
from frame_async.secret import Secret
from frame_async.shapes import is_listing

SECRET_VARIABLE: Final = "FRAME_WEBHOOK_SECRET"  # noqa: S105  # its name, not a secret
SIGNATURE_HEADER: Final = "X-Frame-Signature"

Algorithm = Literal["sha256", "sha384", "sha512"]
"""A hash function for HMAC."""

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Headers of a request as web frameworks give them: a mapping, or pairs."""

_SECRET: Final = re.compile(r"[!-~]{1,512}")
_API_KEY: Final = ("sk_", "pk_")
_PREFIX: Final = "whsec_"
SHORTEST_SECRET: Final = 16
"""Characters of a secret after its prefix; Frame's have 32, and few can be guessed."""
_SIGNATURE: Final = re.compile(r"sha256=([0-9A-Fa-f]{64})")


@frozen
class Secrets:
    """One secret, or several while one replaces another; none of them ever shows."""

    _keys: Secret[tuple[bytes, ...]]

    def sign(self, message: bytes, algorithm: Algorithm = "sha256") -> bytes:
        """The digest of a message under the first secret."""
        return hmac.digest(self._keys.reveal()[0], message, algorithm)

    def match(self, message: bytes, digest: bytes, algorithm: Algorithm = "sha256") -> bool:
        """Whether a digest is that of the message under any of the secrets.

        How long this takes depends on neither the digest nor the secret that fits:
        all secrets are tried, each in constant time.
        """
        found = False
        for key in self._keys.reveal():
            found |= hmac.compare_digest(hmac.digest(key, message, algorithm), digest)
        return found


def check_secrets(given: Secret[object], source: str) -> Secrets:
    """The secrets in a string, or in a list of strings.

    Raises:
        ConfigurationError: they can't be secrets; the message names `source`, never a secret.
    """
    if fault := _fault(given, source):
        raise ConfigurationError(fault)
    return Secrets(Secret(tuple(str.__str__(one).encode() for one in _listed(given.reveal()))))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _fault(given: Secret[object], source: str) -> str:
    """What is wrong with secrets in one sentence; empty when nothing is."""
    value = given.reveal()
    if not isinstance(value, str) and not is_listing(value):
        return f"{source} must be a string or a list of strings, not {type(value).__name__}"
    secrets = _listed(value)
    if not secrets:
        return f"{source} must not be empty; give at least one secret"
    several = len(secrets) > 1
    faults = (
        _fault_of_one(secret, f"{source}[{index}]" if several else source)
        for index, secret in enumerate(secrets)
    )
    return next((fault for fault in faults if fault), "")


def _fault_of_one(secret: object, source: str) -> str:
    if not isinstance(secret, str):
        return f"{source} must be a string, not {type(secret).__name__}"
    if not secret:
        return f"{source} must not be empty"
    if not _SECRET.fullmatch(secret):
        return (
            f"{source} has whitespace, control or non-ASCII characters, or is over 512 long; "
            "copy it again, without quotes or line ends"
        )
    if secret.startswith(_API_KEY):
        return f"{source} is an API key; use the secret that belongs to the webhook endpoint"
    if len(secret.removeprefix(_PREFIX)) < SHORTEST_SECRET:
        return (
            f"{source} is too short: give a secret of {SHORTEST_SECRET} characters or more, "
            f"not counting {_PREFIX}"
        )
    return ""


def sent_digest(headers: Secret[Headers]) -> bytes:
    """The digest in the one signature header of a request.

    Names of headers count in any case, and so do hexadecimal digits, for it is the bytes
    they stand for that are compared.

    Raises:
        WebhookError: the header is missing, doubled or malformed; never shows its value.
        ValidationError: `headers` are neither a mapping nor pairs.
    """
    values = _values(headers, SIGNATURE_HEADER)
    if len(values.reveal()) != 1:
        many = len(values.reveal())
        raise WebhookError(
            f"the header {SIGNATURE_HEADER} is "
            + (f"there {many} times, and must be there once" if many else "missing")
        )
    (kind,) = map(type, values.reveal())
    digest = _digest(values)
    if digest is None:
        found = "" if issubclass(kind, str) else f", not {kind.__name__}"
        raise WebhookError(
            f"the header {SIGNATURE_HEADER} must be the text sha256= and 64 hexadecimal "
            f"digits{found}"
        )
    return digest


def _digest(values: Secret[list[object]]) -> bytes | None:
    (value,) = values.reveal()
    found = _SIGNATURE.fullmatch(value) if isinstance(value, str) else None
    return bytes.fromhex(found.group(1)) if found else None


def _values(headers: Secret[Headers], name: str) -> Secret[list[object]]:
    """Everything that the headers have under a name."""
    found = _found(headers, name.lower())
    if found is None:
        kind = type(headers.reveal()).__name__
        fix = "pass the headers of the request as your web framework gives them"
        problem = Problem("headers", f"must be a mapping or pairs, not {kind}", fix)
        raise ValidationError("unusable webhook", [problem])
    return found


def _found(headers: Secret[Any], name: str) -> Secret[list[object]] | None:
    given = headers.reveal()
    try:
        # Not only mappings: those of werkzeug and of the standard library are none.
        pairs = given.items() if hasattr(given, "items") else given
        return Secret([value for key, value in pairs if _same(key, name)])
    except (TypeError, ValueError):  # no pairs
        return None


def _same(key: object, name: str) -> bool:
    if isinstance(key, bytes):  # as ASGI has them; the value is refused, and named
        key = key.decode("latin-1")
    return isinstance(key, str) and key.lower() == name
