"""The folder store does what every store does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from folder_store import FolderStore

from frame_async.testing.store_conformance import *  # noqa: F403  # the tests themselves
from frame_async.testing.store_conformance import HandClock, StoreBench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[StoreBench]:
    clock = HandClock()
    bench = StoreBench(lambda: FolderStore(str(tmp_path), clock), clock)
    yield bench
    await bench.aclose()
