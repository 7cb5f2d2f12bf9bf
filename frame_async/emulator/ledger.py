"""The ledger: what the emulator was asked, and what it answered.

It is there so that a test can say *nothing lost, nothing twice*. It holds no
secret: of a key only its mode and last four characters, of a body nothing that
may carry card or bank data.
"""

from collections import deque
from collections.abc import Mapping

from attrs import Factory, define, field, frozen


@frozen(kw_only=True)
class LedgerEntry:
    """One request that reached the emulator with a readable head."""

    sequence: int
    """Number of the entry, from 1, in the order in which answers were decided."""
    request_id: str
    """The ``X-Request-Id`` of the answer."""
    received: float
    """When the head of the request was read, in seconds since the epoch."""
    method: str
    """HTTP method."""
    path: str
    """Path without the query."""
    idempotency_key: str | None
    """The ``Idempotency-Key`` header as it came, heeded or not."""
    client_reference_id: str | None
    """The merchant's reference in the body, when it is a string."""
    body: Mapping[str, object] | None = field(hash=False)
    """The JSON object that came, without its secrets; ``None`` when the request was
    refused before its body was read, or when that is not a JSON object. Whatever
    is unknown, nested where it shouldn't be, or payment method data reads
    ``"[hidden]"``."""
    status: int | None
    """The status answered, even if the client no longer listened; ``None`` when the
    client left before its request was complete, or when the emulator failed on it."""
    session_id: str | None
    """The session in the answer."""
    replayed: bool
    """Whether the answer repeats an earlier one (only with idempotency on)."""
    unknown_fields: tuple[str, ...]
    """Paths of the fields that Frame would silently ignore, such as ``account_id``
    or ``line_items.0.quantity``."""
    user_agent: str | None
    """The ``User-Agent`` header."""
    key_mode: str | None
    """``sandbox``, ``production``, ``publishable``, ``unknown`` or ``missing``;
    ``None`` where no key is asked for."""
    key_suffix: str
    """The last four characters of an accepted key, empty when it is too short."""


@define(eq=False)
class Ledger:
    """The entries so far, oldest first; the oldest go when there are too many."""

    limit: int | None = None
    """Most entries that are kept; ``None`` keeps all."""
    _entries: deque[LedgerEntry] = field(
        init=False,
        repr=False,
        default=Factory(lambda self: deque(maxlen=self.limit), takes_self=True),
    )
    _count: int = field(init=False, default=0)

    def next_sequence(self) -> int:
        """Return the number for the next entry, each only once."""
        self._count += 1
        return self._count

    def append(self, entry: LedgerEntry) -> None:
        """Add the newest entry."""
        self._entries.append(entry)

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._entries)
