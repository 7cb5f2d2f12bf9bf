"""The wire to webhook endpoints: one signed request, and what became of it."""

import asyncio
import hmac
from io import BytesIO

import aiohttp

from .deliveries import Delivery, Endpoint
from .targets import Resolver, TargetError, Targets

ANSWER_WITHIN = 5.0
"""Seconds that an endpoint has to answer, connecting included."""

AT_ONCE = 20
"""Most requests at a time."""


class Wire:
    """The connections to endpoints. Made while an event loop runs, and closed with it."""

    def __init__(self, targets: Targets) -> None:
        self.gate = asyncio.Semaphore(AT_ONCE)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=Resolver(targets),
                use_dns_cache=False,  # addresses are judged at every delivery
                socket_factory=targets.open_socket,
                force_close=True,  # one that was kept may be dying, which would cost an attempt
            ),
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Frame-Robot v1.0.0", "Content-Type": "application/json"},
        )

    async def post(self, endpoint: Endpoint, delivery: Delivery) -> tuple[int | None, str | None]:
        """Make one request; return the status answered, or why there was none."""
        headers = {
            "X-Frame-Signature": f"sha256={_sign(endpoint.secret, delivery.body)}",
            "X-Frame-Event": delivery.event_type,
            "X-Frame-Webhook-Id": endpoint.id,
        }
        try:
            # What the endpoint says beyond its status is of no interest, and not read.
            async with self._session.post(
                endpoint.url, data=BytesIO(delivery.body), headers=headers, allow_redirects=False
            ) as response:
                return response.status, None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            return None, _reason(error)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


def _sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_WITHIN:g} s"
    cause = error.__cause__ if isinstance(error.__cause__, TargetError) else error
    return str(cause) or type(error).__name__
