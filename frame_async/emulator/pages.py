"""The hosted page of a session, as far as there is one: it says what the session is."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import Any

from attrs import define

from .answers import Answer
from .exchanges import Exchange
from .sessions import Session, Sessions

PREFIX = "/pay/"

_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:3em auto;padding:0 1em}"
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@define(eq=False)
class SessionPage:
    """Shows the session whose id ends the path."""

    sessions: Sessions
    """Where the sessions are."""

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer with the page of a session, or with 404 and a page that says so."""
        session = self.sessions.get(exchange.request.path.removeprefix(PREFIX))
        if session is None:
            return _page(404, "No such payment link session", ())
        exchange.session_id = session.id
        return _page(200, "Payment link session", _facts(session, exchange.received))


def _facts(session: Session, now: float) -> tuple[str, ...]:
    """Put what a payer may know into escaped paragraphs."""
    ends = datetime.fromtimestamp(session.expires, UTC)
    items = "".join(f"<li>{escape(_item(item))}</li>" for item in session.line_items)
    return (
        f"<p>Status: {session.status(now)}</p>",
        f"<p>Reference: {escape(session.client_reference_id or 'none')}</p>",
        f"<ul>{items}</ul>",
        f"<p>Expires: {ends:%Y-%m-%d %H:%M:%S} UTC</p>",
    )


def _item(item: Mapping[str, Any]) -> str:
    least, most = item.get("quantity_minimum"), item.get("quantity_maximum")
    bounds = [f"at least {least}"] if least is not None else []
    bounds += [f"at most {most}"] if most is not None else []
    return f"{item['product']}, {' and '.join(bounds) or 'any quantity'}"


def _page(status: int, title: str, paragraphs: tuple[str, ...]) -> Answer:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1>{''.join(paragraphs)}"
        "<p>This is the Frame emulator: no money moves here.</p></body></html>"
    )
    return Answer(status, html.encode(), _HEADERS)
