"""Shops whose window has one place a minute, for servers that are told to stop meanwhile."""

import os
from typing import Any

from aiohttp import web
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from frame_async import LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.integrations import aiohttp_web, quart, starlette

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
OPTIONS: dict[str, Any] = {
    "api_key": os.environ.get("SHOP_KEY", "sk_sandbox_shop"),
    "base_url": os.environ.get("SHOP_FRAME"),
    "rate_limit": RateLimit(1, per=60),
    "timeout": 3600.0,
    "store": "memory://",
}


async def _pay(request: Request) -> Response:
    session = await starlette.frame_of(request).payment_link_sessions.create(ORDER)
    return JSONResponse({"id": session.id})


def starlette_shop() -> Starlette:
    """For uvicorn, and for gunicorn with uvicorn's workers."""
    lifespan = starlette.frame_lifespan(**OPTIONS)
    shop = Starlette(lifespan=lifespan, routes=[Route("/pay", _pay, methods=["POST"])])
    starlette.add_error_handlers(shop)
    return shop


def quart_shop() -> Quart:
    """For hypercorn."""
    shop = Quart(__name__)
    quart.QuartFrame(shop, **OPTIONS)

    @shop.post("/pay")
    async def pay() -> dict[str, str]:
        return {"id": (await quart.frame_of().payment_link_sessions.create(ORDER)).id}

    return shop


def aiohttp_shop(_arguments: object = None) -> web.Application:
    """For aiohttp itself, and for gunicorn with aiohttp's workers."""

    async def pay(request: web.Request) -> web.Response:
        session = await aiohttp_web.frame_of(request).payment_link_sessions.create(ORDER)
        return web.json_response({"id": session.id})

    shop = web.Application()
    shop.cleanup_ctx.append(aiohttp_web.frame_client_ctx(**OPTIONS))
    aiohttp_web.add_error_handlers(shop)
    shop.router.add_post("/pay", pay)
    return shop
