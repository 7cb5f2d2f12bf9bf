"""The emulator as an object: options, start, and a clean end."""

import ast
import asyncio
import gc
import sys
import uuid
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs.exceptions import FrozenAttributeError

import frame_async.emulator
from frame_async.emulator import Emulator, LedgerEntry
from frame_async.emulator.state.randomness import new_id

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]
Until = Callable[[Callable[[], object]], Awaitable[None]]


def test_public_names() -> None:
    """The package shows the emulator, its faults and its ledger's entry, and nothing else."""
    assert frame_async.emulator.__all__ == ["Emulator", "Fault", "FaultRecord", "LedgerEntry"]


def test_it_stands_apart() -> None:
    """Its modules import the standard library, aiohttp, attrs and each other, nothing else.

    Its command imports click.
    """
    folder = Path(frame_async.emulator.__file__).parent
    own = "frame_async.emulator."
    for path in folder.rglob("*.py"):
        depth = len(path.relative_to(folder).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert node.level <= depth, path
            elif isinstance(node, ast.ImportFrom | ast.Import):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(own):
                    continue
                names = [alias.name for alias in node.names]
                module = node.module if isinstance(node, ast.ImportFrom) else names[0]
                top = str(module).split(".")[0]
                more = {"click"} if path.name == "command.py" else set[str]()
                assert top in sys.stdlib_module_names | {"aiohttp", "attrs"} | more, path


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"host": "0.0.0.0"}, ValueError),
        ({"host": "::"}, ValueError),
        ({"host": ""}, ValueError),
        ({"host": "192.0.2.1"}, ValueError),
        ({"host": "example.com"}, ValueError),
        ({"host": "localhost.example.com"}, ValueError),
        ({"host": None}, TypeError),
        ({"port": -1}, ValueError),
        ({"port": 65_536}, ValueError),
        ({"port": "8642"}, TypeError),
        ({"limit": 0}, ValueError),
        ({"limit": -5}, ValueError),
        ({"limit": True}, TypeError),
        ({"limit": 1.5}, TypeError),
        ({"period": 0}, ValueError),
        ({"period": float("nan")}, ValueError),
        ({"period": float("inf")}, ValueError),
        ({"period": "60"}, TypeError),
        ({"period": True}, TypeError),
        ({"latency": -0.1}, ValueError),
        ({"latency": float("inf")}, ValueError),
        ({"latency": "lognormal(median=1ms)"}, ValueError),
        ({"latency": True}, TypeError),
        ({"latency": None}, TypeError),
        ({"latency": "/nowhere/at/all"}, ValueError),
        ({"ledger_limit": 0}, ValueError),
        ({"session_limit": 0}, ValueError),
        ({"seed": 1.5}, TypeError),
        ({"seed": True}, TypeError),
        ({"state": 5}, TypeError),
        ({"state": ""}, ValueError),
        ({"state": "/"}, ValueError),
        ({"retry_after": 5}, TypeError),
        ({"count_refused": "yes"}, TypeError),
        ({"idempotency": None}, TypeError),
        ({"allow_remote": 1}, TypeError),
        ({"bank_delay": -1}, ValueError),
        ({"bank_delay": "2"}, TypeError),
        ({"redirect_secret": ""}, ValueError),
        ({"redirect_secret": "a" * 15}, ValueError),
        ({"redirect_secret": "whsec_"}, ValueError),
        ({"redirect_secret": "sk_sandbox_0123456789"}, ValueError),
        ({"redirect_secret": b"secret"}, TypeError),
        ({"webhooks": "http://127.0.0.1/hook"}, TypeError),
        ({"webhooks": (b"http://127.0.0.1/hook",)}, TypeError),
        ({"webhooks": (("http://127.0.0.1/hook", None),)}, TypeError),
        ({"webhook_backoff": (1, -1)}, ValueError),
        ({"webhook_backoff": ("1",)}, TypeError),
        ({"allow_webhooks_to": "shop.example"}, TypeError),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception]) -> None:
    """An option out of its range or of the wrong type is refused, by its name."""
    (name,) = options
    with pytest.raises(error, match=name):
        Emulator(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"port": 65_535},
        {"limit": 1},
        {"limit": None},
        {"period": 0.25},
        {"latency": 0},
        {"latency": "uniform(1ms, 5ms)"},
        {"session_limit": 1},
        {"seed": -3},
        {"seed": "a run"},
        {"ledger_limit": 1},
        {"host": "example.com", "allow_remote": True},
    ],
)
def test_options_reach_to_their_bounds(options: dict[str, Any]) -> None:
    """The values at the ends of the ranges are taken as they are."""
    emulator = Emulator(**options)
    assert {name: getattr(emulator, name) for name in options} == options


def test_open_range_names_its_one_bound() -> None:
    """A number without an upper bound is refused with the lower one only."""
    with pytest.raises(ValueError, match=r"^limit must be at least 1$"):
        Emulator(limit=0)


def test_ids_are_random_uuids() -> None:
    """The ids of sessions and requests are version 4 UUIDs of every allowed variant."""
    ids = {new_id() for _ in range(500)}
    assert len(ids) == 500
    assert {uuid.UUID(made).version for made in ids} == {4}
    assert {str(uuid.UUID(made)) for made in ids} == ids
    assert {made[19] for made in ids} == set("89ab")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
async def test_loopback_hosts_are_taken(host: str) -> None:
    """Each loopback address works, and the base URL leads there."""
    try:
        async with Emulator(host=host) as emulator, aiohttp.ClientSession() as http:
            assert (await http.get(emulator.base_url)).status == 200
            expected = "127.0.0.1" if host == "localhost" else host
            assert urlsplit(emulator.base_url).hostname == expected
    except OSError:
        assert host == "::1", "only IPv6 may be missing on this machine"
        pytest.skip("no IPv6 here")


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
async def test_remote_hosts_must_be_allowed(host: str) -> None:
    """With `allow_remote` it listens everywhere, and the base URL works on this machine."""
    emulator = Emulator(host=host, allow_remote=True)
    async with emulator, aiohttp.ClientSession() as http:
        assert (await http.get(emulator.base_url)).status == 200
        assert urlsplit(emulator.base_url).hostname in ("127.0.0.1", "::1")


def test_options_stay_as_they_are() -> None:
    """An option can't be changed later, when nobody would look at it."""
    emulator = Emulator()
    with pytest.raises(FrozenAttributeError):
        emulator.latency = 1.0


def test_repr_shows_options_only() -> None:
    """The repr tells how the emulator is set, in one line."""
    assert repr(Emulator(limit=3)).startswith("Emulator(host='127.0.0.1', port=0, limit=3,")
    assert repr(Emulator()).endswith("seed=None, state=None, allow_remote=False)")


async def test_base_url_needs_a_running_emulator() -> None:
    """Before the start and after the end there is no base URL."""
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url
    async with emulator:
        assert emulator.base_url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url


async def test_start_twice_is_refused(emulator: Emulator) -> None:
    """A running emulator can't be started again."""
    with pytest.raises(RuntimeError, match="already"):
        await emulator.start()


async def test_close_without_start_does_nothing() -> None:
    """Closing what is not running is no mistake, and neither is closing twice."""
    emulator = Emulator()
    await emulator.aclose()
    await emulator.start()
    await emulator.aclose()
    await emulator.aclose()


async def test_port_in_use_is_an_os_error(emulator: Emulator) -> None:
    """A second emulator on the same port says that it can't, and can be given up."""
    port = urlsplit(emulator.base_url).port
    assert port is not None
    second = Emulator(port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.aclose()


async def test_it_knows_everything_after_a_restart(connect: Connect, order: dict[str, Any]) -> None:
    """Closed and started again, it still has its sessions, its ledger and its windows."""
    emulator = Emulator(limit=1)
    for status in (201, 429):
        async with emulator, connect(emulator) as http:
            assert (await http.post(PATH, json=order)).status == status
    assert [entry.status for entry in emulator.ledger] == [201, 429]
    assert len(emulator.created()) == 1


async def test_close_ends_idle_connections_at_once(
    connect: Connect, order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept-alive connection doesn't hold up the end, for which a busy one gets a while."""
    emulator = Emulator()
    await emulator.start()
    async with connect(emulator) as http:
        await http.post(PATH, json=order)
        monkeypatch.setattr("frame_async.emulator.server._GRACE", 600)
        async with asyncio.timeout(30):
            await emulator.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post("http://127.0.0.1:9" + PATH, json=order)


async def test_close_ends_busy_connections_soon(
    connect: Connect, order: dict[str, Any], until: Until
) -> None:
    """A request that waits for its latency doesn't hold up the end either."""
    emulator = Emulator(latency=60)
    await emulator.start()
    async with connect(emulator) as http:
        waiting = asyncio.create_task(http.post(PATH, json=order))
        await until(lambda: emulator.ledger)
        async with asyncio.timeout(30):
            await emulator.aclose()
        with pytest.raises(aiohttp.ClientConnectionError):
            await waiting


async def test_close_lets_a_quick_answer_out(
    connect: Connect, order: dict[str, Any], until: Until
) -> None:
    """A request that is nearly done at the end still gets its answer."""
    emulator = Emulator(latency=0.05)
    await emulator.start()
    async with connect(emulator) as http:
        waiting = asyncio.create_task(http.post(PATH, json=order))
        await until(lambda: emulator.ledger)
        await emulator.aclose()
        assert (await waiting).status == 201


async def test_close_drops_a_client_that_does_not_read(emulator: Emulator) -> None:
    """A client that floods requests and reads nothing is cut off at the end."""
    parts = urlsplit(emulator.base_url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"GET /pay/x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50_000)
    await asyncio.sleep(0.3)
    async with asyncio.timeout(30):
        await emulator.aclose()
    writer.transport.abort()


def test_nothing_is_left_open(order: dict[str, Any], connect: Connect, until: Until) -> None:
    """After the end no socket or task remains, whether idle, silent or busy before."""

    async def run() -> set[asyncio.Task[Any]]:
        async with Emulator(latency=60) as emulator, connect(emulator) as http:
            waiting = asyncio.create_task(http.post(PATH, json=order))
            parts = urlsplit(emulator.base_url)
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            await until(lambda: emulator.ledger)
            await emulator.aclose()
            left = asyncio.all_tasks() - {asyncio.current_task(), waiting}
            assert await reader.read() == b""
            writer.close()
            with pytest.raises(aiohttp.ClientConnectionError):
                await waiting
        return left

    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(run()) == set()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_who_watches_costs_no_client_its_answer(
    order: dict[str, Any], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """An `on_request` that raises is logged with its traceback; requests are answered as ever."""

    def fail(entry: LedgerEntry) -> None:
        raise RuntimeError(f"no room for {entry.status}")

    async with Emulator(on_request=fail) as emulator, connect(emulator) as http:
        answers = [await http.post(PATH, json=body) for body in (order, {}, order)]
        answers.append(await http.get("/v1/nothing"))
        assert [answer.status for answer in answers] == [201, 422, 201, 404]
        assert [entry.status for entry in emulator.ledger] == [201, 422, 201, 404]
    failures = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in failures] == [
        f"on_request failed on request {number}" for number in (1, 2, 3, 4)
    ]
    assert "no room for 422" in caplog.text
