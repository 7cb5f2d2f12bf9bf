"""The checkout page of an open session: the order on one side, the payment on the other."""

from collections.abc import Mapping
from typing import Any

from frame_async.emulator.api.answers import ApiAnswer
from frame_async.emulator.state.products import Product
from frame_async.emulator.state.sessions import Session

from .catalog import Choice, choice_of
from .elements import ICONS, control_attributes, error_of, picture_of, select
from .forms import Entered, total_of
from .markup import NOTHING, Markup, attributes, html
from .page import page
from .payment_column import payment_column


def blank_form(session: Session) -> ApiAnswer:
    """Make the page as it is when a payer comes to it."""
    given = session.given
    method = "saved" if given.get("payment_method") else "card"
    return form_page(Entered(session, {"email": given.get("customer_email", ""), "method": method}))


def form_page(entered: Entered, status: int = 200) -> ApiAnswer:
    """Make the page with what the payer has entered so far, and what is wrong with it."""
    session = entered.session
    total = session.shelf.money(total_of(session, entered.quantities))
    body = html(
        '<main class="checkout">'
        '<form id="cancel" method="post" action="/pay/{id}">'
        '<input type="hidden" name="action" value="cancel"></form>'
        '<form id="checkout" class="split" method="post" action="/pay/{id}" '
        'data-currency="{currency}" novalidate>'
        # The first button of a form is the one that the Enter key presses.
        '<button class="unseen" name="action" value="pay" tabindex="-1" aria-hidden="true">'
        "Pay</button>{summary}{payment}</form></main>",
        id=session.id,
        currency=session.shelf.currency,
        summary=summary_column(entered, total),
        payment=payment_column(entered, total),
    )
    wrong = bool(entered.errors or entered.declined)
    title = f"Error: pay {total}" if wrong else f"Pay {total}"
    return page(title, body, status=status, session=session, script=True)


_PICKED = 20  # a choice among more than that is easier typed


def summary_column(entered: Entered, total: str) -> Markup:
    """Make the order's side of the page."""
    items = zip(entered.session.line_items, entered.quantities, strict=True)
    return html(
        '<section class="summary" aria-label="Your order"><div class="column">'
        '<button class="back" form="cancel">{back}Cancel and go back</button>'
        "<h1><span>Pay</span> <output data-total>{total}</output></h1>"
        '{reference}<ul class="items">{items}</ul>'
        '<noscript><button class="secondary" name="action" value="update">'
        "Update the total</button></noscript>"
        '<p class="sum"><span>Total due</span> <strong data-total>{total}</strong></p>'
        '<p class="fine">{origin}: '
        "Frame's API says nothing of a product but its id.</p></div></section>",
        back=ICONS["back"],
        origin=_origin(entered.session),
        total=total,
        reference=_reference(entered.session.client_reference_id),
        items=[_item(entered, index, *item) for index, item in enumerate(items)],
    )


def _origin(session: Session) -> str:
    known = session.shelf.known
    if all(item["product"] in known for item in session.line_items):
        return "Names, prices and pictures are those that the emulator was given"
    return "Names, prices and pictures are made up by the emulator"


def _reference(reference: str | None) -> Markup:
    if reference is None:
        return NOTHING
    return html('<p class="reference">Reference <b>{reference}</b></p>', reference=reference)


def _item(entered: Entered, index: int, item: Mapping[str, Any], count: int) -> Markup:
    shelf = entered.session.shelf
    product, choice = shelf.product_of(item["product"]), choice_of(item)
    name = f"quantity_{index}"
    fixed = choice.least == choice.most
    return html(
        '<li class="item" data-price="{price}" data-count="{count}">{picture}'
        '<div class="what"><p class="name">{name}</p><p class="id">{id}</p>{quantity}{error}</div>'
        '<p class="price"><span data-line>{line}</span> '
        "<small data-each{single}>{each} each</small></p></li>",
        price=product.price,
        count=count,
        picture=picture_of(product),
        name=product.name,
        id=item["product"],
        quantity=_fixed(name, count) if fixed else _choice(entered, name, product, choice, count),
        error=error_of(name, entered.errors),
        line=shelf.money(product.price * count),
        each=shelf.money(product.price),
        single=attributes(hidden=count <= 1),
    )


def _fixed(name: str, count: int) -> Markup:
    line = '<p class="quantity" id="{name}" tabindex="-1">Quantity {count}</p>'
    return html(line, name=name, count=count)


def _choice(entered: Entered, name: str, product: Product, choice: Choice, count: int) -> Markup:
    return html(
        '<p class="quantity"><label for="{name}">Quantity<span class="unseen"> of {product}</span>'
        "</label> {control}</p>",
        name=name,
        product=product.name,
        control=_control(entered, name, choice, count),
    )


def _control(entered: Entered, name: str, choice: Choice, count: int) -> Markup:
    wrong = control_attributes(name, entered.errors)
    if choice.most - choice.least < _PICKED:
        numbers = range(choice.least, choice.most + 1)
        return select(name, [(str(n), str(n)) for n in numbers], str(count), wrong)
    return html(
        "<input{attributes}>",
        attributes=attributes(
            id=name,
            name=name,
            type="number",
            inputmode="numeric",
            min=str(choice.least),
            max=str(choice.most),
            value=entered.values.get(name, str(count)),
            **wrong,
        ),
    )
