"""The frame around every page, and the pages that only say how things stand.

Nothing is loaded, the one style and the one script are allowed by their hashes, and
forms go to the page itself and, when the session names a place to go to, on from there.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files

from frame_async.emulator.api.answers import ApiAnswer
from frame_async.emulator.state.orders import Challenge
from frame_async.emulator.state.sessions import Session

from .elements import FAVICON, ICONS
from .markup import NOTHING, Markup, attributes, html


def page(
    title: str,
    body: Markup,
    *,
    status: int = 200,
    session: Session | None = None,
    script: bool = False,
) -> ApiAnswer:
    """Make a whole page; with a session it may send forms for it."""
    content = html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        '<title>{title}</title><link rel="icon" href="{icon}"><style>{style}</style></head>'
        '<body><p class="mode" role="note"><strong>Test mode</strong> '
        "<span>Frame emulator: no money moves here.</span></p>"
        "{body}{script}</body></html>\n",
        title=title,
        icon=FAVICON,
        style=Markup(STYLE),
        body=body,
        script=html("<script>{code}</script>", code=Markup(SCRIPT)) if script else None,
    )
    return ApiAnswer(status, content.encode(), headers_for(session))


def standing_page(session: Session, onward: str | None) -> ApiAnswer:
    """Make the page of a session that is not open any more; `onward` is where to go from it."""
    if session.payment_status in _PAYMENTS:
        return _receipt(session, onward)
    if session.state == "canceled":
        return _card(
            "canceled",
            "Payment canceled",
            html("<p>You left before paying, and nothing was charged.</p>"),
            _onward("Back to the shop", onward),
        )
    ended = datetime.fromtimestamp(session.expires, UTC)
    return _card(
        "expired",
        "This payment link has expired",
        html(
            '<p>It could be paid until <time datetime="{iso}">{shown} UTC</time>. '
            "Nothing was charged. Ask the shop for a new link.</p>",
            iso=f"{ended:%Y-%m-%dT%H:%M:%SZ}",
            shown=f"{ended:%d %B %Y, %H:%M}",
        ),
        _onward("Back to the shop", session.cancel_url),
    )


def missing_page() -> ApiAnswer:
    """Make the page for an address with no session."""
    text = html("<p>Check that the address is complete, or ask the shop for a new link.</p>")
    return _card("unknown", "No such payment link session", text, NOTHING, status=404)


def foreign_page() -> ApiAnswer:
    """Make the page for a form that another site has sent."""
    text = html("<p>This form was sent from another site. Open the payment link itself.</p>")
    return _card("unknown", "Nothing was done", text, NOTHING, status=403)


def challenge_page(session: Session, challenge: Challenge) -> ApiAnswer:
    """Make the page of a 3-D Secure challenge, which a payer's bank would show."""
    body = html(
        '<main class="notice bank"><p class="bank-name">{icon}Test Bank<span>3-D Secure</span></p>'
        "<h1>Confirm your payment</h1>"
        "<p>Your bank would ask here that it is really you, by an app or a code. "
        "On this page you decide how that ends.</p>"
        '<dl class="facts"><div><dt>Amount</dt><dd>{amount}</dd></div>{reference}</dl>'
        '<form method="post" action="/pay/{id}">'
        '<input type="hidden" name="challenge" value="{challenge}">'
        '<button class="primary" name="action" value="approve">Approve the payment</button>'
        '<button class="secondary" name="action" value="fail">Fail the challenge</button>'
        '</form><p class="fine"><a href="/pay/{id}">Back to the checkout</a></p></main>',
        icon=ICONS["bank"],
        amount=session.shelf.money(challenge.order.amount),
        reference=_reference(session),
        id=session.id,
        challenge=challenge.id,
    )
    return page("Confirm your payment", body, session=session)


_PAYMENTS: Mapping[str, tuple[str, str]] = {
    "paid": ("Payment successful", "Thank you! The shop has been told, and takes it from here."),
    "processing": (
        "Payment processing",
        "Your bank payment is on its way: that takes a moment here, and days in real life.",
    ),
    "failed": (
        "Payment failed",
        "Your bank did not pay, and nothing was charged. Ask the shop for a new link.",
    ),
}


def _receipt(session: Session, onward: str | None) -> ApiAnswer:
    kind, order = session.payment_status, session.order
    title, text = _PAYMENTS[kind]
    facts = html(
        '<p>{text}</p>{again}<dl class="facts"><div><dt>Amount</dt><dd>{amount}</dd></div>'
        "<div><dt>Method</dt><dd>{method}</dd></div>{reference}</dl>",
        text=text,
        again=html('<p><a href="/pay/{id}">Look again</a></p>', id=session.id)
        if kind == "processing"
        else None,
        amount=session.shelf.money(order.amount) if order else "",
        method=_METHODS[order.method] if order else "",
        reference=_reference(session),
    )
    return _card(kind, title, facts, _onward("Continue to the shop", onward))


_METHODS = {"card": "Card", "bank": "Bank account", "saved": "Saved payment method"}


def _reference(session: Session) -> Markup:
    if session.client_reference_id is None:
        return NOTHING
    row = "<div><dt>Reference</dt><dd>{reference}</dd></div>"
    return html(row, reference=session.client_reference_id)


def _onward(words: str, url: str | None) -> Markup:
    if url is None:
        return html('<p class="fine">You can close this window.</p>')
    return html(
        '<p><a class="primary"{href}>{words}</a></p>', href=attributes(href=url), words=words
    )


def _card(kind: str, title: str, text: Markup, onward: Markup, *, status: int = 200) -> ApiAnswer:
    body = html(
        '<main class="notice {kind}">{icon}<h1>{title}</h1>{text}{onward}</main>',
        kind=kind,
        icon=ICONS[kind],
        title=title,
        text=text,
        onward=onward,
    )
    return page(title, body, status=status)


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
