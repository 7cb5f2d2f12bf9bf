"""The headers of the pages: what a browser may do with them.

Nothing is loaded, the one style and the one script are allowed by their hashes, and
forms go to the page itself and, when the session names a place to go to, on from there.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

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


def headers_for(session: Session | None = None) -> Mapping[str, str]:
    """Return the headers of a page; with a session its forms may be sent."""
    targets = "'none'" if session is None else _form_targets(session)
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY + targets,
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer, for then a browser says of its own form: Origin: null.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _form_targets(session: Session) -> str:
    """Return where the forms of a session may lead.

    Browsers apply ``form-action`` to every redirect that follows, not only to the first.
    A shop whose ``success_url`` leads on to another host (its own login, or ``www``)
    would lose its payers if only the origin of that address were named.
    """
    leaves = session.success_url is not None or session.cancel_url is not None
    return "'self' http: https:" if leaves else "'self'"
