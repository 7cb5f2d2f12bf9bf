"""The headers of the pages: what a browser may do with them.

Nothing is loaded, the one style and the one script are allowed by their hashes, and
forms may go to the page itself and to where a payment leads: browsers apply
``form-action`` to the redirects that follow a form, too.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlsplit

from frame_async.emulator.sessions import Session


def _asset(name: str) -> str:
    return files("frame_async.emulator.checkout").joinpath(name).read_text("utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


STYLE = _asset("checkout.css")
"""The text of the pages' style element."""

SCRIPT = _asset("checkout.js")
"""The text of the checkout form's script element."""

_POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action "
)
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def headers_for(session: Session | None = None) -> Mapping[str, str]:
    """Return the headers of a page; with a session its forms may be sent."""
    targets = "'none'" if session is None else " ".join(_form_targets(session))
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY + targets,
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer, for then a browser says of its own form: Origin: null.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _form_targets(session: Session) -> list[str]:
    urls = [url for url in (session.success_url, session.cancel_url) if url is not None]
    return ["'self'", *dict.fromkeys(_source(url) for url in urls)]


def _source(url: str) -> str:
    """Name an origin in the policy's own grammar, which has no IPv6 addresses.

    A host that the grammar has no words for is let through by its scheme.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
