"""The ledger: what the emulator was asked, and what it answered.

It is there so that a test can say *nothing lost, nothing twice*. It holds no
secret: of a key only its mode and last four characters, of a body nothing that
may carry card or bank data.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import asdict, define, field, frozen

from .weights import KEPT, weight

_INDEX = re.compile(r"\.[0-9]+")
_ENTRY = 500  # bytes of one without what came in, about
_MOST_NAMES = 200  # whoever sends ever new names shall not fill the memory
_LONGEST_NAME = 100


@frozen(kw_only=True)
class FaultRecord:
    """What a fault did to a request."""

    id: str
    """The rule's name, ``fault_1`` for instance."""
    do: str
    """The kind of fault, ``create_and_drop`` for instance."""
    evidence: str
    """What became of answer and connection, in words and bytes."""


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
    """The ``Idempotency-Key`` header as it came, honoured or not."""
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
    latency: float = 0.0
    """Seconds by which the answer was held back, a fault's delay not counted."""
    fault: FaultRecord | None = None
    """What a fault did to this request; ``None`` when none did anything."""
    remarks: tuple[str, ...] = ()
    """What the emulator took although nobody outside Frame knows whether Frame does, such
    as ``customer is null: taken as not given, which Frame may see otherwise``."""

    @property
    def is_visit(self) -> bool:
        """Whether it is a payer's request of a checkout page, and no call of the API."""
        return self.path.startswith("/pay/")

    def dump(self) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> "LedgerEntry":
        """Make the entry that was dumped.

        Raises:
            TypeError: These are not the values of an entry.
            KeyError: The same.
        """
        fault = values["fault"]
        more: dict[str, Any] = {
            "unknown_fields": tuple(values["unknown_fields"]),
            "remarks": tuple(values.get("remarks", ())),
            "fault": None if fault is None else FaultRecord(**fault),
        }
        return cls(**{**values, **more})


@define(eq=False)
class Ledger:
    """The entries so far, oldest first; the oldest go when there are too many."""

    limit: int | None = None
    """Most entries that are kept; ``None`` keeps all."""
    most_bytes: int = field(default=KEPT, kw_only=True)
    """Most bytes that entries take, about; the newest is kept whatever it takes."""
    _bytes: int = field(init=False, default=0)
    _entries: deque[LedgerEntry] = field(
        init=False,
        repr=False,
        factory=deque[LedgerEntry],
    )
    _count: int = field(init=False, default=0)
    statuses: Counter[int | None] = field(init=False, factory=Counter[int | None], repr=False)
    """How many calls of the API there have been of each status; visits of pages are apart."""
    visits: int = field(init=False, default=0)
    """How many visits of checkout pages there have been."""
    unknown_fields: Counter[str] = field(init=False, factory=Counter[str], repr=False)
    """How often Frame would have ignored a field, by its path without list indexes."""

    def next_sequence(self) -> int:
        """Return the number for the next entry, each only once."""
        self._count += 1
        return self._count

    def append(self, entry: LedgerEntry) -> None:
        """Add the newest entry."""
        self._entries.append(entry)
        self._bytes += _size(entry)
        while len(self._entries) > 1 and self._is_full():
            self._bytes -= _size(self._entries.popleft())
        if entry.is_visit:
            self.visits += 1
        else:
            self.statuses[entry.status] += 1
        if entry.unknown_fields:
            self._warn(entry.unknown_fields)

    @property
    def count(self) -> int:
        """How many entries there have been, those that went too."""
        return self._count

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._entries)

    def newest(self, before: int | None = None) -> Iterator[LedgerEntry]:
        """Return what is kept, newest first: all, or those with a lower sequence number."""
        newest = reversed(self._entries)
        return newest if before is None else (e for e in newest if e.sequence < before)

    def clear(self) -> None:
        """Forget everything and count from 1 again."""
        self.restore((), 0)

    def restore(self, entries: Iterable[LedgerEntry], count: int) -> None:
        """Take over the entries of an earlier run and go on with its count."""
        self._entries.clear()
        self._bytes = 0
        self.statuses.clear()
        self.visits = 0
        self.unknown_fields.clear()
        for entry in entries:
            self.append(entry)
        self._count = count

    def _is_full(self) -> bool:
        too_many = self.limit is not None and len(self._entries) > self.limit
        return too_many or self._bytes > self.most_bytes

    def _warn(self, paths: tuple[str, ...]) -> None:
        for path in paths:
            name = _INDEX.sub(".*", path)[:_LONGEST_NAME]
            if name in self.unknown_fields or len(self.unknown_fields) < _MOST_NAMES:
                self.unknown_fields[name] += 1


def _size(entry: LedgerEntry) -> int:
    headers = entry.path, entry.idempotency_key, entry.user_agent
    return _ENTRY + weight((headers, entry.body, entry.unknown_fields, entry.remarks))
