"""What every store can do.

A key's life: *claimed* before the request can leave, then *done* (a session was
created), *in doubt* (it may have been), or gone again (certainly not). A claim has a
lease that its process renews; when the lease runs out, its process died between sending
and answering, so whoever claims the key next finds it in doubt. The token of a claim
proves that it is still one's own: a process that wakes up late can't overwrite the
outcome of the one that took over.

All times are in seconds. Stores measure leases and windows on one clock of their own,
so the clocks of their users don't matter.
"""

from typing import Protocol

from attrs import frozen

from frame_async.protocol.window import Lane, RateLimit


@frozen
class Claimed:
    """The key is yours: nothing was sent for it before, or certainly nothing came of it."""

    token: str
    """Proves the claim in the calls that follow."""


@frozen
class InDoubt:
    """The key is yours, but earlier attempts may have created sessions that nobody has."""

    token: str
    """Proves the claim in the calls that follow."""
    doubts: int
    """How many such attempts there were, at most."""


@frozen
class InFlight:
    """Another call has the key."""

    lease: float
    """Seconds until its lease runs out unless it is renewed."""


@frozen
class Done:
    """A session was created for the key."""

    body: bytes
    """What was remembered of it."""


Claim = Claimed | InDoubt | InFlight | Done
"""What a claim of a key finds."""


@frozen
class Window:
    """One rate window: whose it is, and its limit."""

    name: str
    """Stands for API key, endpoint and mode; the API key can't be read from it."""
    limit: RateLimit
    """How many requests in how many seconds."""


class Store(Protocol):
    """Where keys and windows are remembered. Every method is one round trip at most.

    An operation whose answer was lost may have happened, so it may be repeated with the
    same token: what it did before isn't done twice, and the answer is the same. Two can't
    promise that: a repeated `release` says False, because the key may be another's by
    then, and a repeated `claim` finds the lost one in flight.

    Raises, from every method:
        StoreError: the store can't answer; nothing is known to have changed.
    """

    @property
    def shared(self) -> bool:
        """Whether other processes may use the same store."""
        ...

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """Claim a key for ``lease`` seconds, or say why that can't be.

        Raises:
            IdempotencyConflictError: the key stands for another request.
        """
        ...

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """Go on holding a claim; False when it was lost to another call.

        ``doubts`` is how many attempts may have created a session if this process dies now.
        """
        ...

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """A session was created; remember ``body`` for ``keep`` seconds.

        Returns once it would survive a crash, as far as the store survives any.
        False when the claim was lost to another call, or ended otherwise. Repeated with
        the same token and body it is True, and changes nothing.
        """
        ...

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """``doubts`` attempts may have created a session; remember that for ``keep`` seconds.

        False when the claim was lost to another call, or ended otherwise. Repeated with
        the same token and number it is True, and changes nothing.
        """
        ...

    async def release(self, key: str, token: str) -> bool:
        """Certainly nothing was created: the key is free again."""
        ...

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """Take a slot: 0.0 when it is taken, else seconds until asking again makes sense.

        ``token`` stands for one request. While it holds a slot, entering again gives 0.0
        and takes no second one. The bulk lane enters evenly if told to ``pace``, or if a payer
        came within the last period. See ``RollingWindow.enter``. A store of many hosts may
        tell each that asks a time of its own, so that not all come for the same place.
        """
        ...

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        """Seconds until there is a slot for one who has ``ahead`` others before him.

        As far as is known now; nothing changes. See ``RollingWindow.opens_in``.
        """
        ...

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        """Take a slot beyond what was learned of others, within the limit; False if not.

        For a call whose deadline leaves no time to wait. A pause holds all the same. True
        for a token that holds a slot already, and takes no second one.
        """
        ...

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """The answer is in (``sent``), or certainly nothing was sent."""
        ...

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """A 429 came: everyone on the window pauses for ``pause`` seconds."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and files; calling it again does nothing."""
        ...
