"""The pytest plugin: an emulator of Frame as a fixture, mocks, and no way out of this machine.

pytest imports its plugins at each start, so what this needs is imported when a test first
asks for a fixture.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from frame_async.engine import guards

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from frame_async.client import FrameClient
    from frame_async.testing.clock import VirtualClock
    from frame_async.testing.emulators import EmulatorThread
    from frame_async.testing.loops import LoopThread
    from frame_async.testing.responses import FrameResponses

# The tests that it holds say what they compared, like any other.
pytest.register_assert_rewrite("frame_async.testing.store_conformance")

MARKER = "frame_emulator"
NETWORK = "frame_network"
_NETWORK_KEY = pytest.StashKey["_Network"]()


class _Network:
    """Whether clients may go beyond this machine, asked whenever one is about to."""

    def __init__(self, config: pytest.Config) -> None:
        self._always = bool(config.getini(NETWORK))
        self._before = guards.on_open
        self.item: pytest.Item | None = None
        """The test that is running, with its fixtures."""

    def watch(self, connector: Any, base_url: str, key: Any) -> None:
        """A client begins to use a connector."""
        from frame_async.testing.network import guard  # noqa: PLC0415  # as late as possible

        guard(connector, base_url, key, self._refuse)

    def _refuse(self, base_url: str, live: bool) -> None:
        """Fail the test, whatever it would catch, unless it may."""
        marker = self.item.get_closest_marker(NETWORK) if self.item else None
        if live and not (marker and marker.kwargs.get("live") is True):
            why = " with a live key; use a sandbox key, or mark the test frame_network(live=True)"
        elif marker is None and not self._always:
            why = "; use frame_emulator or frame_responses, or mark the test frame_network"
        else:
            return
        # Without a traceback, since those of aiohttp show the key.
        pytest.fail(f"sending to {base_url} is refused in tests{why}", pytrace=False)

    def end(self) -> None:
        """Leave everything as it was."""
        guards.on_open = self._before


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the ini option known."""
    said = "whether tests may send to other machines, with keys of the sandbox"
    parser.addini(NETWORK, said, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and watch where clients send to."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**options): options of the test's Emulator, such as limit=None or latency=0.1",
    )
    config.addinivalue_line(
        "markers",
        f"{NETWORK}(live=False): the test may send to other machines; live=True: with a live key",
    )
    network = config.stash[_NETWORK_KEY] = _Network(config)
    guards.on_open = network.watch


def pytest_unconfigure(config: pytest.Config) -> None:
    """Watch no longer."""
    config.stash[_NETWORK_KEY].end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test may do what its own markers say, and aioresponses works in it."""
    if "aioresponses" in sys.modules:
        from frame_async.testing.mocks import patch_aioresponses  # noqa: PLC0415

        patch_aioresponses()
    network = item.config.stash[_NETWORK_KEY]
    network.item = item
    try:
        return (yield)
    finally:
        network.item = None


@pytest.fixture(scope="session")
def _frame_thread() -> Iterator[LoopThread]:
    """The thread in which this process's emulators live."""
    from frame_async.testing.loops import LoopThread  # noqa: PLC0415  # as late as possible

    with LoopThread() as thread:
        yield thread


@pytest.fixture
def frame_clock() -> VirtualClock:
    """A clock that emulator and client of the test go by; its hours take no time."""
    from frame_async.testing.clock import VirtualClock  # noqa: PLC0415

    return VirtualClock()


@pytest.fixture
def frame_emulator(
    request: pytest.FixtureRequest, _frame_thread: LoopThread
) -> Iterator[EmulatorThread]:
    """An emulator on a free port, new for each test.

    Options come from the marker ``frame_emulator``; without one they are the emulator's
    own, so there is the rate limit of Frame's sandbox. With the fixture ``frame_clock`` in
    the test, it goes by that.
    """
    from frame_async.testing.emulators import EmulatorThread  # noqa: PLC0415

    clock = request.getfixturevalue("frame_clock") if _asks_for_clock(request) else None
    with EmulatorThread(clock=clock, thread=_frame_thread, **_marked(request)) as emulator:
        yield emulator


@pytest.fixture
def frame_client(frame_emulator: EmulatorThread) -> Iterator[FrameClient]:
    """A client of ``frame_emulator``, with the same rate limit and clock."""
    from frame_async.testing.clients import lend  # noqa: PLC0415

    with lend(frame_emulator) as client:
        yield client


@pytest.fixture
def frame_environment(frame_emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """``FRAME_SECRET_KEY`` and ``FRAME_API_BASE_URL`` of the test's emulator are set."""
    monkeypatch.setenv("FRAME_SECRET_KEY", frame_emulator.api_key)
    monkeypatch.setenv("FRAME_API_BASE_URL", frame_emulator.base_url)


@pytest.fixture
def frame_responses(request: pytest.FixtureRequest) -> Iterator[FrameResponses]:
    """Answers to the creation of sessions, without a server; needs aioresponses.

    With the fixture ``frame_clock`` in the test, its clients go by that.
    """
    from frame_async.testing.responses import FrameResponses  # noqa: PLC0415

    clock = request.getfixturevalue("frame_clock") if _asks_for_clock(request) else None
    with FrameResponses(clock=clock) as responses:
        yield responses


@pytest.fixture(scope="session")
def session_frame_emulator_options() -> dict[str, Any]:
    """Options of ``session_frame_emulator``; override this fixture to choose others."""
    return {"limit": None}


@pytest.fixture(scope="session")
def session_frame_emulator(
    _frame_thread: LoopThread, session_frame_emulator_options: dict[str, Any]
) -> Iterator[EmulatorThread]:
    """One emulator for all tests of the run (of the worker, under pytest-xdist)."""
    from frame_async.testing.emulators import EmulatorThread  # noqa: PLC0415

    with EmulatorThread(thread=_frame_thread, **session_frame_emulator_options) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def session_frame_client(session_frame_emulator: EmulatorThread) -> Iterator[FrameClient]:
    """One client of ``session_frame_emulator`` for all tests of the run."""
    from frame_async.testing.clients import lend  # noqa: PLC0415

    with lend(session_frame_emulator) as client:
        yield client


def _asks_for_clock(request: pytest.FixtureRequest) -> bool:
    return "frame_clock" in request.fixturenames


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of all markers on the test, its class and module; the closest counts."""
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers(MARKER):
        if marker.args:
            pytest.fail(f"the marker {MARKER} takes options by name only, such as limit=None")
        options = dict(marker.kwargs) | options
    return options
