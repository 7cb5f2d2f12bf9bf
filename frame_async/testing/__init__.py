"""For your own tests: an emulator, a client of it, a clock whose hours take no time.

With pytest there is nothing to import: the plugin has the fixtures ``frame_emulator``,
``frame_client``, ``frame_clock`` and ``frame_environment``. What is here works without.
"""

from frame_async.testing.clients import connect
from frame_async.testing.clock import VirtualClock
from frame_async.testing.deliveries import signed_webhook
from frame_async.testing.emulators import EmulatorThread
from frame_async.testing.loops import LoopThread

__all__ = ["EmulatorThread", "LoopThread", "VirtualClock", "connect", "signed_webhook"]
