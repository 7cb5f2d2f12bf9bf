"""What every store does: each sentence of `Store` with its examples, for a store of your own.

With pytest and pytest-asyncio (``asyncio_mode = "auto"``), in a test module of yours::

    from frame_async.testing.store_conformance import *

    @pytest.fixture
    async def bench(tmp_path):
        clock = HandClock()
        bench = StoreBench(lambda: MyStore(tmp_path / "store", now=clock), clock)
        yield bench
        await bench.aclose()

Each test gets a bench of its own, with an empty store. Where the store has a clock that
can't be given to it, leave the clock out: the tests then wait, for about four minutes in all.
"""

from frame_async.testing.store_conformance.bench import HandClock, StoreBench
from frame_async.testing.store_conformance.claims import TestClaim, TestConflict, TestRenew
from frame_async.testing.store_conformance.endings import (
    TestComplete,
    TestDoubt,
    TestHandles,
    TestRelease,
    TestTokens,
)
from frame_async.testing.store_conformance.refusals import TestForce, TestRefuse
from frame_async.testing.store_conformance.windows import TestLimits, TestPace, TestWindow

__all__ = [
    "HandClock",
    "StoreBench",
    "TestClaim",
    "TestComplete",
    "TestConflict",
    "TestDoubt",
    "TestForce",
    "TestHandles",
    "TestLimits",
    "TestPace",
    "TestRefuse",
    "TestRelease",
    "TestRenew",
    "TestTokens",
    "TestWindow",
]
