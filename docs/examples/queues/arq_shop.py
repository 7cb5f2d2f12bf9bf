"""Payment links from arq: a job that finds no place goes back to the queue until there is one."""

import os
import random
from urllib.parse import unquote

from arq import Retry, func
from arq.connections import RedisSettings

from frame_async import (
    FrameClient,
    IdempotencyKey,
    LineItem,
    OutcomeUnknownError,
    PaymentLinkSessionRequest,
)
from frame_async.errors import (
    NotSentError,
    RateLimitedError,
    SessionUnreadableError,
    WindowFullError,
)

REDIS = os.environ["REDIS_URL"]
SETTINGS = RedisSettings.from_dsn(REDIS)
SETTINGS.password = unquote(SETTINGS.password or "") or None  # arq leaves it percent-encoded
HELD = 20.0  # seconds that a job may be in hand; below job_timeout
SPREAD = 60.0  # seconds: what finds no place comes back spread over a period of the window


async def payment_link(ctx: dict, order: str) -> str | None:
    try:
        session = await ctx["frame"].payment_link_sessions.create(
            PaymentLinkSessionRequest(
                client_reference_id=order, line_items=[LineItem(product="prod_mug")]
            ),
            # The order's own key: who has the job a second time gets the same session.
            idempotency_key=IdempotencyKey.derive("payment-link", order),
            timeout=HELD,
            lane="bulk",
        )
    except WindowFullError as full:
        raise Retry(full.fits_in + random.uniform(0, SPREAD)) from None
    except SessionUnreadableError:
        raise  # it was created, and its answer can't be used: never again
    except (OutcomeUnknownError, NotSentError, RateLimitedError):
        # The same key again: nothing is done twice in silence.
        raise Retry(random.uniform(1, 5)) from None
    return session.url


async def startup(ctx: dict) -> None:
    ctx["frame"] = FrameClient(store=REDIS)


async def shutdown(ctx: dict) -> None:
    await ctx["frame"].aclose()


class WorkerSettings:
    # A Retry counts as a try, and five tries are soon over.
    functions = (func(payment_link, max_tries=1_000_000),)
    on_startup = startup
    on_shutdown = shutdown
    redis_settings = SETTINGS
    max_jobs = 10
    job_timeout = 60  # above HELD
