"""``frame-async doctor`` against emulators, servers that are not well, and no server at all."""

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import time
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from support.bulk_runs import beside
from support.proxies import Proxy
from support.servers import ENCODED_PASSWORD, PASSWORD, empty_postgres, empty_redis

from frame_async.cli.commands import cli
from frame_async.emulator import Emulator, Fault

KEY = "sk_sandbox_of_the_doctor_1234567890"
PROBE = ("--probe", "--yes", "--product", "prod_1")


def doctor(*arguments: str, url: str | None = None, **more: str | None) -> tuple[int, str]:
    """Run the command in this process: exit status and what it says, a check on one line."""
    bare = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "FRAME_PROXY"))
    environment = {**bare, "FRAME_SECRET_KEY": KEY, "FRAME_API_BASE_URL": url, **more}
    ran = CliRunner().invoke(cli, ["doctor", *arguments], env=environment)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    assert KEY not in ran.output
    return ran.exit_code, unwrapped(ran.output)


def unwrapped(out: str) -> str:
    """What was said, without the line ends that only keep lines short."""
    return re.sub(r"\n {15,20}(?! *fix:)", " ", out)


def findings(*arguments: str, url: str, **more: str | None) -> dict[str, Any]:
    """What a probe found."""
    _, out = doctor(*PROBE, "--json", *arguments, url=url, **more)
    return dict(json.loads(out)["probe"])


def results(found: dict[str, Any]) -> dict[str, str]:
    """Which assumptions hold, by their first words."""
    return {
        " ".join(each["assumption"].split()[:3]): each["result"] for each in found["assumptions"]
    }


def test_all_is_well(server: Emulator, tmp_path: Path) -> None:
    """Each check is one line of at most 80 columns, and nothing is created."""
    status, out = doctor("--store", f"sqlite:///{tmp_path}/frame.db", url=server.base_url)
    assert status == 0
    lines = out.splitlines()
    assert [line[:15].split(maxsplit=1)[0] for line in lines] == ["ok"] * 9
    names = [line[5:15].strip() for line in lines]
    assert names == [
        "versions",
        "API key",
        "address",
        "DNS",
        "TCP",
        "TLS",
        "HTTP",
        "clock",
        "store",
    ]
    assert "from FRAME_SECRET_KEY, sandbox mode, 50 requests a minute" in lines[1]
    assert re.search(r"sqlite, shared by processes, .* SQLite 3\.\S+, journal \w+", lines[8])
    assert not server.created()


def test_lines_are_as_wide_as_the_terminal(server: Emulator) -> None:
    """Nothing that may break is over 80 columns wide, or over those that the terminal has."""
    for columns in (None, "100"):
        environment = {"FRAME_SECRET_KEY": "pk_1", "FRAME_API_BASE_URL": server.base_url}
        ran = CliRunner().invoke(cli, ["doctor"], env={**environment, "COLUMNS": columns})
        assert 60 < max(map(len, ran.output.splitlines())) <= int(columns or 80)
        assert "use a secret key (sk_...)" in unwrapped(ran.output)


def test_a_probe_of_an_emulator(server: Emulator) -> None:
    """Four requests tell what is unknown; the report can be pasted, and has no secret."""
    status, out = doctor(*PROBE, url=server.base_url)
    assert status == 0
    posted = [entry for entry in server.ledger if entry.method == "POST"]
    assert [entry.status for entry in posted] == [201, 201, 422, 401]
    key = posted[0].idempotency_key
    assert key is not None
    # One that was honoured would answer the other two as well.
    assert [entry.idempotency_key for entry in posted[1:]] == [key, None, None]
    report = out.partition("\n\n")[2]
    assert report.startswith("frame-async ")
    for line in (
        "valid request: 201",
        "the same Idempotency-Key twice: ignored",
        "clock: within 5 s of the server's",
        'wrong key: 401 {"error":"text","error_details":{"message":"text"}}',
        "request id: x-request-id",
        "holds: the address of the payment page is in the field url",
    ):
        assert f"  {line}\n" in report
    assert "does not hold" not in report
    bodies = [entry.body for entry in posted[:3]]
    assert all(body and body["line_items"] == [{"product": "prod_1"}] for body in bodies)


def test_a_probe_where_keys_are_honoured() -> None:
    """An emulator that honours Idempotency-Key is found out, and what else it says as well."""
    with beside(Emulator(limit=None, idempotency=True)) as emulator:
        found = findings(url=emulator.base_url)
        assert len(emulator.created()) == 1
    assert found["idempotency"] == "honoured"
    assert found["invalid_request"]["field_errors"] == ["expires_in"]
    assert results(found)["Idempotency-Key is ignored"] == "does not hold"


def test_a_probe_that_is_refused(server: Emulator) -> None:
    """Where nothing is created, the report says what came instead, and the rest is unknown."""
    server.add_fault(Fault(do="refuse", status=503))
    found = findings(url=server.base_url)
    assert found["session"]["created"] is False
    assert found["session"]["status"] == 503
    assert set(results(found).values()) == {"unknown", "holds"}
    assert results(found)["an answer has"] == "holds"
    status, out = doctor(*PROBE, url=server.base_url)
    assert (status, "fail probe     the valid request was answered with 503" in out) == (1, True)


@pytest.mark.parametrize("limit", [1, 2])
def test_a_probe_that_is_too_quick(limit: int) -> None:
    """A 429 says that the server was busy, and nothing of the request that it refused."""
    with beside(Emulator(limit=limit)) as emulator:
        found = findings(url=emulator.base_url)
    assert found["invalid_request"]["status"] == 429
    assert results(found)["an invalid request"] == "unknown"


@pytest.mark.parametrize(
    ("envelope", "shape", "fields"),
    [
        ("standard", {"error": "text", "error_details": {"message": "text", "*": 1}}, True),
        ("cli", {"error": {"type": "text", "message": "text", "errors": {"*": 1}}}, True),
        ("node", {"code": "text", "message": "text"}, False),
        ("php", {"error": {"message": "text", "code": "text"}}, False),
        ("ruby", {"error": "text"}, False),
        ("text", "no JSON", False),
    ],
)
def test_a_probe_of_each_envelope(envelope: str, shape: Any, fields: bool) -> None:
    """The shape of an error is learned, in whatever envelope it comes."""
    with beside(Emulator(envelope=envelope)) as emulator:
        found = findings(url=emulator.base_url)
    invalid = found["invalid_request"]
    expected = json.dumps(shape).replace('"*": 1', '"expires_in": ["text"]')
    assert json.dumps(invalid["envelope"]) == expected
    assert invalid["field_errors"] == (["expires_in"] if fields else [])
    assert set(results(found).values()) == {"holds"}


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "is not accepted"), (403, "give it that right"), (404, "check --product"), (200, "see")],
)
def test_a_probe_without_a_session(status: int, fix: str) -> None:
    """That no session came is a failure with its fix: a key that isn't good, say."""
    with canned(*[(status, b'{"error": "no"}', {})] * 4) as port:
        ended, out = doctor(*PROBE, url=f"http://127.0.0.1:{port}")
    assert (ended, f"answered with {status}, and no session" in out, fix in out) == (1, True, True)
    word = "does not hold" if status == 200 else "unknown"
    assert f"{word}: a valid request is answered" in out


def test_a_server_that_repeats_what_was_sent() -> None:
    """A key that comes back, in a name, a value, a header or an error, is not in the report."""
    body = {"id": KEY, "status": KEY, KEY: KEY, "payment_status": f"Bearer {KEY}", "url": KEY}
    good: CannedAnswer = (201, json.dumps(body).encode(), {f"X-RateLimit-{KEY}": KEY})
    error = {"error": KEY, "error_details": {"message": KEY, KEY: [KEY], "x": {KEY: KEY}}}
    bad: CannedAnswer = (400, json.dumps(error).encode(), {"X-Request-Id": KEY})
    for arguments in ((), ("--json",)):
        with canned(good, good, bad, bad) as port:
            _, out = doctor(*PROBE, *arguments, url=f"http://127.0.0.1:{port}")
        assert KEY not in out.replace("\n", "")
        assert KEY.lower() not in out


CannedAnswer = tuple[int, bytes, dict[str, str]]
"""Status, body and headers."""


class Canned(BaseHTTPRequestHandler):
    """Answers each POST with what it was told, and a GET with 401."""

    answers: list[CannedAnswer]

    def do_GET(self) -> None:
        headers = getattr(self.server, "headers", {})
        self._answer(int(headers.get("Status", 401)), b"{}", headers)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(*self.server.answers.pop(0))  # type: ignore[attr-defined]

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Date": formatdate(time(), usegmt=True), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def canned(
    *answers: CannedAnswer, tls: ssl.SSLContext | None = None, **headers: str
) -> Iterator[int]:
    """A server with these answers; its port."""
    with HTTPServer(("127.0.0.1", 0), Canned) as server:
        server.answers, server.headers = list(answers), headers  # type: ignore[attr-defined]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_probe_of_a_server_that_is_otherwise() -> None:
    """Unknown, unread and missing fields, an address that isn't https, an envelope: all named."""
    session = {
        "id": "ses_1",
        "livemode": True,
        "status": 5,
        "created": 1_781_115_881,
        "expires": 1_781_202_281,
        "url": "http://pay.example/1",
        "new\x1b[2J": {"secret": "value"},
        "customer": {"id": "cus_1", "object": "customer"},
    }
    good = (200, json.dumps(session).encode(), {"X-RateLimit-Limit": "50"})
    no: CannedAnswer = (
        422,
        b'{"error": "Unprocessable", "error_details": {"message": "m", "list": [1]}}',
        {},
    )
    with canned(good, good, no, (401, b"<html>", {})) as port:
        found = findings(url=f"http://127.0.0.1:{port}")
    made = found["session"]
    assert (made["status"], made["unread_fields"]) == (200, ["status"])
    assert made["expanded_fields"] == ["customer"]
    assert len(made["unknown_fields"]) == 1
    assert "value" not in json.dumps(found)
    assert {"account", "object", "updated"} <= set(made["missing_fields"])
    assert found["idempotency"] == "honoured"
    assert found["rate_limit_headers"] == ["x-ratelimit-limit"]
    assert found["invalid_request"]["envelope"] == {
        "error": "text",
        "error_details": {"message": "text", "list": ["number"]},
    }
    assert found["wrong_key"]["envelope"] == "no JSON"
    assert results(found)["every field of"] == "does not hold"
    judged = results(found)
    assert judged["the address of"] == judged["a sandbox key"] == "does not hold"
    assert judged["an answer has"] == judged["a session lives"] == "does not hold"
    assert judged["a wrong key"] == "holds"


def test_a_report_has_no_control_characters() -> None:
    """A name that a server made up can't write to the terminal."""
    body = json.dumps({"id": "s", "x\x1b[2J\r\n": 1, "status": "\x1b[31m"}).encode()
    good: CannedAnswer = (201, body, {})
    bad: CannedAnswer = (400, b'{"\\u001b[2J": 1}', {})
    with canned(good, good, bad, bad) as port:
        status, out = doctor(*PROBE, url=f"http://127.0.0.1:{port}")
    assert status == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", out)


@pytest.mark.parametrize("key", ["sk_production_1234567890", "rk_1234567890"])
def test_a_probe_is_for_the_sandbox(server: Emulator, key: str) -> None:
    """With any other key nothing is sent, and that is a failure."""
    status, out = doctor(*PROBE, url=server.base_url, FRAME_SECRET_KEY=key)
    assert (status, "sandbox keys only; nothing was sent" in out) == (1, True)
    assert key not in out
    assert not server.created()


def test_a_probe_asks_first(server: Emulator) -> None:
    """Without --yes it asks, and where nobody can be asked it is a mistake."""
    status, out = doctor("--probe", "--product", "prod_1", url=server.base_url)
    assert (status, "--yes" in out) == (2, True)
    assert doctor("--probe", "--yes", url=server.base_url)[0] == 2
    if not hasattr(os, "openpty"):
        return
    master, slave = os.openpty()
    os.write(master, b"n\n")
    command = [sys.executable, "-m", "frame_async", "doctor", "--probe", "--product", "prod_1"]
    named = {"FRAME_SECRET_KEY": KEY, "FRAME_API_BASE_URL": server.base_url}
    ran = subprocess.run(
        command, stdin=slave, capture_output=True, timeout=60, check=False, env=os.environ | named
    )
    os.close(master)
    os.close(slave)
    assert ran.returncode == 1
    assert b"Send four requests to your sandbox?" in ran.stderr
    assert not server.created()


@pytest.mark.parametrize(
    ("environment", "line", "fix"),
    [
        (
            {"FRAME_API_BASE_URL": "http://127.0.0.1:9", "FRAME_PROXY": "http://u:pa55@p:1"},
            "warn proxy     FRAME_PROXY is set, and not used for http://",
            "plain HTTP stays",
        ),
        ({"FRAME_SECRET_KEY": None}, "fail API key   FRAME_SECRET_KEY is not set", "sk_sandbox_"),
        ({"FRAME_SECRET_KEY": "pk_sandbox_1"}, "a publishable key", "sk_sandbox_"),
        ({"FRAME_SECRET_KEY": "sk_sandbox_1\n"}, "has whitespace", "sk_sandbox_"),
        (
            {"FRAME_SECRET_KEY": "rk_1"},
            "warn API key   from FRAME_SECRET_KEY, unknown",
            "rate_limit",
        ),
        ({"FRAME_API_BASE_URL": ""}, "fail address   FRAME_API_BASE_URL is set but empty", "unset"),
        ({"FRAME_API_BASE_URL": "http://emulator:1"}, "FRAME_ALLOW_HTTP_TO", "set FRAME_API"),
        (
            {"FRAME_API_BASE_URL": "http://127.0.0.1:9", "HTTP_PROXY": "http://u:pa55@127.0.0.1:1"},
            "warn proxy     HTTP_PROXY is set, and not used",
            "FRAME_PROXY=environment",
        ),
        (
            {"FRAME_API_BASE_URL": "http://127.0.0.1:9"},
            "fail TCP       port 9: connection refused",
            "firewall",
        ),
        ({"FRAME_API_BASE_URL": "https://frame.invalid"}, "fail DNS       frame.invalid: ", "DNS"),
        (
            {
                "FRAME_API_BASE_URL": "https://frame.invalid",
                "FRAME_PROXY": "http://u:pa55@127.0.0.1:9",
            },
            "ok   proxy     http://127.0.0.1:9, by FRAME_PROXY",
            "whether a proxy is needed",
        ),
        (
            {"FRAME_API_BASE_URL": "https://frame.invalid", "FRAME_PROXY": "socks5://x"},
            "fail proxy     FRAME_PROXY must be the URL",
            "correct FRAME_PROXY",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_fix(
    environment: dict[str, str | None], line: str, fix: str
) -> None:
    """Each thing that is wrong has its line and its fix; the command ends with 1."""
    more: dict[str, Any] = {"url": environment.pop("FRAME_API_BASE_URL", "http://127.0.0.1:9")}
    status, out = doctor("--timeout", "3", **more, **environment)
    assert status == 1
    assert line in out
    assert fix in out
    assert "pa55" not in out


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nosql://x", "must be a URL such as"),
        ("redis://:pa55@127.0.0.1:9/0", "fail store"),
        ("sqlite:////nowhere/at/all/frame.db", "fail store"),
        ("postgresql://u:pa55@127.0.0.1:9/db", "fail store"),
    ],
)
def test_a_store_that_cannot_be_used(server: Emulator, url: str, says: str) -> None:
    """A store that doesn't answer fails with its reason, and its password isn't shown."""
    status, out = doctor("--store", url, "--timeout", "5", url=server.base_url)
    assert (status, says in out, "pa55" in out) == (1, True, False)
    assert "that its user may write" in out


def test_settings_of_redis(server: Emulator) -> None:
    """A server that may forget keys is said to, with the fix; a password isn't shown."""
    url = empty_redis()
    status, out = doctor("--store", url, url=server.base_url)
    assert status == 0
    assert re.search(r"^warn store .*(Valkey|Redis) \d", out, re.MULTILINE)
    assert "set appendonly yes" in out
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(url) as client:
        before = client.config_get("maxmemory*")
        try:
            client.config_set("maxmemory", "64mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert (
                "set maxmemory-policy noeviction" in doctor("--store", url, url=server.base_url)[1]
            )
        finally:
            client.config_set("maxmemory", before["maxmemory"])
            client.config_set("maxmemory-policy", before["maxmemory-policy"])
    assert PASSWORD not in out
    assert ENCODED_PASSWORD not in out


def test_settings_of_postgres(server: Emulator) -> None:
    """A database that may lose what it confirmed is said to; the tests' own is one."""
    status, out = doctor("--store", empty_postgres(), url=server.base_url)
    assert status == 0
    assert re.search(r"^warn store .*PostgreSQL \d+.*, fsync off", out, re.MULTILINE)
    assert "set fsync and full_page_writes on" in out
    assert PASSWORD not in out


@pytest.mark.parametrize(
    ("seconds", "line", "status"),
    [
        (0, "ok   clock     within 5 s", 0),
        (24, "warn clock     2? s behind", 0),
        (-34, "warn clock     3? s ahead of", 0),
        (7204, "fail clock     7,20? s behind", 1),
    ],
)
def test_clocks(seconds: int, line: str, status: int) -> None:
    """This machine's clock is compared with what the server's answer says."""
    with canned(Date=formatdate(time() + seconds, usegmt=True)) as port:
        ended, out = doctor(url=f"http://127.0.0.1:{port}")
    assert ended == status
    nearly = re.sub(r"\b(7,19|7,20|1|2|3)[0-9]\b", r"\g<1>?", out)  # a second passes, or not
    assert line in nearly, nearly


def test_a_server_without_a_clock() -> None:
    """A Date that is none is a remark, and no failure."""
    with canned(Date="yesterday") as port:
        status, out = doctor(url=f"http://127.0.0.1:{port}")
    assert (status, "warn clock     the server names no time" in out) == (0, True)


def run_with_tls(
    trust: Path | None, host: str = "localhost", until: datetime | None = None, **more: str
) -> tuple[int, str, str]:
    """Run the command against a server whose certificate a test authority signed."""
    authority = trustme.CA(organization_name="Test Authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, not_after=until).configure_cert(context)
    environment = {"FRAME_SECRET_KEY": KEY, "PYTHONWARNINGS": "error", **more}
    if trust is not None:
        authority.cert_pem.write_to_path(str(trust))
        environment["SSL_CERT_FILE"] = str(trust)
    with canned(tls=context) as port:
        environment["FRAME_API_BASE_URL"] = f"https://localhost:{port}"
        ran = subprocess.run(
            [sys.executable, "-m", "frame_async", "doctor"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | environment,
        )
    return ran.returncode, unwrapped(ran.stdout), ran.stderr


def test_tls(tmp_path: Path) -> None:
    """The authority that signed is named, also one that nobody trusts, which fails."""
    status, out, errors = run_with_tls(tmp_path / "authority.pem")
    assert (status, errors) == (0, "")
    assert re.search(r"ok   TLS       TLSv1\.3, certificate signed by Test Authority", out)
    status, out, errors = run_with_tls(None)
    assert (status, errors) == (1, "")
    assert re.search(r"fail TLS       TLSv1\.3, certificate signed by Test Authority", out)
    assert "certificate can't be trusted: " in out
    assert "SSL_CERT_FILE, or pass its authority with tls=" in out


async def test_tls_behind_a_proxy(tmp_path: Path) -> None:
    """Through a proxy, which may sign itself, it is named just so; a password isn't shown."""
    async with Proxy(credentials="u:pa55") as proxy:
        for trust in (tmp_path / "authority.pem", None):
            status, out, errors = await asyncio.to_thread(
                run_with_tls, trust, FRAME_PROXY=proxy.url
            )
            assert (status, errors) == (int(trust is None), "")
            assert "certificate signed by Test Authority" in out
            assert "pa55" not in out


@pytest.mark.parametrize(
    ("host", "until", "says", "fix"),
    [
        ("other.example", None, "ostname mismatch", "the certificate is another host's"),
        ("localhost", datetime(2020, 1, 1, tzinfo=UTC), "has expired", "this machine's clock"),
    ],
)
def test_certificates_that_do_not_fit(
    tmp_path: Path, host: str, until: datetime | None, says: str, fix: str
) -> None:
    """A certificate of another host, or of another time, has a fix of its own."""
    status, out, errors = run_with_tls(tmp_path / "authority.pem", host, until)
    assert (status, errors, says in out, fix in out) == (1, "", True, True)
    assert "SSL_CERT_FILE" not in out


@pytest.mark.parametrize(("status", "fix"), [(302, "login page"), (503, "try again later")])
def test_a_server_that_is_no_api(status: int, fix: str) -> None:
    """A redirect, or an error of the server's, is a remark."""
    with canned(Status=str(status)) as port:
        ended, out = doctor(url=f"http://127.0.0.1:{port}")
    assert (ended, f"warn HTTP      answers, with {status}" in out, fix in out) == (0, True, True)


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "soon"])
def test_a_timeout_that_is_none(seconds: str) -> None:
    """What is no number of seconds above 0 is a mistake in the usage."""
    assert doctor("--timeout", seconds, url="http://127.0.0.1:9")[0] == 2


def test_no_http() -> None:
    """A server that speaks something else, or TLS that meets none, is said to be so."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        status, out = doctor("--timeout", "0.5", url=f"http://127.0.0.1:{port}")
        assert (status, "fail HTTP      timed out" in out) == (1, True)
    with canned() as port:
        status, out = doctor(url=f"https://localhost:{port}")
        assert status == 1
        assert "sent what is not TLS" in out


def test_json(server: Emulator) -> None:
    """--json has every check with its state, and the exit status."""
    status, out = doctor("--json", url=server.base_url)
    said = json.loads(out)
    assert (status, said["exit_status"]) == (0, 0)
    assert {check["state"] for check in said["checks"]} == {"ok"}
    status, out = doctor("--json", url="http://127.0.0.1:9")
    said = json.loads(out)
    assert (status, said["exit_status"]) == (1, 1)
    (failed,) = (check for check in said["checks"] if check["state"] == "fail")
    assert failed["name"] == "TCP"
    assert failed["fix"]
