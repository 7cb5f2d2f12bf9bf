"""Everything that an emulator knows: what was made, asked and counted, and what may go wrong.

`server` serves it, `admin` shows and changes it, `persistence` keeps it in a file.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from frame_async.emulator.api.keys import KeyNames
from frame_async.emulator.faults.latency import Latency
from frame_async.emulator.faults.rules import Faults
from frame_async.emulator.webhooks.sending import Webhooks

from .clocks import MovableClock
from .idempotency import Idempotency
from .ledger import Ledger, LedgerEntry
from .randomness import Randomness
from .sessions import Session, Sessions
from .windows import Usage, Windows


@define(kw_only=True, eq=False)
class EmulatorState:
    """The parts of an emulator that outlive a request."""

    clock: MovableClock
    """The time, which can be moved forward."""
    randomness: Randomness
    """Where everything random comes from."""
    sessions: Sessions
    """What was created."""
    ledger: Ledger
    """What was asked and answered."""
    windows: Windows
    """The rate windows."""
    usage: Usage
    """How full those were."""
    latency: Latency
    """How long answers are held back."""
    idempotency: Idempotency | None
    """The idempotency keys, where they are honoured."""
    key_names: KeyNames = field(factory=KeyNames)
    """What API keys are called where they must not be written."""
    faults: Faults
    """What may go wrong."""
    assumed: frozenset[str] = frozenset()
    """Names of what is assumed of events."""
    envelope: str = "standard"
    """What errors come in."""
    webhooks: Webhooks | None = None
    """Sends events, where that is wanted."""

    def change_limit(self, limit: int | None, period: float) -> None:
        """Set another rate limit while requests come in."""
        self.windows.change(limit, period)
        if period != self.usage.period:
            self.usage.change(period)

    def reset(self) -> None:
        """Forget every request, session, key and fault; the clock goes back to its base.

        Limits, latency and webhook endpoints stay. With a seed, the draws begin again.
        """
        self.sessions.clear()
        self.ledger.clear()
        self.windows.clear()
        self.usage.clear()
        self.faults.clear()
        if self.idempotency is not None:
            self.idempotency.clear()
        if self.webhooks is not None:
            self.webhooks.clear()
        self.clock.offset = 0.0
        self._begin()

    def dump(self) -> dict[str, Any]:
        """Return what a restart should find again, as plain JSON values without secrets."""
        return {
            "salt": self.key_names.salt.hex(),
            "clock_offset": self.clock.offset,
            "requests": self.ledger.count,
            "created": self.sessions.count,
            "sessions": [session.dump() for session in self.sessions.oldest()],
            "ledger": [entry.dump() for entry in self.ledger.entries()],
            "windows": self.windows.dump(),
            "idempotency": [] if self.idempotency is None else self.idempotency.dump(),
        }

    def load(self, values: Mapping[str, Any]) -> None:
        """Take over what was dumped.

        Raises:
            KeyError: Something is missing.
            TypeError: Something has the wrong type.
            ValueError: Something has the wrong form.
        """
        sessions = [Session.load(each) for each in values["sessions"]]
        entries = [LedgerEntry.load(each) for each in values["ledger"]]
        self.key_names.restore(bytes.fromhex(values["salt"]))
        self.clock.offset = float(values["clock_offset"])
        self.sessions.restore(sessions, int(values["created"]))
        self.ledger.restore(entries, int(values["requests"]))
        self.windows.load(values["windows"])
        if self.idempotency is not None:
            self.idempotency.load(values["idempotency"])
        self._begin()

    def _begin(self) -> None:
        self.randomness.begin(self.ledger.count)
        self.sessions.new_id = self.randomness.session_ids
        self.faults.random = self.randomness.faults
