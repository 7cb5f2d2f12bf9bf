"""Payment links from Celery: a loop for each worker process, and no message held for long."""

import asyncio
import os
import random
from functools import cache

from celery import Celery, Task
from celery.signals import worker_process_shutdown

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
HELD = 20.0  # seconds that a message may be in hand
SPREAD = 60.0  # seconds: what finds no place comes back spread over a period of the window

app = Celery("shop", broker=REDIS)
app.conf.update(
    task_acks_late=True,  # a message is done when its task is, and not when it was fetched
    task_reject_on_worker_lost=True,  # so that a killed child loses none
    worker_prefetch_multiplier=1,
    broker_transport_options={
        # Above HELD and above every countdown: a message that waits for its countdown is held, too.
        "visibility_timeout": 600,
    },
)


@cache
def runner() -> asyncio.Runner:
    """The event loop of this process: Celery runs no async def."""
    return asyncio.Runner()


@cache
def frame() -> FrameClient:
    """The client of this process: made after the fork, with a store that all of them share."""
    return FrameClient(store=REDIS)


@worker_process_shutdown.connect
def close(**_):
    runner().run(frame().aclose())
    runner().close()


async def create(order: str) -> str | None:
    session = await frame().payment_link_sessions.create(
        PaymentLinkSessionRequest(
            client_reference_id=order, line_items=[LineItem(product="prod_mug")]
        ),
        # The order's own key: who has the message a second time gets the same session.
        idempotency_key=IdempotencyKey.derive("payment-link", order),
        timeout=HELD,
        lane="bulk",
    )
    return session.url


@app.task(bind=True, max_retries=None)
def payment_link(self: Task, order: str) -> str | None:
    try:
        return runner().run(create(order))
    except WindowFullError as full:
        seconds = full.fits_in + random.uniform(0, SPREAD)
    except SessionUnreadableError:
        raise  # it was created, and its answer can't be used: never again
    except (OutcomeUnknownError, NotSentError, RateLimitedError):
        seconds = random.uniform(1, 5)  # the same key again, so nothing is done twice in silence
    raise self.retry(countdown=seconds)
