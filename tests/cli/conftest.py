"""The bulk command in this process, with an emulator beside it."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bulk_runs import Desk, Place, beside, orders

from frame_async.emulator import Emulator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def server() -> Iterator[Emulator]:
    """An emulator without a limit, on a thread of its own."""
    with beside(Emulator(limit=None)) as emulator:
        yield emulator


@pytest.fixture
def desk(
    tmp_path: Path,
    server: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Desk:
    """The command, a file of ten orders, and the emulator."""
    return Desk(Place(tmp_path, server.base_url, orders(10)), monkeypatch, capfd)


@pytest.fixture(autouse=True)
def signals_count() -> Iterator[None]:
    """Commands hear signals that whoever runs the tests ignores: under nohup, in the background."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def the_log_is_as_loud_as_before() -> Iterator[None]:
    """Commands quieten the log of their own process, which here is that of all tests."""
    level = logging.getLogger("frame_async").level
    yield
    logging.getLogger("frame_async").setLevel(level)
