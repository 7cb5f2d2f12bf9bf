"""``frame-async webhook`` as a user runs it: a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.signing import OTHER, SECRET, event_body, signature, signed

from frame_async.cli.commands import cli

BODY = event_body()


def verify(*arguments: str, body: bytes = BODY, **environment: str) -> tuple[int, str, str]:
    """Run ``frame-async webhook verify`` in this process: exit status, output, complaints."""
    ran = CliRunner().invoke(cli, ["webhook", "verify", *arguments], input=body, env=environment)
    assert SECRET not in ran.output
    assert isinstance(ran.exception, SystemExit | None)
    return ran.exit_code, ran.stdout, ran.stderr


def test_the_command() -> None:
    """The command verifies what comes on standard input, by the environment's secret."""
    command = [sys.executable, "-W", "error", "-m", "frame_async", "webhook", "verify"]
    ran = subprocess.run(
        [*command, "--signature", signature(BODY)],
        input=BODY,
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | {"FRAME_WEBHOOK_SECRET": SECRET},
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b"genuine: transfer.succeeded  evt_0123  2026-06-10 18:24:41 UTC\n"


def test_a_genuine_webhook(tmp_path: Path) -> None:
    """A genuine body, from standard input or a file, ends with 0 and tells the event."""
    line = "genuine: transfer.succeeded  evt_0123  2026-06-10 18:24:41 UTC\n"
    given = ("--signature", signature(BODY))
    assert verify(*given, FRAME_WEBHOOK_SECRET=SECRET) == (0, line, "")
    file, secret = tmp_path / "body.json", tmp_path / "secrets"
    file.write_bytes(BODY)
    secret.write_text(f"{OTHER}\n{SECRET}\n")
    assert verify(str(file), *given, "--secret-file", str(secret), body=b"") == (0, line, "")
    assert verify("-", *given, "--secret-env", "MY_SECRET", MY_SECRET=SECRET) == (0, line, "")


def test_a_webhook_that_is_not_genuine() -> None:
    """A wrong or malformed signature, or a signed body that is no event, ends with 1."""
    forged = verify("--signature", signature(BODY, OTHER), FRAME_WEBHOOK_SECRET=SECRET)
    assert forged[:2] == (1, "")
    assert forged[2].startswith("not genuine: the signature doesn't match the body")
    assert verify("--signature", "x", FRAME_WEBHOOK_SECRET=SECRET)[0] == 1
    large = verify("--signature", "x", body=b" " * 1_048_577, FRAME_WEBHOOK_SECRET=SECRET)
    assert large == (1, "", "not genuine: the body is larger than 1048576 bytes\n")
    odd = verify("--signature", signature(b"[]"), body=b"[]", FRAME_WEBHOOK_SECRET=SECRET)
    assert odd[0] == 1
    assert odd[2].startswith("signed, but unusable: unreadable event: is a JSON list")


def test_without_a_usable_secret(tmp_path: Path) -> None:
    """No secret, an empty one, or a file that is none, ends with 2 and one line."""
    given = ("--signature", signature(BODY))
    missing = verify(*given)
    assert missing == (
        2,
        "",
        "no webhook secret: set FRAME_WEBHOOK_SECRET, or name a file with --secret-file\n",
    )
    assert verify(*given, FRAME_WEBHOOK_SECRET="")[0] == 2
    for content in (b"", b"\n", b"\xff\xfe" + SECRET.encode()):
        file = tmp_path / "secret"
        file.write_bytes(content)
        status, out, err = verify(*given, "--secret-file", str(file))
        assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert verify(*given, "--secret-file", str(tmp_path / "none"))[0] == 2
    assert verify()[0] == 2


class Shop(BaseHTTPRequestHandler):
    """A shop under development."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((body, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(getattr(self.server, "status", 202))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[HTTPServer]:
    """A shop that runs."""
    with HTTPServer(("127.0.0.1", 0), Shop) as server:
        server.bodies = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def listening(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run ``frame-async webhook listen``: the process, and where it listens."""
    command = [sys.executable, "-W", "error", "-m", "frame_async", "webhook", "listen"]
    with subprocess.Popen(
        [*command, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MY_SECRET": SECRET, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            yield process, found.group()
        finally:
            process.kill()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Deliver a webhook; the status of the answer."""
    try:
        request = urllib.request.Request(url, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_listening(shop: HTTPServer, ending: signal.Signals) -> None:
    """Each webhook is told on a line and forwarded; the shop's status is the answer."""
    target = f"http://127.0.0.1:{shop.server_port}/hooks"
    with listening("--forward-to", target, "--secret-env", "MY_SECRET") as (process, url):
        assert process.stdout
        assert process.stderr
        assert post(url, BODY, signed(BODY)) == 202
        line = process.stdout.readline()
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d  transfer\.succeeded  evt_0123  ok  -> 202 in \d+ ms\n", line
        )
        assert post(url, BODY, signed(BODY, OTHER)) == 202
        line = process.stdout.readline()
        assert re.match(r"\d\d:\d\d:\d\d  bad: the signature doesn't match", line)
        assert line.endswith(" ms\n")
        process.send_signal(ending)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
    received = shop.bodies  # type: ignore[attr-defined]
    assert [body for body, _ in received] == [BODY, BODY]
    assert received[0][1]["X-Frame-Signature"] == signature(BODY)


def test_listening_to_hostile_senders() -> None:
    """What a sender writes can't break the line, and nothing of a forged body is shown.

    The target is elsewhere, which is allowed here, and can't be reached.
    """
    forged = json.dumps({"id": "x", "type": "\x1b[2Jforged"}).encode()
    remote = ("--secret-env", "MY_SECRET", "--forward-to", "http://shop.invalid/", "--allow-remote")
    with listening(*remote) as (process, url):
        assert process.stdout
        assert post(url, forged, signed(forged, OTHER)) == 502
        line = process.stdout.readline()
        assert "forged" not in line
        assert re.search(r"  -> 502 in \d+ ms \(no answer: Client\w+Error\)\n", line)
        odd = event_body(type="a\x1b[2J\r\nb [red]c")
        assert post(url, odd, signed(odd)) == 502
        assert "  a?[2J??b [red]c  evt_0123  ok  -> 502" in process.stdout.readline()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--forward-to", "http://shop.example/", "--secret-env", "MY_SECRET"], "this machine"),
        (["--forward-to", "nowhere", "--secret-env", "MY_SECRET"], "must be a URL"),
        (["--secret-env", "NO_SECRET"], "set NO_SECRET"),
    ],
)
def test_listening_that_cannot_start(arguments: list[str], says: str) -> None:
    """A remote target or a missing secret ends with 2 and one line."""
    command = ["webhook", "listen", "--port", "0", *arguments]
    ran = CliRunner().invoke(cli, command, env={"MY_SECRET": SECRET})
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_listening_where_somebody_does() -> None:
    """A port that is taken ends with 2 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = ["webhook", "listen", "--port", str(taken.getsockname()[1])]
        ran = CliRunner().invoke(cli, command, env={"FRAME_WEBHOOK_SECRET": SECRET})
    assert ran.exit_code == 2
    assert "address already in use" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def send(*arguments: str) -> tuple[int, str, str]:
    """Run ``frame-async webhook send`` in this process: exit status, output, complaints."""
    environment = {"FRAME_WEBHOOK_SECRET": SECRET}
    ran = CliRunner().invoke(cli, ["webhook", "send", *arguments], env=environment)
    assert SECRET not in ran.output
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def test_sending_to_a_shop(shop: HTTPServer) -> None:
    """A shop gets what Frame would send: published fields, those that were set, a signature."""
    target = f"http://127.0.0.1:{shop.server_port}/hooks"
    status, out, err = send(
        *("transfer.succeeded", "--to", target, "--reference", "order-42", "--set", "id=evt_1"),
        *("--set", "data.metadata.order=42", "--set", 'data.metadata.text="42"'),
        *("--set", "data.amount=null"),
    )
    assert (status, err) == (0, "")
    assert re.fullmatch(r"transfer\.succeeded -> 202 in \d+ ms\n", out)
    ((body, headers),) = shop.bodies  # type: ignore[attr-defined]
    assert headers["X-Frame-Signature"] == signature(body)
    assert headers["X-Frame-Event"] == "transfer.succeeded"
    assert headers["User-Agent"] == "Frame-Robot v1.0.0"
    event = json.loads(body)
    assert (event["id"], event["type"]) == ("evt_1", "transfer.succeeded")
    data = event["data"]
    assert (data["object"], data["status"]) == ("transfer", "succeeded")
    assert (data["reference"], data["amount"]) == ("order-42", None)
    assert data["metadata"] == {"order": 42, "text": "42"}
    published = {"charge_intent", "account", "account_id", "failure_reason"}
    assert published <= data.keys()
    assert not {"client_reference_id", "payment_link_session", "failure_code"} & data.keys()


@pytest.mark.parametrize("how", ["body", "secret", "unsigned", "malformed", "not-json"])
def test_a_tampered_webhook_is_refused(how: str, shop: HTTPServer) -> None:
    """A webhook that is bad on purpose is refused by our receiver; a shop that takes it is told."""
    with listening("--secret-env", "MY_SECRET") as (_, url):
        status, out, _ = send("transfer.failed", "--to", url, "--tamper", how)
        assert (status, f"(tampered: {how}) -> 400" in out) == (0, True)
        assert send("transfer.failed", "--to", url)[0] == 0
    careless = f"http://127.0.0.1:{shop.server_port}/"
    status, out, _ = send("transfer.failed", "--to", careless, "--tamper", how)
    assert (status, "taken, although it must not be" in out) == (1, True)


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("transfer.succeded", "transfer.succeeded"), ("transfer.failed", ""), ("customer.new", "")],
)
def test_a_misspelt_type_is_said(kind: str, meant: str) -> None:
    """A type that is nearly a published one is sent as it is, and the nearest is named."""
    status, out, err = send(kind)
    assert (status, json.loads(out)["type"]) == (0, kind)
    assert ("did you mean" in err, meant in err) == (bool(meant), True)


def test_printing_a_webhook() -> None:
    """Without an address, the body is printed as it would be signed, ready for verify or curl."""
    status, out, err = send("charge_intent.succeeded")
    assert status == 0
    header = re.search(r"X-Frame-Signature: (sha256=[0-9a-f]{64})", err)
    assert header
    body = out.removesuffix("\n").encode()
    assert header[1] == signature(body)
    assert verify("--signature", header[1], body=body, FRAME_WEBHOOK_SECRET=SECRET)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--to", "http://shop.example/"], 2, "must be on this machine"),
        (["--to", "nowhere"], 2, "must be a URL"),
        (["--to", "http://127.0.0.1:9/"], 4, "no answer: "),
        (["--to", "http://shop.invalid/", "--allow-remote"], 4, "no answer: "),
        (["--set", "id.x=1"], 2, "id is no object"),
        (["--set", "nothing"], 2, "must have the form name=value"),
        (["--set", "data.x=\udcff"], 2, "must be text"),
        (["--secret-env", "NO_SECRET"], 2, "set NO_SECRET"),
        (["--tamper", "everything"], 2, "not one of"),
    ],
)
def test_sending_that_fails(arguments: list[str], status: int, says: str) -> None:
    """A mistake ends with 2 and nobody's answer with 4, each with its reason."""
    ended, out, err = send("transfer.succeeded", *arguments)
    assert (ended, out) == (status, "")
    assert says in err


def test_a_shop_that_fails(shop: HTTPServer) -> None:
    """Anything but 2xx for a good webhook ends with 1; a 500 for a bad one, too."""
    target = f"http://127.0.0.1:{shop.server_port}/"
    shop.status = 500  # type: ignore[attr-defined]
    assert send("transfer.succeeded", "--to", target)[0] == 1
    assert send("transfer.succeeded", "--to", target, "--tamper", "secret")[0] == 1
    shop.status = 302  # type: ignore[attr-defined]
    assert send("transfer.succeeded", "--to", target)[0] == 1


def test_help_needs_no_library() -> None:
    """`webhook --help` and `listen --help` load neither aiohttp nor rich by themselves."""
    code = (
        "import sys; from frame_async.cli import commands; before = set(sys.modules)\n"
        "try: commands.cli(['webhook', 'listen', '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "new = set(sys.modules) - before\n"
        "assert not [name for name in new if name.startswith(('rich', 'frame_async'))], new"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "--forward-to" in ran.stdout
    assert "never" not in ran.stderr
