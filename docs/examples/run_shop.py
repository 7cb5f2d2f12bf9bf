"""Run an example shop with an emulator of Frame beside it: ``python run_shop.py fastapi``."""

import os
import secrets
import sys
from importlib import import_module

import uvicorn
from aiohttp import web

from frame_async.testing import EmulatorThread


def main(framework: str = "fastapi", port: str = "8000") -> None:
    home, secret = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    with EmulatorThread(webhooks=[(f"{home}/webhooks/frame", secret)]) as emulator:
        os.environ |= {
            "FRAME_SECRET_KEY": emulator.api_key,
            "FRAME_API_BASE_URL": emulator.base_url,
            "FRAME_WEBHOOK_SECRET": secret,
            "SHOP_REDIRECT_SECRET": "emulator_redirect_secret",
            "SHOP_URL": home,
        }
        print(f"The shop is at {home}, the emulator at {emulator.base_url}", flush=True)
        app = import_module(f"shop_{framework}.shop").app
        if framework == "aiohttp":  # a server of its own, and no ASGI
            web.run_app(
                app, host="127.0.0.1", port=int(port), handler_cancellation=True, print=None
            )
        else:
            uvicorn.run(app, port=int(port), log_level="warning", ws="none")


if __name__ == "__main__":
    main(*sys.argv[1:])
