"""Making foreign text safe to show: one line, short, without secrets."""

import re
from collections.abc import Iterable
from typing import Final

LONGEST_TEXT: Final = 300
"""Characters of a server's text that are shown."""

HIDDEN: Final = "[hidden]"

_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|rk)_[A-Za-z0-9_-]{4,}|\bwhsec_[A-Za-z0-9_-]{4,}")
_BEARER: Final = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
_UNSHOWABLE: Final = re.compile(
    r"[\x00-\x20\x7f-\xa0\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]+"
)
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")


def clean(text: str, secrets: Iterable[str] = (), longest: int = LONGEST_TEXT) -> str:
    """The text on one line, without control or direction characters, secrets or surplus.

    `secrets` are values that this process knows to be secret; besides, everything that
    looks like an API key, webhook secret or Authorization header is hidden.
    """
    for secret in sorted((s for s in secrets if s), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _KEY_LIKE.sub(HIDDEN, text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    line = _UNSHOWABLE.sub(" ", text).strip()
    return line if len(line) <= longest else line[: longest - 3] + "..."


def clean_request_id(value: str | None) -> str | None:
    """A server's request id, if it is one: up to 128 visible ASCII characters."""
    return value if value is not None and _REQUEST_ID.fullmatch(value) else None
