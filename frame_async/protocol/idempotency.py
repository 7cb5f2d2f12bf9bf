"""Idempotency keys: one per call, the same on every attempt.

Frame V1 ignores the ``Idempotency-Key`` header (Frame's documentation of idempotency);
it is sent for the day it does not, and it is what this library's own books go by.
"""

import re
from hashlib import sha256
from typing import Final

from frame_async.errors import Problem, ValidationError
from frame_async.protocol.credentials import SECRET_PREFIX, has_key
from frame_async.secret import Secret

LONGEST_KEY: Final = 255
"""Characters; the limit that other payment APIs publish for theirs."""

_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
_HALF: Final = re.compile(r"[\ud800-\udfff]")


class IdempotencyKey:
    """Makes idempotency keys out of what you already know, such as an order number."""

    @staticmethod
    def derive(*parts: str | int) -> str:
        """A key of 46 characters that stands for exactly these parts, in this order.

        The same parts give the same key in every process and every version of this
        library: ``frame-`` and the first 40 hexadecimal digits of the SHA-256 of the parts,
        each written as its length in UTF-8 bytes, a colon, and its text.

        Raises:
            ValidationError: no parts, or one that is neither a string nor an integer.
        """
        if not parts or not all(_is_part(part) for part in parts):
            fix = 'pass strings or integers, such as derive("orders", "42")'
            raise ValidationError(
                "invalid idempotency key", [Problem("parts", "must be strings or integers", fix)]
            )
        texts = [str(part).encode() for part in parts]
        joined = b"".join(b"%d:%b" % (len(text), text) for text in texts)
        return f"frame-{sha256(joined).hexdigest()[:40]}"


def _is_part(part: object) -> bool:
    if isinstance(part, str):
        return not _HALF.search(part)
    return isinstance(part, int) and not isinstance(part, bool)


def check_key(key: object, api_key: Secret[str] | None = None) -> str:
    """The caller's own key, unchanged.

    Raises:
        ValidationError: not 1 to 255 characters of visible ASCII, or an API key; the client's
            own, `api_key`, is found anywhere in it.
    """
    if isinstance(key, str) and _KEY.fullmatch(key) and not _is_secret(key, api_key):
        return str.__str__(key)  # an enum's own text is another
    fix = f"use 1 to {LONGEST_KEY} visible ASCII characters"
    raise ValidationError("invalid idempotency key", [Problem("idempotency_key", _fault(key), fix)])


def _is_secret(key: str, api_key: Secret[str] | None) -> bool:
    return bool(SECRET_PREFIX.match(key)) or (api_key is not None and has_key(key, api_key))


def _fault(key: object) -> str:
    if not isinstance(key, str):
        return f"must be a string, not {type(key).__name__}"
    if not key:
        return "must not be empty"
    if len(key) > LONGEST_KEY:
        return f"must not be longer than {LONGEST_KEY} characters, has {len(key)}"
    if _KEY.fullmatch(key):
        return "must not be an API key or a secret"
    return "must be visible ASCII, without spaces or control characters"
