"""API keys: which are taken, and that none is ever shown."""

import json
from typing import Any

import aiohttp
import pytest

from frame_async.emulator import Emulator
from frame_async.emulator.api.keys import read_key

PATH = "/v1/payment_link_sessions"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sk_sandbox_a",
        "bearer sk_sandbox_!~\"'",
        "BEARER   sk_sandbox_1234",
    ],
)
async def test_sandbox_keys_are_taken(
    http: aiohttp.ClientSession, order: dict[str, Any], header: str
) -> None:
    """Any sandbox key of visible ASCII is accepted, and the scheme in any case."""
    answer = await http.post(PATH, json=order, headers={"Authorization": header})
    assert answer.status == 201


@pytest.mark.parametrize(
    ("header", "mode", "word"),
    [
        ("Bearer sk_production_SECRETSECRET", "production", "no production key"),
        ("Bearer pk_sandbox_SECRETSECRET", "publishable", "for browsers"),
        ("Bearer pk_production_SECRETSECRET", "publishable", "for browsers"),
        ("Bearer rk_SECRETSECRET", "unknown", "Authorization: Bearer"),
        ("Bearer sk_sandbox_", "unknown", "visible ASCII"),
        ("Bearer sk_sandbox_SECRET SECRET", "unknown", "visible ASCII"),
        ("Bearer sk_sandbox_SÉCRET", "unknown", "visible ASCII"),
        ("Bearer SK_SANDBOX_SECRETSECRET", "unknown", "visible ASCII"),
        ("Bearer", "unknown", "Authorization: Bearer"),
        ("Bearersk_sandbox_SECRETSECRET", "unknown", "Authorization: Bearer"),
        ("Basic c2tfc2FuZGJveF86U0VDUkVU", "unknown", "Authorization: Bearer"),
        ("sk_sandbox_SECRETSECRET", "unknown", "Authorization: Bearer"),
        ("", "unknown", "Authorization: Bearer"),
    ],
)
async def test_other_keys_are_refused(
    emulator: Emulator,
    http: aiohttp.ClientSession,
    order: dict[str, Any],
    header: str,
    mode: str,
    word: str,
) -> None:
    """Any other key gets 401 and a reason that fits, and is repeated nowhere."""
    answer = await http.post(PATH, json=order, headers={"Authorization": header})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    text = await answer.text()
    error = json.loads(text)["error"]
    assert error["type"] == "authentication_error"
    assert word in error["message"]
    (entry,) = emulator.ledger
    assert (entry.status, entry.key_mode, entry.key_suffix) == (401, mode, "")
    for secret in ("SECRET", "SÉCRET", "c2tf"):
        assert secret not in text
        assert secret not in repr(entry)
        assert secret not in str(answer.headers)


async def test_no_key_is_refused(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A request without a key gets 401 and is told which header to send."""
    async with aiohttp.ClientSession(emulator.base_url) as anonymous:
        answer = await anonymous.post(PATH, json=order)
    assert answer.status == 401
    assert emulator.ledger[0].key_mode == "missing"


async def test_two_keys_are_none(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """A request with two Authorization headers is refused: nobody knows which one counts."""
    headers = [("Authorization", "Bearer sk_sandbox_a"), ("Authorization", "Bearer sk_sandbox_b")]
    async with aiohttp.ClientSession(emulator.base_url) as session:
        answer = await session.post(PATH, json=order, headers=headers)
    assert answer.status in (400, 401)
    assert emulator.created() == ()


@pytest.mark.parametrize(
    ("key", "suffix"), [("sk_sandbox_12345678", "5678"), ("sk_sandbox_1234567", "")]
)
def test_suffix_is_shown_of_long_keys_only(key: str, suffix: str) -> None:
    """Four characters of a key are shown, and none when that were half of it."""
    read = read_key([f"Bearer {key}"])
    assert read.suffix == suffix
    assert key not in repr(read)


async def test_ready_made_key_is_accepted(
    emulator: Emulator, http: aiohttp.ClientSession, order: dict[str, Any]
) -> None:
    """The emulator's own key works, and the ledger knows it by its last four characters."""
    assert emulator.api_key == "sk_sandbox_emulator"
    assert (await http.post(PATH, json=order)).status == 201
    (entry,) = emulator.ledger
    assert (entry.key_mode, entry.key_suffix) == ("sandbox", "ator")
    assert emulator.api_key not in repr(entry)
