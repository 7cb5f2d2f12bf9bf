"""The emulator bears what is too much: half heads, many connections, large bodies, stray keys."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from frame_async.emulator import Emulator
from frame_async.emulator.api import http
from frame_async.emulator.state.ledger import Ledger, LedgerEntry

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
    assert [kept.sequence for kept in ledger.entries()] == list(range(14, 20))
    ledger.append(entry(20, 50_000))
    assert [kept.sequence for kept in ledger.entries()] == [20]
    ledger.restore([entry(n, 1_000) for n in range(20)], 20)
    assert len(ledger.entries()) == 6


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
