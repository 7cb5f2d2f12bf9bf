"""No secret appears anywhere: not in errors with all their variables, not in logs."""

import asyncio
import json
import logging
import os
import pickle
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clients import Connect
from support.faults import (
    FaultServer,
    Play,
    Wire,
    answer,
    cut_answer,
    cut_request,
    framed,
    hang,
    lose_request,
    refusal,
)

from frame_async import (
    BankAccount,
    Card,
    FrameClient,
    FrameError,
    LineItem,
    PaymentLinkSessionRequest,
    RetryPolicy,
)

KEY = "sk_sandbox_VeRySeCrEt"
NUMBER = "4242424242424242"
ACCOUNT = "000123456789"
SECRETS = (KEY, "VeRySeCrEt", NUMBER, ACCOUNT, "Zyxwv Street")


async def echo(wire: Wire) -> None:
    """Refuse, with all secrets of the request in every place of the answer."""
    await wire.read_request()
    number = ACCOUNT if ACCOUNT.encode() in wire.seen.received else NUMBER
    body = {
        "error": {
            "type": f"bad_{number}",
            "code": KEY,
            "message": f"card {number}, key {KEY}",
            "errors": {"payment_method_data": {number: [f"{number} is bad", "Zyxwv Street"]}},
        }
    }
    await wire.send(refusal("422 Bad", f"X-Request-Id: {KEY}", body=json.dumps(body).encode()))


PLAYS: dict[str, Play] = {
    "refused, echoing": echo,
    "HTML, echoing": answer(*[refusal("502 Bad", body=f"<title>{KEY}</title>".encode())] * 2),
    "unreadable, echoing": answer(framed(f'{{"id": [1], "x": "{KEY} {NUMBER}"}}'.encode())),
    "cut, echoing": answer(framed(f'{{"id": "{KEY}", "x": '.encode())),
    "garbled": answer(f"HTTP/1.1 2O1 {KEY}\r\n\r\n".encode()),
    "lost": lose_request(),
    "cut": cut_answer(150),
    "cut request": cut_request(50, reset=True),
    "hang": hang,
    "redirect": answer(refusal("307 Elsewhere", f"Location: https://x/?{KEY}")),
}


def data(kind: str) -> PaymentLinkSessionRequest:
    billing = {"line_1": "Zyxwv Street"}
    method: Card | BankAccount | dict[str, object]
    match kind:
        case "card":
            method = Card(
                card_number=NUMBER, exp_month=1, exp_year=2031, cvc="737", billing=billing
            )
        case "account":
            method = BankAccount(
                account_type="checking",
                account_number=ACCOUNT,
                routing_number="110000000",
                billing=billing,
            )
        case _:
            method = {"type": "card", "card_number": NUMBER, "billing": billing}
    return PaymentLinkSessionRequest(
        customer="cus_1", line_items=[LineItem(product="p")], payment_method_data=method
    )


def everything(error: BaseException) -> Iterator[str]:
    """All the ways in which an error can be looked at."""
    seen: BaseException | None = error
    while seen is not None:
        yield repr(seen)
        yield str(seen)
        yield repr(seen.args)
        yield repr(getattr(seen, "__dict__", ""))
        yield repr(getattr(seen, "__notes__", ""))
        formatted = traceback.TracebackException.from_exception(seen, capture_locals=True)
        yield "".join(formatted.format())
        seen = seen.__cause__ or seen.__context__
    yield pickle.dumps(error).decode("latin-1")


def assert_silent(*texts: str) -> None:
    for text in texts:
        for secret in SECRETS:
            assert secret not in text, text[max(0, text.index(secret) - 200) :][:400]


@pytest.fixture
async def client_of(connect: Connect) -> Connect:
    def make(server: FaultServer | str) -> FrameClient:
        once_more = RetryPolicy(max_retries=1)
        return connect(server, api_key=KEY, retry=once_more, attempt_timeout=1.0)

    return make


@pytest.mark.parametrize("kind", ["card", "account", "mapping"])
@pytest.mark.parametrize("play", PLAYS)
async def test_errors_and_logs_are_silent(
    client_of: Connect, play: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong, neither error nor log nor variable shows key, card or account."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with FaultServer.playing(PLAYS[play]) as server:
        try:
            await client_of(server).payment_link_sessions.create(data(kind), timeout=5.0)
        except FrameError as error:
            assert_silent(*everything(error))
        else:
            pytest.fail("there should be an error")
    assert any(KEY.encode() in seen.received for seen in server.ledger) or play == "cut request"
    assert_silent(caplog.text)


async def test_a_cancelled_call_is_silent(client_of: Connect) -> None:
    """Cancelled in the middle of an answer that echoes everything: no variable shows it."""

    async def half(wire: Wire) -> None:
        await wire.read_request()
        echoed = f'{{"id": "pls_1", "echo": "{KEY} {NUMBER}'.encode()
        await wire.send(
            f"HTTP/1.1 201 Created\r\nX-Echo: {KEY}\r\nContent-Length: 999\r\n\r\n".encode()
            + echoed
        )
        await asyncio.sleep(10)

    async with FaultServer.playing(half) as server:
        creating = client_of(server).payment_link_sessions.create(data("card"))
        task = asyncio.create_task(creating)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    assert_silent(*everything(caught.value))


async def test_a_refused_connection_is_silent(client_of: Connect) -> None:
    """An error without any connection shows no secret either."""
    try:
        await client_of("http://127.0.0.1:1").payment_link_sessions.create(data("card"))
    except FrameError as error:
        assert_silent(*everything(error))
    else:
        pytest.fail("there should be an error")


async def test_what_the_environment_asks_for_changes_nothing(
    order: PaymentLinkSessionRequest,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Proxy variables, .netrc and SSLKEYLOGFILE are not obeyed."""
    import ssl

    import trustme

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        netrc, keys = tmp_path / "netrc", tmp_path / "keys"
        netrc.write_text("default login evil password evil\n")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
        authority = trustme.CA()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(serving)
        trusting = ssl.create_default_context()  # logs its session keys, as asked
        authority.configure_trust(trusting)
        from support.faults import serve

        async with FaultServer.playing(serve, tls=serving) as server:
            await connect(server, tls=trusting).payment_link_sessions.create(order)
        assert b"Bearer sk_sandbox_test" in server.ledger[0].received
        assert b"evil" not in server.ledger[0].received
        with pytest.raises(BlockingIOError):
            proxy.accept()
    # Python writes one line of comment when asked to log, then nothing.
    assert not keys.exists() or len(keys.read_text().splitlines()) == 1
    assert os.environ["SSLKEYLOGFILE"]
