"""A mug shop on aiohttp.web, from the button to paid.

``python shop.py`` runs it beside an emulator of Frame: open http://127.0.0.1:8000. With
FRAME_SECRET_KEY, FRAME_WEBHOOK_SECRET and SHOP_REDIRECT_SECRET set, it asks Frame itself.
"""

import os
from html import escape
from secrets import token_hex
from urllib.parse import urlsplit

from aiohttp import web

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.aiohttp_web import (
    add_error_handlers,
    frame_client_ctx,
    frame_of,
    redirect_of,
    webhook_route,
)
from frame_async.redirects import RedirectSigner
from frame_async.testing import EmulatorThread
from frame_async.webhooks import Event, EventType, Turn, WebhookReceiver

ORDERS = web.AppKey("ORDERS", dict[str, bool])  # which orders there are, and whether they are paid
SIGNER = web.AppKey("SIGNER", RedirectSigner)
SHOP_URL = web.AppKey("SHOP_URL", str)

routes = web.RouteTableDef()


@routes.get("/")
async def product(request: web.Request) -> web.Response:
    return page("A mug", '<form method="post" action="/orders"><button>Buy</button></form>')


@routes.post("/orders")
async def order(request: web.Request) -> web.Response:
    number = token_hex(8)
    request.app[ORDERS][number] = False
    raise web.HTTPSeeOther(f"/orders/{number}")


@routes.get("/orders/{number}")
async def show(request: web.Request) -> web.Response:
    number = known_order(request)
    if request.app[ORDERS][number]:
        return page(f"Order {number}", "<p>Paid. Your mug is on its way.</p>")
    button = f'<form method="post" action="/orders/{number}/pay"><button>Pay</button></form>'
    return page(f"Order {number}", button)


@routes.post("/orders/{number}/pay")
async def pay(request: web.Request) -> web.Response:
    number = known_order(request)
    session = await frame_of(request).payment_link_sessions.create(
        PaymentLinkSessionRequest(
            client_reference_id=number,
            line_items=[LineItem(product="prod_mug")],
            success_url=f"{request.app[SHOP_URL]}/thanks",
        ),
        idempotency_key=number,  # pressing twice makes one session
    )
    raise web.HTTPSeeOther(session.url or f"/orders/{number}")


@routes.get("/thanks")
async def thanks(request: web.Request) -> web.Response:
    redirect = redirect_of(request, request.app[SIGNER])
    if redirect is None or redirect.client_reference_id is None:
        return page("Thank you", "<p>We will write to you.</p>")
    number = escape(redirect.client_reference_id)
    return page("Thank you", f'<p>See <a href="/orders/{number}">your order</a>.</p>')


def known_order(request: web.Request) -> str:
    number = request.match_info["number"]
    if number not in request.app[ORDERS]:
        raise web.HTTPNotFound
    return number


def page(title: str, content: str) -> web.Response:
    text = f"<!doctype html><title>{title}</title><h1>{title}</h1>{content}"
    return web.Response(text=text, content_type="text/html")


def make_app(shop_url: str) -> web.Application:
    orders: dict[str, bool] = {}

    async def on_event(event: Event, turn: Turn) -> None:
        if event.type == EventType.TRANSFER_SUCCEEDED and event.client_reference_id in orders:
            orders[event.client_reference_id] = True

    app = web.Application()
    app[ORDERS] = orders
    app[SIGNER] = RedirectSigner(os.environ["SHOP_REDIRECT_SECRET"])
    app[SHOP_URL] = shop_url
    app.cleanup_ctx.append(frame_client_ctx())
    add_error_handlers(app)
    app.add_routes([*routes, webhook_route("/webhooks", WebhookReceiver(), on_event)])
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
    port = urlsplit(shop_url).port
    web.run_app(make_app(shop_url), host="127.0.0.1", port=port, handler_cancellation=True)


if __name__ == "__main__":
    main()
