"""For your own tests: an emulator, a client of it, a clock whose hours take no time.

With pytest there is nothing to import: the plugin has the fixtures ``frame_emulator``,
``frame_client``, ``frame_clock``, ``frame_environment`` and ``frame_responses``. What is here
works without.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frame_async.testing.clients import connect
    from frame_async.testing.clock import VirtualClock
    from frame_async.testing.deliveries import signed_webhook
    from frame_async.testing.emulators import EmulatorThread
    from frame_async.testing.loops import LoopThread
    from frame_async.testing.mocks import patch_aioresponses
    from frame_async.testing.responses import FrameResponses

__all__ = [
    "EmulatorThread",
    "FrameResponses",
    "LoopThread",
    "VirtualClock",
    "connect",
    "patch_aioresponses",
    "signed_webhook",
]

# Loaded when they are asked for: pytest imports the plugin, and so this, at each start.
_HOMES = {
    "EmulatorThread": "emulators",
    "FrameResponses": "responses",
    "LoopThread": "loops",
    "VirtualClock": "clock",
    "connect": "clients",
    "patch_aioresponses": "mocks",
    "signed_webhook": "deliveries",
}

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
