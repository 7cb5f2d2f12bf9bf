"""The checkout page of an open session: the order on one side, the payment on the other."""

from frame_async.emulator.answers import Answer
from frame_async.emulator.sessions import Session

from .catalog import money
from .entered import Entered
from .forms import total_of
from .markup import html
from .page import page
from .payment_column import payment_column
from .summary_column import summary_column


def blank_form(session: Session) -> Answer:
    """Make the page as it is when a payer comes to it."""
    given = session.given
    method = "saved" if given.get("payment_method") else "card"
    return form_page(Entered(session, {"email": given.get("customer_email", ""), "method": method}))


def form_page(entered: Entered, status: int = 200) -> Answer:
    """Make the page with what the payer has entered so far, and what is wrong with it."""
    session = entered.session
    total = money(total_of(session, entered.quantities))
    body = html(
        '<main class="checkout">'
        '<form id="cancel" method="post" action="/pay/{id}">'
        '<input type="hidden" name="action" value="cancel"></form>'
        '<form id="checkout" class="split" method="post" action="/pay/{id}" novalidate>'
        # The first button of a form is the one that the Enter key presses.
        '<button class="unseen" name="action" value="pay" tabindex="-1" aria-hidden="true">'
        "Pay</button>{summary}{payment}</form></main>",
        id=session.id,
        summary=summary_column(entered, total),
        payment=payment_column(entered, total),
    )
    wrong = bool(entered.errors or entered.declined)
    title = f"Error: pay {total}" if wrong else f"Pay {total}"
    return page(title, body, status=status, session=session, script=True)
