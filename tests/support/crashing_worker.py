"""A worker that the crash test kills: a session for each order, each result noted at once.

Run as ``python crashing_worker.py STORE BASE_URL RESULTS COUNT``.
"""

import asyncio
import json
import os
import sys

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RetryPolicy


def order(number: int) -> PaymentLinkSessionRequest:
    """The order with that number."""
    return PaymentLinkSessionRequest(
        client_reference_id=f"order-{number}", line_items=[LineItem(product="prod_1")]
    )


async def main(store: str, base_url: str, results: str, count: int) -> None:
    log = os.open(results, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    numbers = iter(range(count))
    async with FrameClient(
        "sk_sandbox_crash",
        base_url=base_url,
        store=store,
        rate_limit=None,
        claim_lease=0.6,
        timeout=60,
        retry=RetryPolicy(backoff=0.01, jitter=0.01, not_sent_backoff=0.01),
    ) as frame:

        async def work() -> None:
            for number in numbers:
                session = await frame.payment_link_sessions.create(
                    order(number), idempotency_key=f"order-{number}"
                )
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
