"""A worker that the crash test kills: a session for each order, each result noted at once.

Run as ``python -m support.crashing_worker STORE BASE_URL RESULTS COUNT``.
"""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

from frame_async import (
    CallError,
    FrameClient,
    LineItem,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RateLimit,
    RetryPolicy,
)


def order(number: int) -> PaymentLinkSessionRequest:
    """The order with that number."""
    return PaymentLinkSessionRequest(
        client_reference_id=f"order-{number}", line_items=[LineItem(product="prod_1")]
    )


def work_left(results: str, count: int) -> list[int]:
    """The orders without a known session, so that every life gets new ones; and some with."""
    path = Path(results)
    lines = path.read_text().splitlines() if path.exists() else []
    known = {json.loads(line)["key"] for line in lines}
    return [n for n in range(count) if f"order-{n}" not in known or random.random() < 0.01]


async def created(frame: FrameClient, number: int) -> PaymentLinkSession:
    """The session of an order: whatever happens, one asks again with the same key."""
    while True:
        try:
            return await frame.payment_link_sessions.create(
                order(number), idempotency_key=f"order-{number}"
            )
        except CallError as error:  # a slow machine, for instance
            sys.stderr.write(f"order-{number}: {error}\n")


async def main(store: str, base_url: str, results: str, count: int) -> None:
    numbers = iter(work_left(results, count))
    log = os.open(results, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with FrameClient(
        "sk_sandbox_crash",
        base_url=base_url,
        store=store,
        rate_limit=RateLimit(200, 0.4),
        claim_lease=0.6,
        attempt_timeout=2,  # what a killed worker held in the window comes back soon
        timeout=60,
        retry=RetryPolicy(backoff=0.01, jitter=0.01, not_sent_backoff=0.01),
    ) as frame:

        async def work() -> None:
            for number in numbers:
                session = await created(frame, number)
                if session.call.store_error:
                    continue  # not remembered, and admitted
                told = {
                    "key": f"order-{number}",
                    "id": session.id,
                    "doubles": session.call.possible_duplicates,
                }
                os.write(log, json.dumps(told).encode() + b"\n")

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.gather(*(work() for _ in range(8)))
    os.close(log)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
