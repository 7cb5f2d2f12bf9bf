"""The command line: one line on standard output, exit codes, and a quiet end."""

import asyncio
import errno
import hmac
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from frame_async.emulator import Emulator
from frame_async.emulator.__main__ import main

COMMAND = [sys.executable, "-W", "error", "-m", "frame_async.emulator", "--port", "0"]
LINE = re.compile(
    r"Frame emulator listening on (http://127\.0\.0\.1:\d+) \((.+)\); "
    r"any key that starts with sk_sandbox_ is accepted\n"
)


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the emulator in a process of its own, which is gone afterwards."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([*COMMAND, *options], stdout=pipe, stderr=pipe, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> re.Match[str]:
    """Wait for the line that says where it listens."""
    assert process.stdout is not None
    match = LINE.fullmatch(process.stdout.readline())
    assert match, process.communicate(timeout=30)
    return match


def post(base_url: str) -> int:
    """Send a minimal request and return its status."""
    headers = {"Authorization": "Bearer sk_sandbox_x", "Content-Type": "application/json"}
    body = b'{"line_items": [{"product": "p"}]}'
    request = urllib.request.Request(f"{base_url}/v1/payment_link_sessions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """It says where it listens, serves, and ends with 0 and without a word on a signal."""
    with running() as process:
        match = read_line(process)
        assert match[2] == "50 requests per 60 s"
        assert post(match[1]) == 201
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_options_reach_the_emulator() -> None:
    """Limit and period are told in the line and are kept."""
    with running("--limit", "2", "--period", "90.5") as process:
        match = read_line(process)
        assert match[2] == "2 requests per 90.5 s"
        assert [post(match[1]) for _ in range(3)] == [201, 201, 429]


def run_main(*options: str) -> int:
    """Run `main` here, and send it SIGTERM as soon as it is under way."""
    before = signal.getsignal(signal.SIGTERM)
    stopped = threading.Event()

    def stop() -> None:
        while not stopped.wait(0.02):
            if signal.getsignal(signal.SIGTERM) is not before:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        return main([*options])
    finally:
        stopped.set()
        thread.join()


def test_every_option_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each option of the command line is one of the emulator's, with the value given."""
    made: list[Emulator] = []

    def make(**options: Any) -> Emulator:
        made.append(Emulator(**options))
        return made[-1]

    monkeypatch.setattr("frame_async.emulator.__main__.Emulator", make)
    options = "--host localhost --port 0 --limit None --period 5 --latency 0.01 --idempotency"
    more = "--no-retry-after --count-refused --allow-remote --seed 7 --session-limit 9"
    more += " --webhook http://127.0.0.1:9/a --webhook http://hooks:9/b --allow-webhooks-to hooks"
    more += f" --ledger-limit none --state {tmp_path / 'state'}"
    assert run_main(*options.split(), *more.split()) == 0
    (emulator,) = made
    assert (emulator.host, emulator.port, emulator.limit) == ("localhost", 0, None)
    assert (emulator.period, emulator.latency) == (5.0, 0.01)
    assert (emulator.idempotency, emulator.retry_after) == (True, False)
    assert (emulator.count_refused, emulator.allow_remote) == (True, True)
    assert (emulator.seed, emulator.session_limit, emulator.ledger_limit) == ("7", 9, None)
    urls = [endpoint.url for endpoint in emulator.webhooks.endpoints()]
    assert urls == ["http://127.0.0.1:9/a", "http://hooks:9/b"]
    assert emulator.state == str(tmp_path / "state")
    first, *others = capsys.readouterr().out.splitlines(keepends=True)
    line = LINE.fullmatch(first)
    assert line is not None
    assert line[2] == "no rate limit"
    secrets = [endpoint.secret for endpoint in emulator.webhooks.endpoints()]
    assert others == [
        f"Webhooks to {url} are signed with {secret}\n"
        for url, secret in zip(urls, secrets, strict=True)
    ]


async def test_a_webhook_is_signed_with_the_secret_that_was_given() -> None:
    """What is sent to each address is signed with it; it is not shown again."""
    secret, came = "whsec_of_the_emulator", asyncio.Queue[tuple[str, bytes]]()

    async def hook(request: web.BaseRequest) -> web.Response:
        came.put_nowait((request.headers["X-Frame-Signature"], await request.read()))
        return web.Response()

    shop = web.ServerRunner(web.Server(hook))
    await shop.setup()
    await web.TCPSite(shop, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{shop.addresses[0][1]}/hook"
    with running("--webhook", url, "--webhook-secret", secret) as process:
        assert process.stdout is not None
        where = await asyncio.to_thread(read_line, process)
        assert process.stdout.readline() == (
            f"Webhooks to {url} are signed with the secret that was given\n"
        )
        await asyncio.to_thread(post, where[1])
        signature, body = await asyncio.wait_for(came.get(), 30)
    await shop.cleanup()
    assert signature == "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("two words", "visible ASCII"),
        ("", "visible ASCII"),
        ("x" * 513, "visible ASCII"),
        ("sk_sandbox_a_key", "not an API key"),
    ],
)
def test_a_secret_that_no_receiver_takes_is_refused_unseen(
    secret: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option and the fix, never the value."""
    with pytest.raises(SystemExit) as stop:
        main(["--webhook", "http://127.0.0.1:9/a", "--webhook-secret", secret])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "--webhook-secret" in said
    assert words in said
    assert not secret or secret not in said


def test_a_secret_without_an_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing that it would sign."""
    with pytest.raises(SystemExit):
        main(["--webhook-secret", "whsec_x"])
    assert "there is none" in capsys.readouterr().err


def test_signal_handlers_are_given_back() -> None:
    """After the end the signals do what they did before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run_main("--port", "0") == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken gives one line on standard error and exit code 2."""

    async def run() -> tuple[int, int | None]:
        async with Emulator() as emulator:
            port = urlsplit(emulator.base_url).port
            return await asyncio.to_thread(main, ["--port", str(port)]), port

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "signal", lambda *_: None)  # another thread may not set any
        code, port = asyncio.run(run())
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err == f"cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}\n"


def test_host_that_is_no_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A host that can't be looked up gives one line on standard error and exit code 2."""
    assert main(["--host", "a..b", "--allow-remote", "--port", "0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cannot listen on a..b:0: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "host must be a loopback address"),
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--limit", "0"], "limit must be at least 1"),
        (["--limit", "many"], "--limit"),
        (["--period", "nan"], "period must be finite"),
        (["--latency", "normal(1ms)"], "latency has no distribution 'normal'"),
        (["--latency=-1"], "latency must not be negative"),
        (["--port", "70000"], "port must be at least 0 and at most 65535"),
        (["--webhook", "http://192.0.2.1/x"], "192.0.2.1"),
        (["extra"], "extra"),
    ],
)
def test_bad_options_are_usage_errors(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad option ends with 2 and a line that names it."""
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_help_tells_what_a_user_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names every option, the key prefix, and how it ends."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "(default: 8642)" in text
    assert not re.search(r"\(default:\s+(True|False|None|\[\])", text)
    for word in (
        "--host",
        "--port",
        "--allow-remote",
        "--limit",
        "--period",
        "--latency",
        "--idempotency",
        "--no-retry-after",
        "--count-refused",
        "--seed",
        "--state",
        "--ledger-limit",
        "--session-limit",
        "lognormal",
        "sk_sandbox_",
        "SIGTERM",
        "8642",
    ):
        assert word in text
