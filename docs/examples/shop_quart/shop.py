"""A mug shop on Quart, from the button to paid.

``python shop.py`` runs it beside an emulator of Frame: open http://127.0.0.1:8000. With
FRAME_SECRET_KEY, FRAME_WEBHOOK_SECRET and SHOP_REDIRECT_SECRET set, it asks Frame itself.
"""

import asyncio
import os
from html import escape
from secrets import token_hex
from urllib.parse import urlsplit

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Blueprint, Quart, abort, current_app, redirect
from quart.typing import ResponseReturnValue

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.quart import QuartFrame, frame_of, redirect_of, webhook_view
from frame_async.redirects import RedirectSigner
from frame_async.testing import EmulatorThread
from frame_async.webhooks import Event, EventType, Turn, WebhookReceiver

shop = Blueprint("shop", __name__)


@shop.get("/")
async def product() -> str:
    return page("A mug", '<form method="post" action="/orders"><button>Buy</button></form>')


@shop.post("/orders")
async def order() -> ResponseReturnValue:
    number = token_hex(8)
    current_app.config["ORDERS"][number] = False
    return redirect(f"/orders/{number}", 303)


@shop.get("/orders/<number>")
async def show(number: str) -> str:
    check(number)
    if current_app.config["ORDERS"][number]:
        return page(f"Order {number}", "<p>Paid. Your mug is on its way.</p>")
    button = f'<form method="post" action="/orders/{number}/pay"><button>Pay</button></form>'
    return page(f"Order {number}", button)


@shop.post("/orders/<number>/pay")
async def pay(number: str) -> ResponseReturnValue:
    check(number)
    session = await frame_of().payment_link_sessions.create(
        PaymentLinkSessionRequest(
            client_reference_id=number,
            line_items=[LineItem(product="prod_mug")],
            success_url=f"{current_app.config['SHOP_URL']}/thanks",
        ),
        idempotency_key=number,  # pressing twice makes one session
    )
    return redirect(session.url or f"/orders/{number}", 303)


@shop.get("/thanks")
async def thanks() -> str:
    back = redirect_of(current_app.config["SIGNER"])
    if back is None or back.client_reference_id is None:
        return page("Thank you", "<p>We will write to you.</p>")
    number = escape(back.client_reference_id)
    return page("Thank you", f'<p>See <a href="/orders/{number}">your order</a>.</p>')


def check(number: str) -> None:
    if number not in current_app.config["ORDERS"]:
        abort(404)


def page(title: str, content: str) -> str:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>{content}"


def make_app(shop_url: str) -> Quart:
    orders: dict[str, bool] = {}  # which orders there are, and whether they are paid

    async def on_event(event: Event, turn: Turn) -> None:
        if event.type == EventType.TRANSFER_SUCCEEDED and event.client_reference_id in orders:
            orders[event.client_reference_id] = True

    app = Quart(__name__)
    app.config["ORDERS"] = orders
    app.config["SIGNER"] = RedirectSigner(os.environ["SHOP_REDIRECT_SECRET"])
    app.config["SHOP_URL"] = shop_url
    QuartFrame(app)
    app.register_blueprint(shop)
    app.post("/webhooks")(webhook_view(WebhookReceiver(), on_event))
    return app


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
    config = Config()
    config.bind = [f"127.0.0.1:{urlsplit(shop_url).port}"]
    asyncio.run(serve(make_app(shop_url), config))


if __name__ == "__main__":
    main()
