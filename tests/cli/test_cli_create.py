"""``frame-async create`` as a user runs it: one session, its address, what is known."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from frame_async.cli.commands import cli
from frame_async.emulator import Emulator, Fault

KEY = "sk_sandbox_create"


def create(*arguments: str, server: Emulator | None = None, **more: str) -> tuple[int, str, str]:
    """Run the command in this process: exit status, output, complaints."""
    environment: dict[str, str | None] = {"FRAME_SECRET_KEY": KEY, **more}
    if server is not None:
        environment["FRAME_API_BASE_URL"] = server.base_url
    ran = CliRunner().invoke(cli, ["create", *arguments], env=environment)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def test_a_session_and_what_is_known(server: Emulator) -> None:
    """One session with everything that was asked for; its address and the call are printed."""
    status, out, err = create(
        *("--product", "prod_mug", "--quantity", "1-4", "--reference", "order-7"),
        *("--email", "ada@mail.example", "--success-url", "https://shop.example/thanks"),
        *("--expires-in", "30m", "--set", "phone_number_collection=true"),
        server=server,
    )
    assert (status, err) == (0, "")
    (entry,) = server.ledger
    assert entry.body == {
        "client_reference_id": "order-7",
        "customer_email": "ada@mail.example",
        "success_url": "https://shop.example/thanks",
        "expires_in": 1800,
        "phone_number_collection": True,
        "line_items": [{"product": "prod_mug", "quantity_minimum": 1, "quantity_maximum": 4}],
    }
    (made,) = server.created("order-7")
    lines = dict(re.split(" +", line, maxsplit=1) for line in out.splitlines()[:6])
    assert lines["session"] == made
    assert lines["address"] == f"{server.base_url}/pay/{made}"
    assert (lines["state"], lines["reference"]) == ("open, unpaid", "order-7")
    assert re.fullmatch(r"created after 1 attempt in 0\.\d+ s", lines["call"])
    assert max(map(len, out.splitlines())) <= 80


def test_quantities_of_several_products(server: Emulator) -> None:
    """One quantity is for all products, several are for one each; another number is refused."""
    products = ("--product", "prod_1", "--product", "prod_2")
    assert create(*products, "--quantity", "2", server=server)[0] == 0
    assert create(*products, "--quantity", "2", "--quantity", "0-9", server=server)[0] == 0
    assert create(*products, server=server)[0] == 0
    bodies: list[Any] = [entry.body["line_items"] for entry in server.ledger if entry.body]
    pairs = [[(i.get("quantity_minimum"), i.get("quantity_maximum")) for i in b] for b in bodies]
    assert pairs == [[(2, 2), (2, 2)], [(2, 2), (0, 9)], [(None, None), (None, None)]]
    three = ("--quantity", "1", "--quantity", "2", "--quantity", "3")
    status, _, err = create(*products, *three, server=server)
    assert status == 2
    assert "--quantity: is given 3 times, --product 2 times" in err
    assert len(server.ledger) == 3


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--set", "acount=a"], "acount: is not a field of the request (did you mean account?)"),
        (["--set", "tip=1"], "tip: is not a field of the request (see PaymentLinkSessionRequest "),
        (["--reference", "Gr\udcf6\udcdfe"], "(use a UTF-8 locale, such as LC_ALL=C.UTF-8)"),
    ],
)
def test_advice_names_no_option_of_another_command(
    server: Emulator, arguments: list[str], advice: str
) -> None:
    """What is wrong with a field is one line, without the options that are for files."""
    status, _, err = create("--product", "prod_mug", *arguments, server=server)
    assert (status, server.ledger) == (2, ())
    assert advice in err
    assert err.count("\n") == 1
    assert "--encoding" not in err
    assert "--map" not in err


def test_without_an_api_key() -> None:
    """Whoever has no key yet is told of the emulator."""
    ran = CliRunner().invoke(cli, ["create", "--product", "p"], env={"FRAME_SECRET_KEY": None})
    assert ran.exit_code == 2
    said = "frame-async create: no API key: set FRAME_SECRET_KEY, or try it with --emulator\n"
    assert ran.stderr == said


def test_an_emulator_that_is_not_running() -> None:
    """Where nothing listens on this machine, the command that starts an emulator is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    said = create("--product", "p", "--timeout", "0.3", FRAME_API_BASE_URL=address)
    assert said[0] == 4
    assert said[2].splitlines()[-1] == (
        f"{address}/v1 is this machine; to start an emulator: frame-async emulator"
    )


def test_a_key_and_a_store(server: Emulator, tmp_path: Path) -> None:
    """With a store, the same key gives the same session; without one, a note warns."""
    stored = ("--product", "p", "--key", "order-7", "--store", f"sqlite:///{tmp_path}/frame.db")
    first, again = (create(*stored, server=server) for _ in range(2))
    assert (first[0], first[2], again[0]) == (0, "", 0)
    assert first[1].splitlines()[:2] == again[1].splitlines()[:2]
    assert "earlier, from the store" in again[1]
    assert len(server.ledger) == 1
    changed = create(*stored, "--reference", "another", server=server)
    assert changed[0] == 2
    assert "order-7" in changed[2]
    assert "--store" in create("--product", "p", "--key", "k", server=server)[2]
    assert server.ledger[-1].idempotency_key == "k"


def test_json(server: Emulator) -> None:
    """--json prints the session and the call for machines; a failure too, with its status."""
    status, out, _ = create("--product", "p", "--key", "k-1", "--json", server=server)
    said = json.loads(out)
    assert (status, said["exit_status"], said["session"]["status"]) == (0, 0, "open")
    assert said["session"]["url"].startswith(server.base_url)
    assert said["call"]["outcome"] == "created"
    assert (said["call"]["idempotency_key"], said["call"]["attempts"]) == ("k-1", 1)
    status, out, _ = create("--product", "p", "--set", "customer=c", "--json", "--email", "a@b.c")
    assert status == 2
    assert "can't go together with customer" in json.loads(out)["error"]


@pytest.mark.parametrize(
    ("fault", "status", "outcome"),
    [
        ({"do": "refuse", "status": 422}, 1, "refused"),
        ({"do": "refuse", "status": 401}, 4, "refused"),
        ({"do": "create_and_fail"}, 3, "unknown"),
        ({"do": "create_and_drop"}, 3, "unknown"),
        ({"do": "read_and_drop"}, 3, "unknown"),
    ],
)
def test_exit_statuses(server: Emulator, fault: dict[str, Any], status: int, outcome: str) -> None:
    """Refused is 1, unknown is 3, and what stops every call is 4, as of bulk."""
    server.add_fault(Fault(**fault))
    ended, out, err = create("--product", "p", "--json", "--timeout", "2", server=server)
    said = json.loads(out)
    assert (ended, said["exit_status"], said["call"]["outcome"]) == (status, status, outcome)
    assert err.startswith("frame-async create: ")
    assert said["call"]["possible_duplicates"] >= (status == 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--product: is missing (give the product's id)"),
        (["--product", "p", "--set", "reference=1"], "reference: is not a field"),
        (["--product", "p", "--set", "nothing"], "--set: must have the form name=value"),
        (["--product", "p", "--set", "customer_email=a@b.c", "--email", "a@b.c"], "given twice"),
        (["--product", "p", "--quantity", "4-1"], "must not be above quantity_maximum"),
        (["--product", "p", "--quantity", "one"], "such as 3 or 1-4"),
        (["--product", "p", "--quantity", "-1"], "such as 3 or 1-4"),
        (["--product", "p", "--expires-in", "5m"], "must be from 900 to 86400"),
        (["--product", "p", "--expires-in", "2 days"], "such as 900s, 30m or 12h"),
        (["--product", "p", "--expires-in", "\u0663\u0660m"], "such as 900s, 30m or 12h"),
        (["--product", "p", "--reference", " "], "is empty"),
        (["--product", "p", "--success-url", "ftp://x"], "success_url"),
        (["--product", "p", "--store", "nosql://x"], "store"),
    ],
)
def test_mistakes(server: Emulator, arguments: list[str], says: str) -> None:
    """A mistake in the options is named with its fix, before anything is sent."""
    status, out, err = create(*arguments, server=server)
    assert (status, out) == (2, "")
    assert says in err
    assert not server.ledger


def test_live_has_to_be_said(server: Emulator) -> None:
    """A live key needs --mode live, another mode than the key's is refused, by name."""
    live = {"FRAME_SECRET_KEY": "sk_production_1"}
    status, _, err = create("--product", "p", server=server, **live)
    assert (status, "say --mode live" in err) == (2, True)
    assert create("--product", "p", "--mode", "live", server=server)[0] == 2
    unknown = create("--product", "p", server=server, FRAME_SECRET_KEY="rk_1")
    assert (unknown[0], "--mode sandbox or --mode live" in unknown[2]) == (2, True)
    assert not server.ledger


class Sandbox(BaseHTTPRequestHandler):
    """Whatever the key is, it makes sandbox sessions."""

    def do_POST(self) -> None:
        body = b'{"id": "ses_1", "livemode": false, "expires": "s00n", "status": {"is": "s00n"}}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_a_session_of_the_wrong_mode() -> None:
    """A session that says to be of the other mode is shown, and the command ends with 4."""
    with HTTPServer(("127.0.0.1", 0), Sandbox) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        here = f"http://127.0.0.1:{server.server_port}"
        status, out, err = create(
            *("--product", "p", "--mode", "live", "--open", "--qr"),
            FRAME_SECRET_KEY="rk_1",
            FRAME_API_BASE_URL=here,
        )
        thread.join()
    assert (status, out.splitlines()[0]) == (4, "session    ses_1")
    assert "none that is safe" in out
    assert "unreadable expires, status" in out  # by name, never a value
    assert "s00n" not in out + err
    assert "is sandbox, but live was meant" in err


def test_no_account_and_no_key() -> None:
    """--emulator needs no key; --qr shows a code; that the page is gone afterwards is said."""
    command = [sys.executable, "-W", "error", "-m", "frame_async", "create", "--emulator"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("FRAME_")}
    ran = subprocess.run(
        [*command, "--product", "prod_mug", "--qr"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
    )
    assert ran.returncode == 0, ran.stderr
    assert "█" in ran.stdout
    assert "--open keeps both" in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_is_lost(server: Emulator) -> None:
    """A session that was created and can't be shown is named, and the exit status isn't 0."""
    named = {"FRAME_SECRET_KEY": KEY, "FRAME_API_BASE_URL": server.base_url}
    for options in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "frame_async", "create", "--product", "p", *options],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
                env=os.environ | named,
            )
        assert ran.returncode == 4
        assert f"created {server.created()[-1]}, but it can't be shown" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_a_code_that_cannot_be_shown(server: Emulator) -> None:
    """An output that can't have a QR code still has the session, and a line says so."""
    named = {"FRAME_SECRET_KEY": KEY, "FRAME_API_BASE_URL": server.base_url}
    ran = subprocess.run(
        [sys.executable, "-m", "frame_async", "create", "--product", "p", "--qr"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | named | {"PYTHONIOENCODING": "ascii"},
    )
    assert (ran.returncode, ran.stdout.startswith("session ")) == (0, True)
    assert "a QR code can't be shown here" in ran.stderr


def test_the_page_is_opened(tmp_path: Path) -> None:
    """--open hands the address to the browser; with --emulator, the page lives until Ctrl-C."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(browser.stat().st_mode | stat.S_IEXEC)
    command = [sys.executable, "-W", "error", "-m", "frame_async", "create", "--emulator"]
    with subprocess.Popen(
        [*command, "--product", "prod_mug", "--open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"BROWSER": f"{browser} %s"},
    ) as process:
        assert process.stdout
        assert process.stderr
        assert "until Ctrl-C" in process.stderr.readline()
        deadline = time.monotonic() + 20
        while not (seen.exists() and seen.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        url = seen.read_text().strip()
        with urllib.request.urlopen(url, timeout=30) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert url in process.stdout.read()
        assert process.stderr.read() == ""
