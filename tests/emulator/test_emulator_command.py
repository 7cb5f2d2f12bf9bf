"""The command line: what it says at the start and at the end, a line a request, exit codes."""

import asyncio
import errno
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from frame_async.emulator import Emulator
from frame_async.emulator.command import emulator as command

COMMAND = [sys.executable, "-W", "error", "-m", "frame_async.emulator", "--port", "0"]
ENVIRONMENT = "FRAME_WEBHOOK_SECRET"
LINE = re.compile(r"Frame emulator listening on (http://127\.0\.0\.1:\d+) \((.+)\)\n")


def main(options: Sequence[str]) -> int:
    """Run the command here; its exit status."""
    try:
        command([*options], prog_name="frame-async emulator")
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    raise AssertionError("a command of click's ends with an exit status")


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
    assert process.stdout.readline() == "any key that starts with sk_sandbox_ is accepted\n"
    assert process.stdout.readline() == f"export FRAME_API_BASE_URL={match[1]}\n"
    assert process.stdout.readline() == "export FRAME_SECRET_KEY=sk_sandbox_emulator\n"
    return match


def post(base_url: str, body: bytes = b'{"line_items": [{"product": "p"}]}') -> int:
    """Send a request, a minimal one, and return its status."""
    headers = {"Authorization": "Bearer sk_sandbox_x", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/v1/payment_link_sessions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """It says where it listens, serves, and ends with 0 and one line on a signal."""
    with running("--log", "off") as process:
        match = read_line(process)
        assert match[2] == "50 requests per 60 s"
        assert post(match[1]) == 201
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
        said = "Frame emulator stopped: 1 requests, 1 sessions\n"
        assert (process.returncode, rest, errors) == (0, said, "")


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

    monkeypatch.setattr("frame_async.emulator.command.Emulator", make)
    options = "--host localhost --port 0 --limit None --period 5 --latency 0.01 --idempotency"
    more = "--no-retry-after --count-refused --allow-remote --seed 7 --session-limit 9"
    more += " --webhook http://127.0.0.1:9/a --webhook http://hooks:9/b --allow-webhooks-to hooks"
    more += " --assume session-events --assume reference-in-metadata --log off"
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
    assert emulator.assume == {"session-events", "reference-in-metadata"}
    assert emulator.on_request is None
    first, _, _, _, *others, last = capsys.readouterr().out.splitlines(keepends=True)
    line = LINE.fullmatch(first)
    assert line is not None
    assert line[2] == "no rate limit"
    assert last == "Frame emulator stopped: 0 requests, 0 sessions\n"
    secrets = [endpoint.secret for endpoint in emulator.webhooks.endpoints()]
    assert others == [
        f"Webhooks to {url} are signed with {secret}\n"
        for url, secret in zip(urls, secrets, strict=True)
    ]


@pytest.mark.parametrize("given", ["argument", "file", "environment", "other environment"])
async def test_a_webhook_is_signed_with_the_secret_that_was_given(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent to each address is signed with it; it is not shown again."""
    secret, came = "whsec_of_the_emulator_1", asyncio.Queue[tuple[str, bytes]]()

    async def hook(request: web.BaseRequest) -> web.Response:
        came.put_nowait((request.headers["X-Frame-Signature"], await request.read()))
        return web.Response()

    shop = web.ServerRunner(web.Server(hook))
    await shop.setup()
    await web.TCPSite(shop, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{shop.addresses[0][1]}/hook"
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    if given != "file":
        monkeypatch.setenv("MINE" if given == "other environment" else ENVIRONMENT, secret)
    options, told = {
        "argument": (["--webhook-secret", secret], "the secret that was given"),
        "file": (["--webhook-secret-file", str(file)], f"the secret in {file}"),
        "environment": ([], f"the secret in {ENVIRONMENT}"),
        "other environment": (["--webhook-secret-env", "MINE"], "the secret in MINE"),
    }[given]
    with running("--webhook", url, *options) as process:
        assert process.stdout is not None
        where = await asyncio.to_thread(read_line, process)
        assert process.stdout.readline() == f"Webhooks to {url} are signed with {told}\n"
        await asyncio.to_thread(post, where[1])
        signature, body = await asyncio.wait_for(came.get(), 30)
        process.terminate()
        assert secret not in "".join(process.communicate(timeout=30))
    await shop.cleanup()
    assert signature == "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("two words", "visible ASCII"),
        ("", "visible ASCII"),
        ("x" * 513, "visible ASCII"),
        ("sk_sandbox_a_key", "not an API key"),
        ("%", "must have 16 characters or more"),
        ("whsec_012345678901234", "must have 16 characters or more"),
    ],
)
def test_a_secret_that_no_receiver_takes_is_refused_unseen(
    secret: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option and the fix, never the value."""
    assert main(["--webhook", "http://127.0.0.1:9/a", "--webhook-secret", secret]) == 2
    said = capsys.readouterr().err
    assert "--webhook-secret" in said
    assert words in said
    assert not secret or secret not in said


def test_a_secret_without_an_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing that it would sign."""
    assert main(["--webhook-secret", "whsec_x"]) == 2
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
    said = f"cannot listen on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"
    assert captured.err == f"{said}; stop what runs there, or take another --port\n"


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
        (["--limt", "5"], "--limit"),
        (["--assume", "session-evnts"], "did you mean session-events?"),
        (["--webhook", "http://192.0.2.1/x"], "192.0.2.1"),
        (["extra"], "extra"),
    ],
)
def test_bad_options_are_usage_errors(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad option ends with 2 and a line that names it."""
    assert main(options) == 2
    assert words in capsys.readouterr().err


def test_help_tells_what_a_user_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names every option, the key prefix, and how it ends."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "[default: 8642]" in text
    assert not re.search(r"\[default:\s+(True|False|None|\[\])", text)
    for heading in ("Where it listens:", "How it answers:", "Webhooks:", "What it keeps and says:"):
        assert heading in text
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


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"\xff\xfe", "it is no text"), (b"two words", "visible ASCII")],
)
def test_a_secret_file_that_holds_none_is_refused(
    content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that isn't there, or holds no secret, is named with the reason."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    options = ["--webhook", "http://127.0.0.1:9/a", "--webhook-secret-file", str(file)]
    assert main(options) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--webhook-secret-file" in said
    assert words in said


@pytest.mark.parametrize("log", ["text", "json"])
def test_each_request_is_a_line(log: str) -> None:
    """A request is one line on standard error, whatever it holds; a body is in none."""
    order = {"line_items": [{"product": "p"}], "client_reference_id": "a\nb\x1b[1m"}
    with running("--log", log) as process:
        where = read_line(process)[1]
        assert [post(where, json.dumps(order).encode()), post(where, b"[]")] == [201, 400]
        process.terminate()
        _, errors = process.communicate(timeout=30)
    first, second = errors.splitlines()
    assert '"product"' not in errors
    if log == "json":
        entry = json.loads(first)
        assert (entry["status"], entry["client_reference_id"]) == (201, "a\nb\x1b[1m")
        assert json.loads(second)["status"] == 400
        assert "body" not in entry
    else:
        what = r"\S+ POST /v1/payment_link_sessions "
        assert re.fullmatch(what + r"201 a\\ufffdb\\ufffd\[1m [0-9a-f-]{36}", first)
        assert re.fullmatch(what + "400", second)


@pytest.mark.parametrize("log", ["text", "json"])
def test_a_log_that_nobody_reads_holds_nothing_up(log: str) -> None:
    """Where standard error is a pipe without a reader, every request has its answer."""
    with running("--log", log, "--limit", "none") as process:
        where = read_line(process)[1]
        order = {"line_items": [{"product": "p" * 9_000}], "client_reference_id": "r" * 9_000}
        body = json.dumps(order | {f"unknown{n}": n for n in range(500)}).encode()
        assert [post(where, body) for _ in range(300)] == [201] * 300
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
    assert all(len(line) < 4_000 for line in errors.splitlines())


def test_without_click_it_says_what_to_install() -> None:
    """Where the extra isn't installed, the line to install it is all that is said."""
    blocked = "import runpy, sys; sys.modules['click'] = None; "
    blocked += "runpy.run_module('frame_async.emulator', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "the emulator's command needs an extra: pip install 'frame-async[cli]'\n"
