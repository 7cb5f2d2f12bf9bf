"""Work that ends when nobody waits for it any more; free of any framework."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from frame_async.errors import RequestAbandonedError

T = TypeVar("T")


async def unless_gone(work: Coroutine[Any, Any, T], gone: Awaitable[object]) -> T:
    """What `work` returns or raises, unless `gone` ends before it does.

    Then `work` is cancelled and waited for, so that it can settle its idempotency
    key; the same when the caller is cancelled.

    Raises:
        RequestAbandonedError: `gone` ended first; when it failed, its own error comes through.
    """
    working, going = asyncio.ensure_future(work), asyncio.ensure_future(gone)
    try:
        await asyncio.wait({working, going}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        going.result()  # an error in watching is not the end of it
    finally:
        await _ended(working, going)
    raise RequestAbandonedError("whoever asked has gone away, so the call was cancelled")


async def _ended(*tasks: "asyncio.Future[Any]") -> None:
    for task in tasks:
        task.cancel()
    # Gathered, not only waited for: nobody else asks for what they raised.
    await asyncio.gather(*tasks, return_exceptions=True)
