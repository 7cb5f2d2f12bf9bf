"""A small shop on Django: choose something, pay on Frame's page, see that it is paid.

Settings, views and addresses in one file; yours would be in three.
"""

import os
import secrets
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.http import require_POST
from shop_orders import Order, Orders
from shop_pages import PRODUCTS, message_page, order_page, products_page

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.integrations.django import (
    Answer,
    FrameApplication,
    frame_of,
    make_error_middleware,
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

settings.configure(
    SECRET_KEY=os.environ.get("SHOP_SECRET_KEY", secrets.token_hex()),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", f"{__name__}.errors"],
)


def found(number: str | None) -> Order:
    if number is not None and (order := orders.get(number)):
        return order
    raise Http404


def csrf(request: HttpRequest) -> str:
    return f'<input type="hidden" name="csrfmiddlewaretoken" value="{get_token(request)}">'


async def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(products_page(csrf(request)))


@require_POST
async def buy(request: HttpRequest, product: str) -> HttpResponse:
    if product not in PRODUCTS:
        raise Http404
    return to(f"/orders/{orders.add(product)}")


async def show(request: HttpRequest, number: str) -> HttpResponse:
    order = found(number)
    return HttpResponse(order_page(number, order.product, order.status, csrf(request)))


@require_POST
async def pay(request: HttpRequest, number: str) -> HttpResponse:
    order = found(number)
    if order.status != "open":
        return to(f"/orders/{number}")
    asked = PaymentLinkSessionRequest(
        client_reference_id=number,
        line_items=[LineItem(product=order.product)],
        success_url=f"{HOME}/thanks",
        cancel_url=f"{HOME}/cancelled",
    )
    # Pressed twice, or tried again after an error: the key makes it the same session.
    session = await frame_of(request).payment_link_sessions.create(asked, idempotency_key=order.key)
    if session.url is None:
        return HttpResponse(message_page("Sorry", "Nothing was charged."), status=502)
    orders.opened(number, session.id)
    return to(session.url)


# Where the payer comes back to. A redirect makes an order returned, and never paid.


async def thanks(request: HttpRequest) -> HttpResponse:
    back = redirect_of(request, redirects)
    if back is None or back.client_reference_id is None or back.result == RedirectResult.CANCELED:
        page = message_page("Thank you", "We will write to you once the payment is here.")
        return HttpResponse(page)
    orders.returned(found(back.client_reference_id).number)
    return to(f"/orders/{back.client_reference_id}")


async def cancelled(request: HttpRequest) -> HttpResponse:
    back = redirect_of(request, redirects)
    if back is None or back.result != RedirectResult.CANCELED:
        return to("/")
    orders.cancelled(back.session)
    return to(f"/orders/{back.client_reference_id}")


# Whether it was paid, Frame says itself; which order that was, `order_of` looks up.


async def on_event(event: Event, turn: Turn) -> None:
    if event.type == EventType.TRANSFER_SUCCEEDED:
        orders.receive(event)
    elif event.type == EventType.TRANSFER_FAILED:
        orders.failed(event)


def to(url: str) -> HttpResponse:
    return HttpResponseRedirect(url, status=303)


def sorry(request: HttpRequest, answer: Answer) -> HttpResponse:
    text = str(answer.body.get("detail", "Something went wrong on our side."))
    order = request.path.removesuffix("/pay")
    page = message_page("Sorry", text, order if order.startswith("/orders/") else "/")
    headers: dict[str, Any] = {**answer.headers, "Content-Type": "text/html; charset=utf-8"}
    return HttpResponse(page, status=answer.status, headers=headers)


errors = make_error_middleware(sorry)

urlpatterns = [
    path("", home),
    path("buy/<product>", buy),
    path("orders/<number>", show),
    path("orders/<number>/pay", pay),
    path("thanks", thanks),
    path("cancelled", cancelled),
    path("webhooks/frame", webhook_view(webhooks, on_event)),
]

app = FrameApplication(get_asgi_application(), store=STORE)
