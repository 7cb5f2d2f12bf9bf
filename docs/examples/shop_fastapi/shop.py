"""A small shop on FastAPI: choose something, pay on Frame's page, see that it is paid."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from shop_orders import Order, Orders
from shop_pages import PRODUCTS, message_page, order_page, products_page

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.fastapi import (
    Answer,
    Frame,
    add_error_handlers,
    frame_lifespan,
    redirect_or_none,
    unless_abandoned,
    webhook_router,
)
from frame_async.webhooks import (
    Event,
    EventType,
    Redirect,
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


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """What is the shop's own to close."""
    async with webhooks:
        yield
    orders.close()


app = FastAPI(lifespan=frame_lifespan(lifespan, store=STORE), default_response_class=HTMLResponse)


def found(number: str) -> Order:
    if order := orders.get(number):
        return order
    raise HTTPException(404)


@app.get("/")
async def home() -> str:
    return products_page()


@app.post("/buy/{product}")
async def buy(product: str) -> RedirectResponse:
    if product not in PRODUCTS:
        raise HTTPException(404)
    return RedirectResponse(f"/orders/{orders.add(product)}", 303)


@app.get("/orders/{number}")
async def show(number: str) -> str:
    order = found(number)
    return order_page(number, order.product, order.status)


@app.post("/orders/{number}/pay")
async def pay(number: str, request: Request, frame: Frame) -> RedirectResponse:
    order = found(number)
    if order.status != "open":
        return RedirectResponse(f"/orders/{number}", 303)
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
        raise HTTPException(502)
    orders.opened(number, session.id)
    return RedirectResponse(session.url, 303)


# Where the payer comes back to. A redirect makes an order returned, and never paid.

Back = Annotated[Redirect | None, Depends(redirect_or_none(redirects))]


@app.get("/thanks", response_model=None)
async def thanks(back: Back) -> str | RedirectResponse:
    if back is None or back.client_reference_id is None or back.result == RedirectResult.CANCELED:
        return message_page("Thank you", "We will write to you once the payment is here.")
    orders.returned(found(back.client_reference_id).number)
    return RedirectResponse(f"/orders/{back.client_reference_id}", 303)


@app.get("/cancelled")
async def cancelled(back: Back) -> RedirectResponse:
    if back is None or back.result != RedirectResult.CANCELED:
        return RedirectResponse("/", 303)
    orders.cancelled(back.session)
    return RedirectResponse(f"/orders/{back.client_reference_id}", 303)


# Whether it was paid, Frame says itself; which order that was, `order_of` looks up.


async def on_event(event: Event, turn: Turn) -> None:
    if event.type == EventType.TRANSFER_SUCCEEDED:
        orders.receive(event)
    elif event.type == EventType.TRANSFER_FAILED:
        orders.failed(event)


app.include_router(webhook_router("/webhooks/frame", webhooks, on_event))


def sorry(request: Request, answer: Answer) -> HTMLResponse:
    text = str(answer.body.get("detail", "Something went wrong on our side."))
    number = request.path_params.get("number")
    page = message_page("Sorry", text, f"/orders/{number}" if number else "/")
    headers = {**answer.headers, "Content-Type": "text/html; charset=utf-8"}
    return HTMLResponse(page, answer.status, headers)


add_error_handlers(app, sorry)
