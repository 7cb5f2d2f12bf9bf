"""The pytest plugin as users have it: pytest in a process of its own, on a suite of theirs."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

import frame_async

DOCS = Path(__file__).parents[2] / "docs"
SHOP = DOCS / "examples" / "shop_tests"
PLACE = str(Path(frame_async.__file__).parents[1])
PLUGIN = "frame_async.testing.plugin"
PLUGINS = (PLUGIN, "pytest_asyncio.plugin", "anyio.pytest_plugin")
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""Whatever else is installed here stays out of the suites."""


def run(suite: Path, *arguments: str, plugins: Iterable[str] = PLUGINS) -> str:
    """Run a suite that must pass; what pytest printed."""
    loaded = [argument for plugin in plugins for argument in ("-p", plugin)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *loaded, "-p", "no:cacheprovider", "-q", *arguments],
        cwd=suite,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | ALONE | {"PYTHONPATH": PLACE},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def suite(folder: Path, **files: str) -> Path:
    """A suite in a folder, where every warning is an error."""
    (folder / "pytest.ini").write_text(
        "[pytest]\n"
        "asyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
        "addopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    )
    for name, content in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(content))
    return folder


def test_the_shop_of_the_documentation() -> None:
    """The small shop's tests pass, side by side in two workers where there is pytest-xdist."""
    beside = find_spec("xdist") is not None
    plugins = (*PLUGINS[:2], "xdist.plugin") if beside else PLUGINS[:2]
    assert "10 passed" in run(SHOP, *(("-n", "2") if beside else ()), plugins=plugins)


ORDERS = """
    import pytest
    from frame_async import LineItem, PaymentLinkSessionRequest

    @pytest.fixture
    def orders():
        return [PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])] * 120
"""


@pytest.mark.parametrize("name", ["test-your-shop", "mock"])
def test_the_examples_of_the_how_to(tmp_path: Path, name: str) -> None:
    """The tests on the page pass with the settings for them, in the order of the page."""
    first = (DOCS / "how-to" / "test-your-shop.md").read_text()
    (settings,) = re.findall(r"^```ini\n(.*?)^```$", first, re.MULTILINE | re.DOTALL)
    page = (DOCS / "how-to" / f"{name}.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    tests = [block for block in blocks if "def test_" in block]
    suite(tmp_path, conftest=ORDERS, test_page="\n\n".join(tests))
    (tmp_path / "pytest.ini").write_text(f"{settings}filterwarnings = error\n")
    count = sum(block.count("def test_") for block in tests)
    assert f"{count} passed" in run(tmp_path, plugins=PLUGINS[:2])


UNUSED = """
    import sys
    import pytest

    def test_nothing_was_imported(pytestconfig):
        assert pytestconfig.pluginmanager.has_plugin("frame_async.testing.plugin")
        ours = {name for name in sys.modules if name.startswith("frame_async")}
        light = {"frame_async", "frame_async._version", "frame_async.testing"}
        engine = {"frame_async.engine", "frame_async.engine.guards"}
        assert ours == light | engine | {"frame_async.testing.plugin"}
        loaded = {name.partition(".")[0] for name in sys.modules}
        assert not loaded & {"asyncio", "aiohttp", "attr", "attrs", "cattrs", "msgspec"}

    def test_its_names_are_listed(pytestconfig):
        assert any("frame_emulator(**options)" in line for line in pytestconfig.getini("markers"))
"""


def test_it_costs_nothing_when_unused(tmp_path: Path) -> None:
    """A suite that doesn't ask for a fixture imports neither this package nor aiohttp."""
    folder = suite(tmp_path, test_unused=UNUSED)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    assert "2 passed" in run(folder, plugins=PLUGINS[:1])


def test_it_is_installed_as_a_plugin() -> None:
    """The package names it to pytest by its module, so that `-p` loads it no second time."""
    project = tomllib.loads((SHOP.parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}


ANY_RUNNER = """
    import asyncio
    import gc
    import os
    import threading

    import pytest
    from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
    from frame_async.errors import EventLoopError

    ORDER = PaymentLinkSessionRequest(
        client_reference_id="order-1", line_items=[LineItem(product="prod_1")]
    )

    @pytest.fixture(autouse=True)
    def nothing_is_left_open():
        yield
        gc.collect()  # a session or socket that is left open warns, which is an error here

    @pytest.fixture(scope="module")
    def anyio_backend():
        return "asyncio"

    seen = []

    def check(emulator, client):
        emulator.assert_created_once("order-1")
        emulator.assert_no_429()
        seen.append((emulator.api_key, emulator.base_url))
        assert len(emulator.ledger) == 1

    @pytest.mark.asyncio
    async def test_pytest_asyncio(frame_emulator, frame_client):
        await frame_client.payment_link_sessions.create(ORDER)
        check(frame_emulator, frame_client)

    @pytest.mark.anyio
    async def test_anyio(frame_client, frame_emulator):
        await frame_client.payment_link_sessions.create(ORDER)
        check(frame_emulator, frame_client)

    def test_no_runner(frame_emulator, frame_client):
        asyncio.run(frame_client.payment_link_sessions.create(ORDER))
        check(frame_emulator, frame_client)

    def test_a_loop_that_stays_open(frame_emulator, frame_client, open_loop):
        open_loop.run_until_complete(frame_client.payment_link_sessions.create(ORDER))
        check(frame_emulator, frame_client)

    def test_a_loop_in_another_thread(frame_emulator, running_loop, frame_client):
        create = frame_client.payment_link_sessions.create(ORDER)
        asyncio.run_coroutine_threadsafe(create, running_loop).result(10)
        check(frame_emulator, frame_client)

    @pytest.fixture
    def open_loop():
        loop = asyncio.new_event_loop()
        yield loop
        loop.close()

    @pytest.fixture
    def running_loop(open_loop):
        thread = threading.Thread(target=open_loop.run_forever)
        thread.start()
        yield open_loop
        open_loop.call_soon_threadsafe(open_loop.stop)
        thread.join()

    @pytest.mark.asyncio
    async def test_a_client_that_was_closed(frame_client):
        async with frame_client:
            await frame_client.payment_link_sessions.create(ORDER)

    def test_a_client_that_was_never_used(frame_client):
        assert not frame_client.closed

    @pytest.mark.asyncio
    async def test_the_environment(frame_environment, frame_emulator):
        async with FrameClient() as frame:
            await frame.payment_link_sessions.create(ORDER, idempotency_key="k")
        frame_emulator.assert_created_once("order-1")

    def test_the_environment_is_gone(frame_emulator):
        assert "FRAME_SECRET_KEY" not in os.environ
        assert "FRAME_API_BASE_URL" not in os.environ
        frame_emulator.assert_not_created()

    def test_emulators_share_nothing():
        assert len(seen) == 5
        assert len({key for key, _ in seen}) == 5

    @pytest.mark.asyncio
    @pytest.mark.parametrize("number", range(3))
    async def test_the_session(session_frame_emulator, session_frame_client, number):
        await session_frame_client.payment_link_sessions.create(ORDER)
        assert len(session_frame_emulator.created("order-1")) == number + 1

    @pytest.mark.asyncio
    async def test_both_scopes(session_frame_emulator, frame_emulator, frame_client):
        await frame_client.payment_link_sessions.create(ORDER)
        check(frame_emulator, frame_client)
        assert session_frame_emulator.base_url != frame_emulator.base_url
"""


CONFTEST = """
    import pytest

    @pytest.fixture(scope="session")
    def session_frame_emulator_options():
        return {"limit": 1000}
"""

OPTIONS = """
    import pytest
    from frame_async import LineItem, PaymentLinkSessionRequest
    from frame_async.testing import VirtualClock

    ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
    pytestmark = pytest.mark.frame_emulator(limit=7, period=5.0)

    def test_of_the_module(frame_emulator):
        assert (frame_emulator.emulator.limit, frame_emulator.emulator.period) == (7, 5.0)
        assert frame_emulator.clock is None

    @pytest.mark.frame_emulator(limit=None)
    class TestClass:
        def test_of_the_class(self, frame_emulator):
            assert (frame_emulator.emulator.limit, frame_emulator.emulator.period) == (None, 5.0)

        @pytest.mark.frame_emulator(limit=2)
        def test_of_the_test(self, frame_emulator):
            assert (frame_emulator.emulator.limit, frame_emulator.emulator.period) == (2, 5.0)

    def test_of_the_session(session_frame_emulator):
        assert session_frame_emulator.emulator.limit == 1000

    @pytest.mark.asyncio
    @pytest.mark.frame_emulator(limit=50, period=60.0)
    async def test_three_hours(frame_client, frame_emulator, frame_clock):
        assert isinstance(frame_clock, VirtualClock)
        assert frame_emulator.clock is frame_clock
        began = frame_emulator.call(lambda emulator: emulator.clock())
        for number in range(3 * 60):
            frame_clock.advance(60)
            await frame_client.payment_link_sessions.create(ORDER)
        for number in range(200):
            await frame_client.payment_link_sessions.create(ORDER, timeout=90)
        assert frame_emulator.call(lambda emulator: emulator.clock()) - began > 3 * 3600 + 180
        frame_emulator.assert_no_429()
"""


def test_whatever_runs_the_tests(tmp_path: Path) -> None:
    """Fixtures work with pytest-asyncio in strict mode, anyio, or neither; nothing leaks.

    Markers choose options, the closest first; hours of rate limiting take no time.
    """
    ran = run(suite(tmp_path, conftest=CONFTEST, test_any=ANY_RUNNER, test_options=OPTIONS))
    assert "19 passed" in ran


WRONG = """
    import pytest

    @pytest.mark.frame_emulator(50)
    def test_by_position(frame_emulator):
        pass

    @pytest.mark.frame_emulator(limits=50)
    def test_unknown(frame_emulator):
        pass

    @pytest.mark.frame_emulator(limit=0)
    def test_out_of_range(frame_emulator):
        pass
"""


def test_wrong_options(tmp_path: Path) -> None:
    """An option that can't be is an error of its test, and names what is wrong."""
    with pytest.raises(AssertionError) as caught:
        run(suite(tmp_path, test_wrong=WRONG))
    said = str(caught.value)
    assert "3 errors" in said
    assert "takes options by name only, such as limit=None" in said
    assert "unexpected keyword argument 'limits'" in said
    assert "limit must be at least 1" in said


OUTSIDE = """
    import asyncio
    import pytest
    from frame_async import FrameClient, LineItem, NotSentError
    from frame_async import PaymentLinkSessionRequest, RetryPolicy

    ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])

    def pay(key="sk_sandbox_1", url="https://frame.invalid"):
        async def main():
            once = RetryPolicy(max_retries=0)
            async with FrameClient(key, base_url=url, retry=once, rate_limit=None) as frame:
                await frame.payment_link_sessions.create(ORDER)
        asyncio.run(main())

    def reach_out(key="sk_sandbox_1"):
        with pytest.raises(NotSentError, match="no connection"):
            pay(key)
"""

REFUSED = """
    def test_unmarked():
        try:
            pay()
        except Exception:
            pass  # as a shop that logs it and goes on

    @pytest.mark.frame_network
    def test_live_key():
        pay("sk_production_1")

    @pytest.fixture
    def paid():
        pay()

    def test_fixture(paid):
        pass

    def test_many():
        async def main():
            async with FrameClient("sk_sandbox_1", base_url="https://frame.invalid") as frame:
                async for _ in frame.payment_link_sessions.create_many([ORDER] * 9):
                    pass
        asyncio.run(main())
"""

ALLOWED = """
    @pytest.mark.frame_network
    def test_marked():
        reach_out()

    @pytest.mark.frame_network(live=True)
    def test_live():
        reach_out("sk_production_1")

    @pytest.mark.frame_network
    class TestMarked:
        def test_in_class(self):
            reach_out()

    def test_this_machine():
        with pytest.raises(NotSentError, match="no connection"):
            pay(url="http://localhost:9")
        with pytest.raises(NotSentError, match="no connection"):
            pay("sk_production_1", url="http://127.0.0.1:9")

    def test_mocked(frame_responses):
        frame_responses.creates()
        pay()

    def test_mocked_by_aioresponses():
        with aioresponses() as mocked:
            mocked.post("https://frame.invalid/v1/payment_link_sessions", payload={"id": "1"})
            pay("sk_production_1")
"""


def code(*parts: str) -> str:
    """One module of several parts."""
    return "\n".join(textwrap.dedent(part) for part in parts)


def test_no_test_sends_to_another_machine(tmp_path: Path) -> None:
    """A test that would send elsewhere fails, whatever it catches; so with a live key, if marked.

    The message names the address and what to do, and shows no key.
    """
    with pytest.raises(AssertionError) as caught:
        run(suite(tmp_path, test_outside=code(OUTSIDE, REFUSED)), "--showlocals")
    said = str(caught.value)
    assert "3 failed, 1 error" in said
    sent = "sending to https://frame.invalid/v1 is refused in tests"
    assert said.count(f"{sent}; use frame_emulator or frame_responses") >= 3
    assert f"{sent} with a live key" in said
    assert "Bearer sk_" not in said


def test_a_test_may_send_to_another_machine(tmp_path: Path) -> None:
    """A marked test may send elsewhere, with a live key if it says so; mocks always may."""
    imports = "from aioresponses import aioresponses"
    ran = run(suite(tmp_path, test_outside=code(imports, OUTSIDE, ALLOWED)))
    assert "6 passed" in ran


INI = """
    def test_the_ini_option():
        reach_out()

    def test_live_key():
        with pytest.raises(BaseException, match="with a live key"):
            pay("sk_production_1")
"""


def test_the_ini_option_lets_all_tests_out(tmp_path: Path) -> None:
    """With the ini option every test may send elsewhere, though not with a live key."""
    folder = suite(tmp_path, test_outside=code(OUTSIDE, INI))
    (folder / "pytest.ini").write_text("[pytest]\nframe_network = true\nfilterwarnings = error\n")
    assert "2 passed" in run(folder, plugins=PLUGINS[:1])


LAZY = """
    def test_lazy():
        import asyncio
        from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
        async def main():
            async with FrameClient("sk_sandbox_1", base_url="https://frame.invalid") as frame:
                order = PaymentLinkSessionRequest(line_items=[LineItem(product="p")])
                await frame.payment_link_sessions.create(order)
        asyncio.run(main())
"""


def test_a_client_imported_late_is_refused_too(tmp_path: Path) -> None:
    """A test that imports the client only when it runs is watched as the others are."""
    with pytest.raises(AssertionError, match="is refused in tests"):
        run(suite(tmp_path, test_lazy=LAZY))
