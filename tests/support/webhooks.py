"""Webhooks that nobody may believe, and how they are sent."""

import gzip
from collections.abc import AsyncIterator
from typing import Any

from support.signing import SECRET

from frame_async.testing import signed_webhook

_GENUINE, _HEADERS = signed_webhook("transfer.succeeded", {}, secret=SECRET)

UNBELIEVABLE: dict[str, tuple[bytes | list[bytes], Any]] = {
    "unsigned": (b"{}", {}),
    "empty": (b"", {}),
    "forged": signed_webhook("transfer.succeeded", {}, secret="another"),
    "large": (b"x" * 1001, {"X-Frame-Signature": f"sha256={'0' * 64}"}),
    "compressed": (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}),
    "chunked": ([b"x" * 600] * 3, {}),
    "doubled": (_GENUINE, [*_HEADERS.items(), ("X-Frame-Signature", f"sha256={'0' * 64}")]),
}
"""Bodies and headers, for a receiver that takes 1000 bytes; a list is sent in chunks."""


def chunks(body: bytes | list[bytes]) -> Any:
    """A body for aiohttp's client."""
    return body if isinstance(body, bytes) else _each(body)


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
