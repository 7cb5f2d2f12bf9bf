"""aioresponses on today's aiohttp; to be taken away when aioresponses is fixed itself."""

from typing import Any

import aiohttp
import aioresponses.core


class Nowhere:
    """Where a mock writes what would have been sent."""

    output_size = 0

    async def write(self, data: bytes) -> None:
        """Take it."""


class MendedResponse(aiohttp.ClientResponse):
    """An answer that aioresponses 0.7.9 can make, which doesn't know of ``stream_writer``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **({"stream_writer": Nowhere()} | kwargs))


def patch_aioresponses() -> None:
    """Let aioresponses make answers on aiohttp 3.14, which asks for one argument more.

    It holds for the whole process. The fixture ``frame_responses`` does it, and the pytest
    plugin before each test that finds aioresponses imported.
    """
    aioresponses.core.ClientResponse = MendedResponse  # type: ignore[attr-defined]
