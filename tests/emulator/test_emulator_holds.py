"""The emulator bears what is too much: half heads, many connections, large bodies, stray keys."""

import asyncio
import json
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs import evolve

from frame_async.emulator import Emulator, Fault
from frame_async.emulator.api import http
from frame_async.emulator.api.answers import ApiAnswer
from frame_async.emulator.state import windows as windows_module
from frame_async.emulator.state.idempotency import Idempotency
from frame_async.emulator.state.ledger import Ledger, LedgerEntry
from frame_async.emulator.state.sessions import Sessions
from frame_async.emulator.state.weights import weight
from frame_async.emulator.state.windows import Windows
from frame_async.emulator.webhooks.sending import Webhooks

HALF = b"GET / HTTP/1.1\r\nX: "
KEY = "sk_sandbox_0123456789abcdef"


def port_of(emulator: Emulator) -> int:
    """Where it listens."""
    return urlsplit(emulator.base_url).port or 0


def entry(sequence: int, size: int) -> LedgerEntry:
    """An entry whose body takes about so many bytes."""
    return LedgerEntry(
        sequence=sequence,
        request_id="r",
        received=0.0,
        method="POST",
        path="/v1",
        idempotency_key=None,
        client_reference_id=None,
        body={"text": "x" * size},
        status=201,
        session_id=None,
        replayed=False,
        unknown_fields=(),
        user_agent=None,
        key_mode=None,
        key_suffix="",
    )


def test_the_ledger_is_bounded_in_bytes() -> None:
    """The oldest entries go when bodies take too much, and the newest always stays."""
    ledger = Ledger(most_bytes=10_000)
    for sequence in range(20):
        ledger.append(entry(sequence, 1_000))
    assert [kept.sequence for kept in ledger.entries()] == list(range(16, 20))
    ledger.append(entry(20, 50_000))
    assert [kept.sequence for kept in ledger.entries()] == [20]
    ledger.restore([entry(n, 1_000) for n in range(20)], 20)
    assert len(ledger.entries()) == 4


async def test_half_a_head_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose head doesn't arrive is closed, the first one and the next."""
    monkeypatch.setattr(http, "HEAD_PATIENCE", 0.2)
    async with Emulator() as emulator:
        whole = b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for sent in (b"", HALF, whole):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(emulator))
            writer.write(sent)
            if sent == whole:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(HALF)
            with suppress(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 20)
            writer.close()


async def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have waited longest go, so that whoever asks is answered."""
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 20)
    async with Emulator() as emulator:
        opened = [await asyncio.open_connection("127.0.0.1", port_of(emulator)) for _ in range(40)]
        for _, writer in opened:
            writer.write(HALF)
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(f"http://127.0.0.1:{port_of(emulator)}/docs") as answer:
                    assert answer.status == 200
        for _, writer in opened:
            writer.close()


async def test_a_key_in_any_header_is_hidden(tmp_path: Path) -> None:
    """An API key in User-Agent or Idempotency-Key is in no ledger, snapshot or state file."""
    state = tmp_path / "state"
    async with Emulator(state=state, idempotency=True) as emulator:
        url = f"http://127.0.0.1:{port_of(emulator)}/v1/payment_link_sessions"
        order = {"line_items": [{"product": "p", "quantity": 1}]}
        headers = {
            "Authorization": f"Bearer {KEY}",
            "User-Agent": f"shop/1 ({KEY})",
            "Idempotency-Key": KEY,
        }
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(url, json=order, headers=headers) as answer:
                    first = await answer.json()
            async with session.get(
                f"http://127.0.0.1:{port_of(emulator)}/_emulator/snapshot"
            ) as answer:
                snapshot = await answer.text()
    assert first["id"]
    assert KEY not in snapshot
    assert "hidden" in snapshot
    assert KEY not in json.dumps([entry.dump() for entry in emulator.ledger])
    assert emulator.ledger[-1].replayed
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def items(number: int, size: int) -> dict[str, object]:
    """A request with so many line items, each with a product id of so many characters."""
    return {"line_items": [{"product": "p" * size} for _ in range(number)]}


def test_sessions_are_bounded_in_bytes() -> None:
    """The oldest sessions go when they take too much, and the newest always stays."""
    sessions = Sessions(most_bytes=100_000)
    made = [sessions.create(items(20, 1_000), 0.0).id for _ in range(9)]
    assert sessions.ids() == tuple(made[-4:])
    assert sessions.create(items(1, 500_000), 0.0).id == sessions.ids()[0]
    assert (len(sessions.ids()), sessions.count) == (1, 10)
    small = [sessions.create(items(1, 1), 0.0).id for _ in range(9)]
    assert sessions.ids() == tuple(small)


def test_many_small_things_weigh_what_they_take() -> None:
    """A body of a great many tiny items is no way around the bound."""
    body = items(10_000, 1)
    assert weight(body) > 1_000_000 > len(json.dumps(body))


def test_idempotency_keys_are_bounded_in_bytes() -> None:
    """The oldest keys go when their answers take too much, loaded ones too."""
    keys = Idempotency(most_bytes=100_000)
    for number in range(20):
        record = keys.claim("key", [f"k{number}"], b"{}")
        record.answer = ApiAnswer(201, b"x" * 19_000, {})
        keys.expect(record, record.answer)
    kept = [each["key"] for each in keys.dump()]
    assert kept == ["k15", "k16", "k17", "k18", "k19"]
    smaller = Idempotency(most_bytes=50_000)
    smaller.load(keys.dump())
    assert [each["key"] for each in smaller.dump()] == ["k18", "k19"]
    for number in range(100):
        smaller.release(smaller.claim("key", [str(number)], b"{}"))
    assert len(smaller.dump()) == 2


async def test_deliveries_are_bounded_in_bytes() -> None:
    """The log forgets the oldest bodies, and what would wait beyond the bound is given up."""
    webhooks = Webhooks(clock=lambda: 0.0, most_bytes=50_000)
    webhooks.register("http://127.0.0.1:9/hook")
    for _ in range(9):
        webhooks.emit("a.b", {"text": "x" * 10_000})
    states = [(each.state, each.given_up) for each in webhooks.deliveries()]
    assert states == [("failed", "too many deliveries were pending")] * 4
    await webhooks.aclose()


def test_endpoints_and_faults_are_bounded() -> None:
    """Neither long texts nor a great number of endpoints are taken."""
    webhooks = Webhooks(clock=lambda: 0.0)
    with pytest.raises(ValueError, match="must be short"):
        webhooks.register(f"http://127.0.0.1/{'x' * 10_000}")
    for number in range(1_000):
        webhooks.register(f"http://127.0.0.1/{number}")
    with pytest.raises(ValueError, match="1,000 at most"):
        webhooks.register("http://127.0.0.1/more")
    with pytest.raises(ValueError, match="body must have at most 65536 characters"):
        Fault(do="refuse", body="x" * 100_000)


def test_windows_of_many_keys() -> None:
    """Keys that come by the thousand push the first ones out."""
    windows = Windows(limit=1, period=60.0, count_refused=False)
    for number in range(windows_module.MOST + 500):
        assert windows.enter(str(number), "/v1", 0.0) == 0.0
    assert len(windows.dump()) == windows_module.MOST
    assert windows.enter(str(number), "/v1", 0.0) == 60.0


def test_names_that_frame_ignores_are_cut() -> None:
    """A name of a megabyte isn't counted for ever."""
    ledger = Ledger()
    ledger.append(evolve(entry(1, 1), unknown_fields=("x" * 1_000_000,)))
    assert list(ledger.unknown_fields) == ["x" * 100]


async def test_the_snapshot_is_short() -> None:
    """What the dashboard asks for again and again stays small, whatever came in."""
    async with Emulator() as emulator, aiohttp.ClientSession(emulator.base_url) as session:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        body = items(900, 1_000) | {"x" * 100_000: 1, "client_reference_id": "r" * 100_000}
        for _ in range(3):
            content = BytesIO(json.dumps(body).encode())
            await session.post("/v1/payment_link_sessions", data=content, headers=headers)
        async with session.get("/_emulator/snapshot") as answer:
            assert len(await answer.read()) < 300_000
