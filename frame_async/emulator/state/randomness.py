"""Where everything random comes from, identifiers too, so that a seed makes a run repeatable.

Each purpose draws from a source of its own: a fault more does not change the ids.
"""

from collections.abc import Callable
from os import urandom
from random import Random, SystemRandom
from typing import TypeAlias

from attrs import define, field

NewId: TypeAlias = Callable[[], str]
"""Makes an identifier that was not there before."""


def new_id() -> str:
    """Make a random UUID (version 4) as text, at a third of the cost of `uuid.uuid4`."""
    return _as_uuid(urandom(16).hex())


def repeatable_ids(random: Random) -> NewId:
    """Make UUIDs that a seed decides: the same source gives the same ones in the same order."""
    return lambda: _as_uuid(f"{random.getrandbits(128):032x}")


def _as_uuid(digits: str) -> str:
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


Seed = int | str | None
"""What a run is repeated by; ``None`` for one that is never the same."""


@define(eq=False)
class Randomness:
    """The random sources of one emulator."""

    seed: Seed = None
    """What decides every draw; ``None`` for the system's own randomness."""
    session_ids: NewId = field(init=False, default=new_id)
    """Makes the ids of sessions."""
    request_ids: NewId = field(init=False, default=new_id)
    """Makes the ids of requests."""
    latency: Random = field(init=False, factory=SystemRandom, repr=False)
    """Decides how long answers are held back."""
    faults: Random = field(init=False, factory=SystemRandom, repr=False)
    """Decides whether a fault with a probability happens."""

    def __attrs_post_init__(self) -> None:
        self.begin(0)

    def begin(self, already: int) -> None:
        """Begin the draws of a run before which `already` requests came.

        A run that goes on from a state file must not repeat the ids that are in it.
        """
        if self.seed is None:
            return
        self.session_ids = repeatable_ids(self.source("session ids", already))
        self.request_ids = repeatable_ids(self.source("request ids", already))
        self.latency = self.source("latency", already)
        self.faults = self.source("faults", already)

    def source(self, purpose: str, already: int = 0) -> Random:
        """Return a source for one purpose: the same for the same seed, its own otherwise."""
        if self.seed is None:
            return SystemRandom()
        return Random(f"{self.seed!r} {purpose} {already}")  # noqa: S311 - to be repeated, not secret
