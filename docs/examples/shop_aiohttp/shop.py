"""A small shop on aiohttp.web: choose something, pay on Frame's page, see that it is paid."""

import os
from collections.abc import AsyncIterator

from aiohttp import web
from shop_orders import Order, Orders
from shop_pages import PRODUCTS, message_page, order_page, products_page

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.aiohttp_web import (
    Answer,
    add_error_handlers,
    frame_client_ctx,
    frame_of,
    redirect_of,
    webhook_route,
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

routes = web.RouteTableDef()


def html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")


def found(number: str | None) -> Order:
    if number is not None and (order := orders.get(number)):
        return order
    raise web.HTTPNotFound


@routes.get("/")
async def home(_: web.Request) -> web.Response:
    return html(products_page())


@routes.post("/buy/{product}")
async def buy(request: web.Request) -> web.Response:
    product = request.match_info["product"]
    if product not in PRODUCTS:
        raise web.HTTPNotFound
    raise web.HTTPSeeOther(f"/orders/{orders.add(product)}")


@routes.get("/orders/{number}")
async def show(request: web.Request) -> web.Response:
    order = found(request.match_info["number"])
    return html(order_page(order.number, order.product, order.status))


@routes.post("/orders/{number}/pay")
async def pay(request: web.Request) -> web.Response:
    order = found(request.match_info["number"])
    if order.status != "open":
        raise web.HTTPSeeOther(f"/orders/{order.number}")
    asked = PaymentLinkSessionRequest(
        client_reference_id=order.number,
        line_items=[LineItem(product=order.product)],
        success_url=f"{HOME}/thanks",
        cancel_url=f"{HOME}/cancelled",
    )
    # Pressed twice, or tried again after an error: the key makes it the same session.
    frame = frame_of(request)
    session = await frame.payment_link_sessions.create(asked, idempotency_key=order.key)
    if session.url is None:
        raise web.HTTPBadGateway
    orders.opened(order.number, session.id)
    raise web.HTTPSeeOther(session.url)


# Where the payer comes back to. A redirect makes an order returned, and never paid.


@routes.get("/thanks")
async def thanks(request: web.Request) -> web.Response:
    back = redirect_of(request, redirects)
    if back is None or back.client_reference_id is None or back.result == RedirectResult.CANCELED:
        return html(message_page("Thank you", "We will write to you once the payment is here."))
    orders.returned(found(back.client_reference_id).number)
    raise web.HTTPSeeOther(f"/orders/{back.client_reference_id}")


@routes.get("/cancelled")
async def cancelled(request: web.Request) -> web.Response:
    back = redirect_of(request, redirects)
    if back is None or back.result != RedirectResult.CANCELED:
        raise web.HTTPSeeOther("/")
    orders.cancelled(back.session)
    raise web.HTTPSeeOther(f"/orders/{back.client_reference_id}")


# Whether it was paid, Frame says itself; which order that was, `order_of` looks up.


async def on_event(event: Event, turn: Turn) -> None:
    if event.type == EventType.TRANSFER_SUCCEEDED:
        orders.receive(event)
    elif event.type == EventType.TRANSFER_FAILED:
        orders.failed(event)


def sorry(request: web.Request, answer: Answer) -> web.Response:
    text = str(answer.body.get("detail", "Something went wrong on our side."))
    number = request.match_info.get("number")
    page = message_page("Sorry", text, f"/orders/{number}" if number else "/")
    headers = {**answer.headers, "Content-Type": "text/html; charset=utf-8"}
    return web.Response(text=page, status=answer.status, headers=headers)


async def own_ctx(_: web.Application) -> AsyncIterator[None]:
    """What is the shop's own to close."""
    async with webhooks:
        yield
    orders.close()


app = web.Application()
app.cleanup_ctx.extend([own_ctx, frame_client_ctx(store=STORE)])
app.add_routes([*routes, webhook_route("/webhooks/frame", webhooks, on_event)])
add_error_handlers(app, sorry)
