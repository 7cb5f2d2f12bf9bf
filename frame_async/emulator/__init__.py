"""A small local stand-in for the Frame Payments API, to develop and test against.

It moves no money, listens on loopback only, and takes no production key::

    async with Emulator(limit=None) as emulator:
        ...  # POST to emulator.base_url + "/v1/payment_link_sessions"
        assert len(emulator.created(reference="order-1")) == 1

On a command line: ``python -m frame_async.emulator``. It imports nothing else of
frame_async: it is a second reading of Frame's reference, and where the two
readings differ a test shows it.
"""

from .faults.rules import Fault
from .server import Emulator
from .state.ledger import FaultRecord, LedgerEntry

__all__ = ["Emulator", "Fault", "FaultRecord", "LedgerEntry"]
