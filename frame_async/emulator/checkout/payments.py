"""Paying a session: what it does to the session, and what Frame would report of it.

A card is charged at once. A bank payment is *processing* first and ends when its time
has come by the emulator's clock, which may be a test's own. Frame documents the names
of the events, but not how a session's status goes on from ``open``: that is the
emulator's reading.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from attrs import define, evolve, field, frozen

from frame_async.emulator.state.clocks import Clock
from frame_async.emulator.state.orders import Challenge, Order, Transfer
from frame_async.emulator.state.sessions import PaymentStatus, Session, Sessions
from frame_async.emulator.webhooks.published import payment_events

from .instruments import CHALLENGE_FAILED

Announce: TypeAlias = Callable[[str, Mapping[str, object]], object]
"""Takes the type of an event and its data."""

_LOOK = 0.05  # seconds between two looks at a clock that may be anything


@define(kw_only=True, eq=False)
class Payments:
    """Takes payments for sessions, and ends those that take their time."""

    sessions: Sessions
    """Where the sessions are: one that is no longer there is not settled."""
    clock: Clock
    """Says when a bank payment has to end."""
    bank_delay: float
    """Seconds that a bank payment is processing."""
    announce: Announce
    """Is told of every event."""
    assumed: Collection[str] = ()
    """Names of what is assumed of events."""
    _processing: "dict[str, _Debit]" = field(init=False, factory=dict[str, "_Debit"], repr=False)
    _settling: asyncio.Task[None] | None = field(init=False, default=None, repr=False)

    def charge(self, session: Session, order: Order, failure_code: str | None) -> bool:
        """Charge a card at once; tell whether it was paid.

        A decline leaves the session open, so that the payer can try another card.
        """
        session.challenge = None
        transfer = Transfer(failure_code=failure_code)
        if failure_code is None:
            session.order, session.transfer = order, transfer
            self._change(session, "paid")
        self._report(session, order, transfer)
        return failure_code is None

    def challenge(self, session: Session, order: Order, failure_code: str | None) -> None:
        """Ask the payer to pass 3-D Secure before anything is charged."""
        session.challenge = Challenge(order=order, failure_code=failure_code)

    def answer(self, session: Session, challenge: Challenge, *, passed: bool) -> str | None:
        """Take the answer to a challenge; return why the payment failed, ``None`` if it did not."""
        failure_code = challenge.failure_code if passed else CHALLENGE_FAILED
        self.charge(session, challenge.order, failure_code)
        return failure_code

    def debit(self, session: Session, order: Order, failure_code: str | None) -> None:
        """Begin a bank payment, which ends after `bank_delay`.

        It needs a running event loop.
        """
        session.challenge = None
        settles = self.clock() + self.bank_delay
        session.order = order
        session.transfer = Transfer(settles=settles, failure_code=failure_code)
        self._change(session, "processing")
        self._process(session)
        self._watch()

    def cancel(self, session: Session) -> None:
        """Take note that the payer will not pay this session."""
        session.challenge = None
        session.state, session.updated = "canceled", int(self.clock())

    def settle(self) -> None:
        """End the bank payments whose time has come. It happens by itself while running."""
        now = self.clock()
        for debit in tuple(self._processing.values()):
            if now >= debit.settles:
                del self._processing[debit.session.id]
                if self.sessions.get(debit.session.id) is debit.session:
                    self._end(debit)

    def resume(self) -> None:
        """Watch over all bank payments in progress, loaded ones too. Needs a running loop."""
        for session in self.sessions.oldest():
            if session.payment_status == "processing":
                self._process(session)
        self._watch()

    async def aclose(self) -> None:
        """Stop watching over bank payments; `resume` takes it up again."""
        settling, self._settling = self._settling, None
        if settling is not None:
            settling.cancel()
            await asyncio.wait((settling,))

    def _process(self, session: Session) -> None:
        order, transfer = session.order, session.transfer
        if order is not None and transfer is not None and transfer.settles is not None:
            debit = _Debit(session, order, transfer, transfer.settles)
            self._processing[session.id] = debit

    def _end(self, debit: "_Debit") -> None:
        session, transfer = debit.session, evolve(debit.transfer, settles=None)
        session.transfer = transfer
        self._change(session, "paid" if transfer.failure_code is None else "failed")
        self._report(session, debit.order, transfer)

    def _change(self, session: Session, payment_status: PaymentStatus) -> None:
        session.state, session.payment_status = "complete", payment_status
        session.updated = int(self.clock())

    def _watch(self) -> None:
        if self._processing and (self._settling is None or self._settling.done()):
            self._settling = asyncio.get_running_loop().create_task(self._settle_all())

    async def _settle_all(self) -> None:
        while self._processing:
            await asyncio.sleep(self._until_next())
            self.settle()

    def _until_next(self) -> float:
        due = min(debit.settles for debit in self._processing.values())
        return min(_LOOK, max(0.0, due - self.clock()))

    def _report(self, session: Session, order: Order, transfer: Transfer) -> None:
        for name, data in payment_events(session, order, transfer, self.assumed):
            self.announce(name, data)


@frozen
class _Debit:
    """A bank payment in progress."""

    session: Session
    order: Order
    transfer: Transfer
    settles: float
