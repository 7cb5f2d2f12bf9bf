"""A merchant's own server: where payers come back to and webhooks arrive."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

SECRET = "emulator_redirect_secret"
HOOK_SECRET = "0123456789abcdef0123456789abcdef"


class Shop:
    """Writes down who came, and what was delivered."""

    def __init__(self) -> None:
        self.url = ""
        self.visits: list[str] = []
        self.deliveries: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []  # to the next deliveries; 204 when there are no more
        self.refused: list[str] = []  # what a browser's POSTs from here got

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events delivered, each after a look at its signature."""
        for headers, body in self.deliveries:
            signature = hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
            assert headers["X-Frame-Signature"] == f"sha256={signature}"
        return [json.loads(body) for _, body in self.deliveries]

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Take whatever comes."""
        if request.path == "/hook":
            self.deliveries.append((dict(request.headers), await request.read()))
            status = self.answers.pop(0) if self.answers else 204
            return web.Response(status=status, headers={"Location": "/elsewhere"})
        if request.path == "/favicon.ico":
            return web.Response(status=204)
        if request.path == "/onward":
            self.visits.append(str(request.raw_path))
            return web.Response(status=302, headers={"Location": request.query["to"]})
        if request.path == "/forge":
            form = (
                f'<form method="post" action="{request.query["to"]}"><button>Win!</button></form>'
            )
            return web.Response(text=form, content_type="text/html")
        self.visits.append(str(request.raw_path))
        return web.Response(text="<h1>The shop</h1>", content_type="text/html")


@asynccontextmanager
async def open_shop(host: str = "127.0.0.1") -> AsyncIterator[Shop]:
    """Run a shop on a free port."""
    shop = Shop()
    runner = web.ServerRunner(web.Server(shop.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    port = runner.addresses[0][1]
    shop.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        yield shop
    finally:
        await runner.cleanup()


def read_payload(address: str, secret: str = SECRET) -> dict[str, Any]:
    """Verify the signed payload of an address, written from the scheme's description alone."""
    query = address.partition("#")[0].partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    (payload,) = [value for name, value in pairs if name == "frame_payload"]
    (signature,) = [value for name, value in pairs if name == "frame_signature"]
    signed = f"frame_redirect.{payload}"
    assert signature == hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    content: dict[str, Any] = json.loads(decoded)
    return content
