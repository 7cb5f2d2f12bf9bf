"""What all tests share: an emulator on a free port, and a client of it.

Whatever is more than single files runs in several workers, where pytest-xdist is installed;
``-n 0`` keeps it in one process. Ports, files and databases are each test's own, and each
worker has servers of its own. A test that needs the machine for itself is marked ``alone``.
"""

import asyncio
import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.stores import MemoryStore

# A busy machine is no failure. Whatever else the default says here (on CI it is another)
# stays, and --hypothesis-profile still chooses.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

if sys.platform != "win32":
    import fcntl

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

TURNS = "FRAME_ASYNC_TURNS"
"""The variable that tells workers of a run the folder of its locks."""
WORKERS = min(2 * (os.cpu_count() or 1), 8)
"""More than cores, because many tests wait: for a browser, a process, a server."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose several workers before pytest-xdist looks, unless the command says how many."""
    option = config.option
    if not hasattr(config, "workerinput") and TURNS not in os.environ:
        os.environ[TURNS] = tempfile.mkdtemp(prefix="frame-async-turns-")
        atexit.register(shutil.rmtree, os.environ[TURNS], ignore_errors=True)
        # What one worker compiled, the others and a hundred child processes read.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False
    unsaid = getattr(option, "numprocesses", 0) is None and option.dist == "no"
    only_files = all(".py" in name for name in config.args)
    one_process = only_files or option.collectonly or option.usepdb
    if unsaid and not one_process and not hasattr(config, "workerinput"):
        option.numprocesses = WORKERS
        option.dist = "worksteal"


def pytest_collection() -> None:
    """Collect no garbage while tests are collected: all of it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """And look at none of that again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run alone come last, when no other worker has much left to do."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


def pytest_configure(config: pytest.Config) -> None:
    """Load our own plugin in a checkout, too, where nothing is installed that names it."""
    config.pluginmanager.import_plugin("frame_async.testing.plugin")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """What goes over the wire is tested on uvloop too, where that is installed.

    Of the resources that is one call; what many of them do is not the loop's business.
    """
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    wired = item.path.parent.name == "engine" or item.path.name == "test_create.py"
    if wired and find_spec("uvloop") is not None:
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


@contextmanager
def locked(name: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock that is one for all workers of this run."""
    if sys.platform == "win32" or TURNS not in os.environ:
        yield
        return
    with Path(os.environ[TURNS], name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            yield
        finally:  # for forked children, too, which have the file as well
            fcntl.flock(file, fcntl.LOCK_UN)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In a fresh clone, one worker compiles a file, and the others find it compiled."""
    if not isinstance(collector, pytest.Module):
        return (yield)
    with locked(collector.nodeid.replace("/", "-")):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end why tests were skipped, each reason once."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped tests")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} skipped: {reason}")


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests share the room, but one that is marked ``alone`` has it to itself.

    Everybody passes the door, so that those who come later can't keep it waiting for ever.
    """
    alone = request.node.get_closest_marker("alone") is not None
    with ExitStack() as room:
        with locked("door"):
            room.enter_context(locked("room", shared=not alone))
        yield


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says of Frame, tests don't hear it."""
    frame = ("FRAME_SECRET_KEY", "FRAME_API_BASE_URL", "FRAME_WEBHOOK_SECRET", "FRAME_PROXY")
    for name in (*frame, "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator without a rate limit."""
    async with Emulator(port=0, limit=None) as running:
        yield running


@pytest.fixture
async def frame(emulator: Emulator) -> AsyncIterator[FrameClient]:
    """A client of the emulator."""
    async with FrameClient(
        emulator.api_key, base_url=emulator.base_url, rate_limit=None, store=MemoryStore()
    ) as client:
        yield client


@pytest.fixture
def order() -> PaymentLinkSessionRequest:
    """A request with nothing but what is needed."""
    return PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
