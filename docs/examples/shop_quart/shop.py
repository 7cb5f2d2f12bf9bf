"""A small shop on Quart: choose something, pay on Frame's page, see that it is paid."""

import os

from quart import Quart, Response, abort, redirect, request
from quart.typing import ResponseReturnValue
from shop_orders import Order, Orders
from shop_pages import PRODUCTS, message_page, order_page, products_page

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.quart import (
    Answer,
    QuartFrame,
    frame_of,
    redirect_of,
    webhook_view,
)
from frame_async.webhooks import (
    Event,
    EventType,
    RedirectResult,
    RedirectSigner,
    Turn,
    WebhookReceiver,
)

HOME = os.environ["SHOP_URL"]
STORE = os.environ.get("SHOP_STORE", "sqlite:///frame.sqlite")

orders = Orders(os.environ.get("SHOP_DATABASE", "shop.sqlite"))
webhooks = WebhookReceiver(store=STORE)  # with FRAME_WEBHOOK_SECRET
redirects = RedirectSigner(os.environ["SHOP_REDIRECT_SECRET"])


async def sorry(answer: Answer) -> Response:
    text = str(answer.body.get("detail", "Something went wrong on our side."))
    number = (request.view_args or {}).get("number")
    page = message_page("Sorry", text, f"/orders/{number}" if number else "/")
    headers = {**answer.headers, "Content-Type": "text/html; charset=utf-8"}
    return Response(page, answer.status, headers)


app = Quart(__name__)
QuartFrame(app, sorry, store=STORE)


def found(number: str | None) -> Order:
    order = None if number is None else orders.get(number)
    return order or abort(404)


@app.get("/")
async def home() -> str:
    return products_page()


@app.post("/buy/<product>")
async def buy(product: str) -> ResponseReturnValue:
    if product not in PRODUCTS:
        abort(404)
    return redirect(f"/orders/{orders.add(product)}", 303)


@app.get("/orders/<number>")
async def show(number: str) -> str:
    order = found(number)
    return order_page(order.number, order.product, order.status)


@app.post("/orders/<number>/pay")
async def pay(number: str) -> ResponseReturnValue:
    order = found(number)
    if order.status != "open":
        return redirect(f"/orders/{number}", 303)
    asked = PaymentLinkSessionRequest(
        client_reference_id=number,
        line_items=[LineItem(product=order.product)],
        success_url=f"{HOME}/thanks",
        cancel_url=f"{HOME}/cancelled",
    )
    # Pressed twice, or tried again after an error: the key makes it the same session.
    session = await frame_of().payment_link_sessions.create(asked, idempotency_key=order.key)
    if session.url is None:
        abort(502)
    orders.opened(number, session.id)
    return redirect(session.url, 303)


# Where the payer comes back to. A redirect makes an order returned, and never paid.


@app.get("/thanks")
async def thanks() -> ResponseReturnValue:
    back = redirect_of(redirects)
    if back is None or back.client_reference_id is None or back.result == RedirectResult.CANCELED:
        return message_page("Thank you", "We will write to you once the payment is here.")
    orders.returned(found(back.client_reference_id).number)
    return redirect(f"/orders/{back.client_reference_id}", 303)


@app.get("/cancelled")
async def cancelled() -> ResponseReturnValue:
    back = redirect_of(redirects)
    if back is None or back.result != RedirectResult.CANCELED:
        return redirect("/", 303)
    orders.cancelled(back.session)
    return redirect(f"/orders/{back.client_reference_id}", 303)


# Whether it was paid, Frame says itself; which order that was, `order_of` looks up.


async def on_event(event: Event, turn: Turn) -> None:
    if event.type == EventType.TRANSFER_SUCCEEDED:
        orders.receive(event)
    elif event.type == EventType.TRANSFER_FAILED:
        orders.failed(event)


app.post("/webhooks/frame")(webhook_view(webhooks, on_event))


@app.after_serving
async def close() -> None:
    """What is the shop's own to close."""
    await webhooks.aclose()
    orders.close()
