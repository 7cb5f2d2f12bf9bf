"""A mug shop on Litestar, from the button to paid.

``python shop.py`` runs it beside an emulator of Frame: open http://127.0.0.1:8000. With
FRAME_SECRET_KEY, FRAME_WEBHOOK_SECRET and SHOP_REDIRECT_SECRET set, it asks Frame itself.
"""

import os
from html import escape
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from litestar import Litestar, MediaType, Request, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.litestar import (
    Frame,
    FramePlugin,
    redirect_of,
    unless_abandoned,
    webhook_route,
)
from frame_async.redirects import RedirectSigner
from frame_async.testing import EmulatorThread
from frame_async.webhooks import Event, EventType, Turn, WebhookReceiver


@get("/", media_type=MediaType.HTML)
async def product() -> str:
    return page("A mug", '<form method="post" action="/orders"><button>Buy</button></form>')


@post("/orders")
async def order(state: State) -> Redirect:
    number = token_hex(8)
    state.orders[number] = False
    return Redirect(f"/orders/{number}", status_code=303)


@get("/orders/{number:str}", media_type=MediaType.HTML)
async def show(number: FromPath[str], state: State) -> str:
    check(number, state)
    if state.orders[number]:
        return page(f"Order {number}", "<p>Paid. Your mug is on its way.</p>")
    button = f'<form method="post" action="/orders/{number}/pay"><button>Pay</button></form>'
    return page(f"Order {number}", button)


@post("/orders/{number:str}/pay")
async def pay(
    number: FromPath[str], state: State, request: Request[Any, Any, State], frame: Frame
) -> Redirect:
    check(number, state)
    call = frame.payment_link_sessions.create(
        PaymentLinkSessionRequest(
            client_reference_id=number,
            line_items=[LineItem(product="prod_mug")],
            success_url=f"{state.shop_url}/thanks",
        ),
        idempotency_key=number,  # pressing twice makes one session
    )
    session = await unless_abandoned(request, call)
    return Redirect(session.url or f"/orders/{number}", status_code=303)


@get("/thanks", media_type=MediaType.HTML)
async def thanks(request: Request[Any, Any, State], state: State) -> str:
    redirect = redirect_of(request, state.signer)
    if redirect is None or redirect.client_reference_id is None:
        return page("Thank you", "<p>We will write to you.</p>")
    number = escape(redirect.client_reference_id)
    return page("Thank you", f'<p>See <a href="/orders/{number}">your order</a>.</p>')


def check(number: str, state: State) -> None:
    if number not in state.orders:
        raise NotFoundException


def page(title: str, content: str) -> str:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>{content}"


def make_app(shop_url: str) -> Litestar:
    orders: dict[str, bool] = {}  # which orders there are, and whether they are paid

    async def on_event(event: Event, turn: Turn) -> None:
        if event.type == EventType.TRANSFER_SUCCEEDED and event.client_reference_id in orders:
            orders[event.client_reference_id] = True

    signer = RedirectSigner(os.environ["SHOP_REDIRECT_SECRET"])
    webhooks = webhook_route("/webhooks", WebhookReceiver(), on_event)
    return Litestar(
        [product, order, show, pay, thanks, webhooks],
        state=State({"orders": orders, "signer": signer, "shop_url": shop_url}, deep_copy=False),
        plugins=[FramePlugin()],
    )


def main() -> None:
    shop_url = os.environ.get("SHOP_URL", "http://127.0.0.1:8000")
    if "FRAME_SECRET_KEY" in os.environ:
        run(shop_url)
        return
    secret = token_hex(16)
    with EmulatorThread(webhooks=[(f"{shop_url}/webhooks", secret)]) as emulator:
        os.environ["FRAME_SECRET_KEY"] = emulator.api_key
        os.environ["FRAME_API_BASE_URL"] = emulator.base_url
        os.environ["FRAME_WEBHOOK_SECRET"] = secret
        os.environ["SHOP_REDIRECT_SECRET"] = "emulator_redirect_secret"
        run(shop_url)


def run(shop_url: str) -> None:
    uvicorn.run(make_app(shop_url), port=urlsplit(shop_url).port or 80)


if __name__ == "__main__":
    main()
