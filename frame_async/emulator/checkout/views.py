"""What happens at a session's address: GET shows how it stands, POST does something.

Everything that a form does is decided in one go after it was read, so a session is
paid once, however often the button was pressed; a form that comes too late leads to
where the first one led.

Only the page itself may send a form. That is enough against forgery here: there is no
cookie and no login that another site's form could borrow. Who knows a session's random id
may pay it, and nobody else can name it. The check is for a site that has learnt the
address, and stops it from paying or cancelling in a payer's browser. Browsers set both
headers themselves, and what sends neither is no browser.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import define, field

from frame_async.emulator.api.answers import ApiAnswer, bad_request
from frame_async.emulator.api.context import RequestContext
from frame_async.emulator.state.orders import Order
from frame_async.emulator.state.sessions import Session, Sessions

from .forms import Entered, Entry, Values, read_form
from .instruments import words_for
from .order_form import blank_form, form_page
from .page import challenge_page, foreign_page, missing_page, standing_page
from .payments import Payments
from .redirects import sign

PREFIX = "/pay/"
"""Where the pages are; a session's id follows."""

_CHALLENGE = "challenge"

Act: TypeAlias = Callable[[Session, Values, float], ApiAnswer]
"""Does what a form of an open session asks for, at a time in seconds since the epoch."""


@define(kw_only=True, eq=False)
class Checkout:
    """The hosted checkout page of every session."""

    sessions: Sessions
    """Where the sessions are."""
    payments: Payments
    """Takes the payments."""
    redirect_secret: str = field(repr=False)
    """Signs where the payer is sent."""

    async def show(self, context: RequestContext) -> ApiAnswer:
        """Answer with the page of a session as it stands, or with 404."""
        session, part = self._find(context)
        if session is None or part not in ("", _CHALLENGE):
            return missing_page()
        now = context.received
        if session.status(now) != "open":
            return standing_page(session, onward_from(session, now, self.redirect_secret))
        if part == "":
            return blank_form(session)
        if session.challenge is None:
            return see_other(_address(session))
        return challenge_page(session, session.challenge)

    async def submit(self, context: RequestContext) -> ApiAnswer:
        """Do what a form asks for, and answer with where to go or what is wrong.

        Raises:
            RefusedError: It is no form of the page.
            ConnectionError: The client left before its request was complete.
        """
        session, part = self._find(context)
        if session is None or part:
            return missing_page()
        if not is_same_origin(context.request.headers):
            return foreign_page()
        values = await read_form(context.request, session)
        act = self._act(values.get("action", "pay"))
        if act is None:
            raise bad_request(400, "The form asks for nothing that is known.")
        if session.status(context.received) != "open":
            return self._leave(session, context.received)
        return act(session, values, context.received)

    def _find(self, context: RequestContext) -> tuple[Session | None, str]:
        session_id, _, part = context.request.path.removeprefix(PREFIX).partition("/")
        session = self.sessions.get(session_id)
        if session is not None:
            context.session_id = session.id
        return session, part

    def _act(self, action: str) -> Act | None:
        acts: Mapping[str, Act] = {
            "pay": self._pay,
            "update": _update,
            "cancel": self._cancel,
            "approve": self._approve,
            "fail": self._fail,
        }
        return acts.get(action)

    def _leave(self, session: Session, now: float) -> ApiAnswer:
        """Send the payer on, or to the page that says how the session stands."""
        onward = onward_from(session, now, self.redirect_secret)
        return see_other(_address(session) if onward is None else onward)

    def _pay(self, session: Session, values: Values, now: float) -> ApiAnswer:
        entry = Entry(session, values, now)
        order, behaviour = entry.read()
        if entry.errors:
            return form_page(Entered(session, values, entry.errors), 422)
        if order.method == "bank":
            self.payments.debit(session, order, behaviour.failure_code)
        elif behaviour.challenge:
            self.payments.challenge(session, order, behaviour.failure_code)
            return see_other(f"{_address(session)}/{_CHALLENGE}")
        elif not self.payments.charge(session, order, behaviour.failure_code):
            return _declined(session, values, behaviour.failure_code)
        return self._leave(session, now)

    def _cancel(self, session: Session, _values: Values, now: float) -> ApiAnswer:
        self.payments.cancel(session)
        return self._leave(session, now)

    def _approve(self, session: Session, values: Values, now: float) -> ApiAnswer:
        return self._answer_challenge(session, values, now, passed=True)

    def _fail(self, session: Session, values: Values, now: float) -> ApiAnswer:
        return self._answer_challenge(session, values, now, passed=False)

    def _answer_challenge(
        self, session: Session, values: Values, now: float, *, passed: bool
    ) -> ApiAnswer:
        challenge = session.challenge
        if challenge is None or challenge.id != values.get(_CHALLENGE):
            return see_other(_address(session))
        failure_code = self.payments.answer(session, challenge, passed=passed)
        if failure_code is None:
            return self._leave(session, now)
        return _declined(session, _values_of(challenge.order), failure_code)


def onward_from(session: Session, now: float, secret: str) -> str | None:
    """Return the merchant's own address that the payer goes on to, with its signed payload.

    ``None`` while the session is open, when its payment failed, and when the merchant
    has named no address.
    """
    if session.payment_status in ("paid", "processing"):
        url, result = session.success_url, str(session.payment_status)
    elif session.state == "canceled":
        url, result = session.cancel_url, "canceled"
    else:
        return None
    payload = {
        "session": session.id,
        "client_reference_id": session.client_reference_id,
        "result": result,
        "payment_status": session.payment_status,
        "issued_at": int(now),
    }
    return None if url is None else sign(url, payload, secret)


def see_other(location: str) -> ApiAnswer:
    """Answer a form, or an address that is out of date, with another address to go to."""
    return ApiAnswer(303, b"", {"Location": location, "Cache-Control": "no-store"})


def _update(session: Session, values: Values, now: float) -> ApiAnswer:
    """Show the form again, with a new total: for a browser that runs no script."""
    entry = Entry(session, values, now)
    entry.read()
    wrong = {name: text for name, text in entry.errors.items() if name.startswith("quantity_")}
    return form_page(Entered(session, values, wrong), 422 if wrong else 200)


def _declined(session: Session, values: Values, failure_code: str | None) -> ApiAnswer:
    words = words_for(failure_code or "generic_decline")
    return form_page(Entered(session, values, declined=words), 402)


def _values_of(order: Order) -> Values:
    """Return the fields of the form that an order was made of."""
    shipping = {f"ship_{part}": text for part, text in (order.shipping or {}).items()}
    quantities = {f"quantity_{index}": str(n) for index, n in enumerate(order.quantities)}
    return {
        **quantities,
        **shipping,
        "email": order.email,
        "phone": order.phone or "",
        "method": order.method,
    }


def _address(session: Session) -> str:
    return f"{PREFIX}{session.id}"


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
