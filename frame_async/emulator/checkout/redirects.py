"""The signed payload on ``success_url`` and ``cancel_url``.

Frame says that there is one and not what it looks like (Frame reference, create a
payment link session), so the scheme is the emulator's own: two query parameters,
``frame_payload`` with base64url of a JSON object, without padding, and
``frame_signature`` with the hexadecimal HMAC-SHA256 of ``frame_redirect.`` and that
parameter's text. The word before it keeps it apart from a webhook under the same secret.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, unquote_plus

PAYLOAD = "frame_payload"
"""Name of the query parameter with the payload."""

SIGNATURE = "frame_signature"
"""Name of the query parameter with the payload's signature."""

DOMAIN = "frame_redirect."
"""Stands before the payload's text in what is signed."""

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def sign(url: str, payload: Mapping[str, object], secret: str) -> str:
    """Append a payload and its signature to an address, which may then go in a header.

    Query and fragment stay as they were, except that earlier parameters of the two
    names are dropped: each occurs once.
    """
    text = _encode(payload)
    signed_text = f"{DOMAIN}{text}".encode("ascii")
    signature = hmac.new(secret.encode(), signed_text, "sha256").hexdigest()
    address, hash_, fragment = url.partition("#")
    path, _, query = address.partition("?")
    kept = [part for part in query.split("&") if _name(part) not in (PAYLOAD, SIGNATURE)]
    old = "&".join(kept)
    signed = f"{path}?{old}{'&' if old else ''}{PAYLOAD}={text}&{SIGNATURE}={signature}"
    # Browsers encode other characters in the same way, host names included.
    return quote(f"{signed}{hash_}{fragment}", safe=_PRINTABLE)


def _name(parameter: str) -> str:
    return unquote_plus(parameter.partition("=")[0])


def _encode(payload: Mapping[str, object]) -> str:
    compact = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(compact.encode()).decode("ascii").rstrip("=")
