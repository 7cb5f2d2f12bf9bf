"""Payment links from taskiq on Redis streams: what finds no place waits in a set, not in hand."""

import asyncio
import os
import random
import time
from typing import Annotated

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import Context, SendTaskError, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

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
LATER = "payment-links-later"

broker = RedisStreamBroker(
    REDIS,
    consumer_id="0",  # with the default, "$", what was sent before the first worker is lost
    idle_timeout=120_000,  # milliseconds; well above HELD
    xread_count=10,  # what a worker has fetched is idle, too, while it waits for its turn
    unacknowledged_lock_timeout=10.0,  # else a worker killed at the wrong moment blocks them all
)


@broker.task
async def payment_link(order: str, context: Annotated[Context, TaskiqDepends()]) -> str | None:
    state = context.state
    try:
        session = await state.frame.payment_link_sessions.create(
            PaymentLinkSessionRequest(
                client_reference_id=order, line_items=[LineItem(product="prod_mug")]
            ),
            # The order's own key: who has the message a second time gets the same session.
            idempotency_key=IdempotencyKey.derive("payment-link", order),
            timeout=HELD,
            lane="bulk",
        )
    except WindowFullError as full:
        seconds = full.fits_in + random.uniform(0, SPREAD)
    except SessionUnreadableError:
        raise  # it was created, and its answer can't be used: never again
    except (OutcomeUnknownError, NotSentError, RateLimitedError):
        seconds = random.uniform(1, 5)  # the same key again: nothing is done twice in silence
    else:
        return session.url
    due = time.time() + seconds
    await state.redis.zadd(LATER, {f"{due} {order}": due})
    return None


async def hand_on(redis: Redis) -> None:
    """Send what is due again; first sent and then removed, so that a crash loses none.

    An order that is put off again meanwhile has an entry of its own by then.
    """
    while True:
        try:
            for entry in await redis.zrangebyscore(LATER, 0, time.time(), start=0, num=100):
                await payment_link.kiq(entry.decode().partition(" ")[2])
                await redis.zrem(LATER, entry)
        except (OSError, RedisError, SendTaskError):
            pass  # the server is being restarted
        await asyncio.sleep(0.5)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def startup(state: TaskiqState) -> None:
    state.frame = FrameClient(store=REDIS)
    state.redis = Redis.from_url(REDIS)
    state.handing_on = asyncio.create_task(hand_on(state.redis))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def shutdown(state: TaskiqState) -> None:
    state.handing_on.cancel()
    await state.redis.aclose()
    await state.frame.aclose()
