"""Run an example shop with an emulator of Frame beside it: ``python run_shop.py fastapi``."""

import argparse
import os
import secrets
from importlib import import_module

import uvicorn
from aiohttp import web

from frame_async.testing import EmulatorThread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", nargs="?", default="fastapi")
    parser.add_argument("port", nargs="?", type=int, default=8000)
    parser.add_argument("--assume", action="append", default=[], help="as the emulator has it")
    run(**vars(parser.parse_args()))


def run(framework: str, port: int, assume: list[str]) -> None:
    home, secret = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    hooks = [(f"{home}/webhooks/frame", secret)]
    with EmulatorThread(webhooks=hooks, assume=assume) as emulator:
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
            web.run_app(app, host="127.0.0.1", port=port, handler_cancellation=True, print=None)
        else:
            uvicorn.run(app, port=port, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
