"""What a test may reach: this machine, unless it was marked for more."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from frame_async.protocol.credentials import Mode, check_api_key, is_loopback
from frame_async.secret import Secret


def guard(
    connector: Any, base_url: str, key: Secret[str], refuse: Callable[[str, bool], None]
) -> None:
    """Have `refuse` asked before a connection to a client's address is opened.

    It is called with the address and whether the key is live, and raises or doesn't. A mock of
    aiohttp's client session never asks for a connection, so that it is never called.
    """
    if is_loopback(urlsplit(base_url).hostname or ""):
        return
    live = check_api_key(key) is Mode.LIVE
    connect = connector.connect

    async def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
        if str(request.url).startswith(base_url):
            refuse(base_url, live)
        return await connect(request, *args, **kwargs)

    connector.connect = guarded
