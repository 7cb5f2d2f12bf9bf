"""What becomes of keys and windows, pure: for a store of your own that reads, decides and writes.

A key: ``claim``, ``change`` and ``owned`` say what is found in its ``KeyRecord``, and which
record to write. A window: ``RollingWindow`` has the methods of `Store`, with the time as a
parameter.
"""

from frame_async.protocol.window import RollingWindow, SlotState
from frame_async.stores._keys import Change, KeyRecord, State, change, claim, owned

__all__ = ["Change", "KeyRecord", "RollingWindow", "SlotState", "State", "change", "claim", "owned"]
