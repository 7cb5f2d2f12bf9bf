"""Where a form came from: only the page itself may send it.

That is enough against forgery here. There is no cookie and no login that another
site's form could borrow: who knows a session's random id may pay it, and nobody else
can name it. The check is for a site that has learnt the address, and stops it from
paying or cancelling in a payer's browser. Browsers set both headers themselves, and
what sends neither is no browser.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Tell whether the headers of a POST say that the page itself sent it."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):  # none: the user's own doing
        return False
    origin = headers.get("Origin")
    return origin is None or _host_of(origin) == headers.get("Host", "").lower()


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # an IPv6 address that is none
        return ""
