"""The command line as a user runs it: a process of its own."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "orders.csv"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m frame_async`` with these arguments."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "frame_async", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "200"} | environment,
    )


def test_the_demo_creates_a_session_for_each_good_row() -> None:
    """The demo ends with a table of all sessions, the wrong rows, and a summary."""
    ran = run("demo", "--all")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["reference", "session", "id", "status", "expires", "(UTC)", "url"]
    session = re.compile(
        r"order-1\d{3}.* +[0-9a-f-]{36}  open    \d{4}-\d\d-\d\d \d\d:\d\d  http://"
    )
    assert sum(session.match(line) is not None for line in lines) == 117
    assert re.fullmatch(r"created 117, refused 3, retried \d+, \d+\.\d s", lines[-1])
    wrong = [line.split()[:3] for line in lines if re.match(r"\d+ ", line)]
    assert wrong == [
        ["38", "order-1037", "expires_in"],
        ["65", "order-1064", "line_items[0].quantity_minimum"],
        ["102", "order-1101", "success_url"],
    ]
    assert "write a whole number from 900 to 86400" in ran.stdout
    assert "use the form https://host/path" in ran.stdout
    assert "emulator on http://127.0.0.1:" in ran.stderr
    pages, to_pay = ran.stderr.splitlines()[-2:]
    assert "these pages are gone" in pages
    assert to_pay == "frame-async create --emulator --product prod_mug --open"


def test_the_demo_shows_ten_sessions(tmp_path: Path) -> None:
    """Ten are shown, and how to see the others; in a narrow terminal, no word is cut."""
    file = tmp_path / "my orders.csv"
    file.write_text("client_reference_id,line_items.0.product\n" + "order,prod_1\n" * 12)
    ran = run("demo", str(file))
    assert sum("http://" in line for line in ran.stdout.splitlines()) == 10
    assert f"and 2 more: frame-async demo '{file}' --all" in ran.stdout
    narrow = run("demo", TTY_COMPATIBLE="1", COLUMNS="60").stdout
    shown = re.sub(r"\x1b\[[0-9;]*m", "", narrow).splitlines()
    assert all(len(line) <= 60 or "http://" in line for line in shown)
    assert "    http://127.0.0.1" in "\n".join(shown)
    assert [line for line in shown if line.startswith("102")] == [
        "102  order-1101  success_url  must be an absolute"
    ]


def test_the_demo_reads_a_file_of_ones_own(tmp_path: Path) -> None:
    """The demo takes a file; quoted separators in a reference survive to the table."""
    file = tmp_path / "mine.csv"
    file.write_text('client_reference_id,line_items.0.product\n"a, ""b""",prod_1\n')
    ran = run("demo", str(file))
    assert ran.returncode == 0
    assert 'a, "b"' in ran.stdout
    assert "created 1, refused 0" in ran.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"reference,line_items.0.product\nx,y\n", "is not a field of the request"),
        (b"client_reference_id\nx\n", "line_items.0.product: is missing"),
        (b"", "has no header"),
        ("line_items.0.product\nx\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_the_demo_refuses_a_file_by_line(tmp_path: Path, content: bytes, says: str) -> None:
    """A file that can't be used ends the demo with one line and exit status 2."""
    file = tmp_path / "mine.csv"
    file.write_bytes(content)
    ran = run("demo", str(file))
    assert ran.returncode == 2
    assert says in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not ran.stdout


def test_the_demo_without_its_file(tmp_path: Path) -> None:
    """A file that isn't there is named, with exit status 2 and no traceback."""
    ran = run("demo", str(tmp_path / "none.csv"))
    assert ran.returncode == 2
    assert "none.csv" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_demo_reports_calls_that_fail(tmp_path: Path) -> None:
    """A row that the server refuses is listed with its message; exit status 1."""
    file = tmp_path / "mine.csv"
    file.write_text(
        "client_reference_id,customer,payment_method_data,line_items.0.product\n"
        'order-1,cus_1,"{""type"": ""card""}",prod_1\n'
    )
    ran = run("demo", str(file))
    assert ran.returncode == 1
    assert "HTTP 422" in ran.stdout
    assert "created 0, refused 1" in ran.stdout


def test_help_is_for_humans() -> None:
    """--help lists the commands; each command explains itself; --version has the version."""
    listed = run("--help", COLUMNS="80").stdout
    assert "demo" in listed
    assert "...\n" not in listed.partition("Commands:")[2]
    assert "Needs no account, no key and no network" in run("demo", "--help").stdout
    emulator = run("emulator", "--help").stdout
    assert emulator.startswith("Usage: frame-async emulator [OPTIONS]")
    assert "--port" in emulator
    assert re.fullmatch(r"frame-async \d+\.\d+\.\d+\n", run("--version").stdout)
    assert run("nonsense").returncode == 2


@pytest.mark.parametrize("missing", ["click", "rich", "segno"])
def test_without_the_extra(missing: str) -> None:
    """Without click or rich, the command names the extra that brings them."""
    code = (
        f"import sys; sys.modules['{missing}'] = None; from frame_async.cli import main; "
        "sys.argv = ['frame-async', 'demo']; sys.exit(main())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install 'frame-async[cli]'" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_emulator_command(ending: signal.Signals) -> None:
    """`frame-async emulator` says where it listens, answers, and ends cleanly on a signal."""
    with subprocess.Popen(
        [sys.executable, "-m", "frame_async", "emulator", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert url
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url.group()}/v1/nothing", timeout=30)
        with caught.value:
            assert caught.value.code == 404
        process.send_signal(ending)
        assert process.wait(10) == 0
        assert process.stderr.read().endswith(" GET /v1/nothing 404\n")
