"""A stream of results as a few numbers, without holding the stream."""

from collections.abc import AsyncIterable
from typing import Any

from attrs import define

from frame_async.engine.pool import BulkResult
from frame_async.protocol.dispositions import disposition_of


@define
class BulkSummary:
    """What became of many inputs, counted."""

    created: int = 0
    """Inputs with a session."""
    refused: int = 0
    """Inputs that the server refused; nothing was created."""
    invalid: int = 0
    """Inputs that were wrong before anything was sent."""
    not_sent: int = 0
    """Inputs that can't have reached the server; nothing was created."""
    unknown: int = 0
    """Inputs for which a session may exist that nobody has."""
    replayed: int = 0
    """Sessions that came from the store, without network; they count as created too."""
    retries: int = 0
    """Attempts after the first of their call."""
    possible_duplicates: int = 0
    """Sessions that may exist beside those that were handed over."""

    @property
    def total(self) -> int:
        """How many results were counted."""
        return self.created + self.refused + self.invalid + self.not_sent + self.unknown

    def add(self, result: BulkResult[Any]) -> None:
        """Count one result."""
        call = result.call
        self.retries += call.retries
        self.possible_duplicates += call.possible_duplicates
        self.replayed += result.session is not None and call.replayed
        word = disposition_of(result.error).counts_as
        setattr(self, word, getattr(self, word) + 1)


async def summarize(results: AsyncIterable[BulkResult[Any]]) -> BulkSummary:
    """Read a stream of results to its end, and count them."""
    summary = BulkSummary()
    async for result in results:
        summary.add(result)
    return summary
