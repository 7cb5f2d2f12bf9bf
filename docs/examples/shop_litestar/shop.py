"""A small shop on Litestar: choose something, pay on Frame's page, see that it is paid."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from shop_orders import Order, Orders
from shop_pages import PRODUCTS, message_page, order_page, products_page

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.litestar import (
    Answer,
    Frame,
    FramePlugin,
    redirect_of,
    unless_abandoned,
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

AnyRequest = Request[Any, Any, Any]


def html(text: str) -> Response[str]:
    return Response(text, media_type=MediaType.HTML)


def found(number: str | None) -> Order:
    if number is not None and (order := orders.get(number)):
        return order
    raise NotFoundException


@get("/")
async def home() -> Response[str]:
    return html(products_page())


@post("/buy/{product:str}")
async def buy(product: FromPath[str]) -> Redirect:
    if product not in PRODUCTS:
        raise NotFoundException
    return Redirect(f"/orders/{orders.add(product)}", status_code=303)


@get("/orders/{number:str}")
async def show(number: FromPath[str]) -> Response[str]:
    order = found(number)
    return html(order_page(order.number, order.product, order.status))


@post("/orders/{number:str}/pay")
async def pay(number: FromPath[str], request: AnyRequest, frame: Frame) -> Redirect:
    order = found(number)
    if order.status != "open":
        return Redirect(f"/orders/{number}", status_code=303)
    asked = PaymentLinkSessionRequest(
        client_reference_id=number,
        line_items=[LineItem(product=order.product)],
        success_url=f"{HOME}/thanks",
        cancel_url=f"{HOME}/cancelled",
    )
    # Pressed twice, or tried again after an error: the key makes it the same session.
    call = frame.payment_link_sessions.create(asked, idempotency_key=order.key)
    session = await unless_abandoned(request, call)
    if session.url is None:
        raise HTTPException(status_code=502)
    orders.opened(number, session.id)
    return Redirect(session.url, status_code=303)


# Where the payer comes back to. A redirect makes an order returned, and never paid.


@get("/thanks")
async def thanks(request: AnyRequest) -> Response[str] | Redirect:
    back = redirect_of(request, redirects)
    if back is None or back.client_reference_id is None or back.result == RedirectResult.CANCELED:
        return html(message_page("Thank you", "We will write to you once the payment is here."))
    orders.returned(found(back.client_reference_id).number)
    return Redirect(f"/orders/{back.client_reference_id}", status_code=303)


@get("/cancelled")
async def cancelled(request: AnyRequest) -> Redirect:
    back = redirect_of(request, redirects)
    if back is None or back.result != RedirectResult.CANCELED:
        return Redirect("/", status_code=303)
    orders.cancelled(back.session)
    return Redirect(f"/orders/{back.client_reference_id}", status_code=303)


# Whether it was paid, Frame says itself; which order that was, `order_of` looks up.


async def on_event(event: Event, turn: Turn) -> None:
    if event.type == EventType.TRANSFER_SUCCEEDED:
        orders.receive(event)
    elif event.type == EventType.TRANSFER_FAILED:
        orders.failed(event)


def sorry(request: AnyRequest, answer: Answer) -> Response[str]:
    text = str(answer.body.get("detail", "Something went wrong on our side."))
    number = request.path_params.get("number")
    page = message_page("Sorry", text, f"/orders/{number}" if number else "/")
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    return Response(page, status_code=answer.status, headers=headers, media_type=MediaType.HTML)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    """What is the shop's own to close."""
    async with webhooks:
        yield
    orders.close()


app = Litestar(
    [
        *(home, buy, show, pay, thanks, cancelled),
        webhook_route("/webhooks/frame", webhooks, on_event),
    ],
    lifespan=[lifespan],
    plugins=[FramePlugin(sorry, store=STORE)],
)
