"""``frame-async bulk`` as a process: signals, pipes, full disks, terminals, two at once."""

import asyncio
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.bulk_runs import Place, check_doubles, ended, interrupted, orders, until
from support.faults import FaultServer, Wire, framed, refusal

from frame_async.emulator import Emulator

SHORT = "FRAME_SOAK_KILLS" not in os.environ
NAMES = [f"order-{n}" for n in range(60)]
IMPORTED = "import sys; print(*(name for name in sys.modules if '.' not in name))"


async def begun(place: Place, rows: int = 1) -> None:
    """Wait until some results are written."""
    await until(lambda: place.output.exists() and place.output.read_bytes().count(b"\n") >= rows)


async def finished(place: Place, emulator: Emulator, names: Iterable[str] = NAMES) -> None:
    """Run once more: everything is there, once, and doubles are listed."""
    ran = await place.run("--json")
    assert ran.status == 0, ran.err
    results = place.check_complete(names)
    created = {name: emulator.created(name) for name in results}
    check_doubles(results, created, ran.summary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """What is on the wire is finished and written, the way on is said: status 128 + signal."""
    async with Emulator(limit=None, latency=0.3) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        process = await place.start("--concurrency", "4", "--json")
        await begun(place)
        ran = await interrupted(process, number)
        assert ran.status == 128 + number
        assert "stopping: what is on the wire may finish" in ran.err
        summary = ran.summary
        assert (summary["signal"], summary["exit_status"]) == (number.name, ran.status)
        assert summary["pending"] == 60 - len(place.results()) == 60 - len(emulator.created())
        assert f"bulk {place.orders}" in summary["resume"]
        await finished(place, emulator)
        assert len(emulator.created()) == 60


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """The second signal waits for nothing, and still nothing is lost or done twice in silence."""
    async with Emulator(limit=None, latency=1.0) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(12))
        process = await place.start("--concurrency", "4")
        await begun(place)
        await asyncio.sleep(0.5)
        ran = await interrupted(process, signal.SIGINT, signal.SIGTERM)
        assert ran.status == 130
        assert "stopping now" in ran.err
        assert "to go on: frame-async bulk" in ran.out
        assert len(emulator.created()) > len(place.results())
        await finished(place, emulator, NAMES[:12])


async def test_grace_is_an_end(tmp_path: Path) -> None:
    """A server that never answers holds an orderly stop no longer than --grace."""

    async def play(wire: Wire) -> None:
        await wire.read_request()
        await asyncio.sleep(3600)

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(60))
        process = await place.start("--grace", "0.2", "--json", "--concurrency", "3")
        await until(lambda: len(server.ledger) == 3)
        ran = await interrupted(process, signal.SIGTERM)
        assert ran.status == 143
        assert ran.summary["pending"] == 60
        assert place.results() == []


async def test_a_stop_in_the_window_is_quick(tmp_path: Path) -> None:
    """Rows that wait for the rate window don't hold up a stop, and are nobody's doubt."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        process = await place.start("--limit", "10", "--json")
        await begun(place, 2)
        async with asyncio.timeout(40):  # the last row's turn is in ten minutes
            ran = await interrupted(process, signal.SIGINT)
        assert ran.status == 130
        assert 2 <= ran.summary["created"] <= 9
        assert ran.summary["in_doubt"] == []
        await finished(place, emulator)
        assert len(emulator.created()) == 60


async def test_nohup_is_heeded(tmp_path: Path) -> None:
    """A signal that whoever started us said to ignore doesn't stop the run."""
    async with Emulator(limit=None, latency=0.05) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        process = await place.start(
            "--concurrency", "2", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
        )
        await begun(place)
        ran = await interrupted(process, signal.SIGHUP)
        assert ran.status == 0
        place.check_complete(NAMES)


async def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """When the terminal goes away the run ends in order, and can be gone on with."""
    async with Emulator(limit=None, latency=0.2) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        master, slave = pty.openpty()
        process = await place.start(
            "--concurrency", "4", stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        await begun(place, 4)
        os.close(master)
        async with asyncio.timeout(30):
            assert await process.wait() == 129
        assert len(place.results()) == len(emulator.created())
        await finished(place, emulator)
        assert len(emulator.created()) == 60


async def test_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    """Without a terminal, one plain line now and then, and not more."""
    async with Emulator(limit=None, latency=0.1) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(30))
        ran = await place.run("--concurrency", "3", "--every", "0.2")
    lines = [line for line in ran.err.splitlines() if re.match(r"[\d,]+ of 30 rows; ", line)]
    assert 2 <= len(lines) <= 20
    assert all(re.search(r"rows; created \d+(, .*)?(, .* left)?$", line) for line in lines)
    assert "\x1b" not in ran.err


async def test_a_pipe_that_is_closed(tmp_path: Path) -> None:
    """``| head -1``: the run stops before the next requests, with status 4."""
    async with Emulator(limit=None, latency=0.02) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(5_000))
        read, write = os.pipe()
        process = await place.start("--concurrency", "4", stdout=write, output="-")
        os.close(write)
        await asyncio.to_thread(os.read, read, 1)
        os.close(read)
        ran = await ended(process)
        assert ran.status == 4
        assert "the output can't be written: Broken pipe" in ran.err
        assert len(emulator.created()) < 200


async def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """A reader that takes its time holds up the rows, not the calls; Ctrl-C twice still ends it."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(1_000))
        read, write = os.pipe()
        process = await place.start("--concurrency", "4", stdout=write, output="-")
        os.close(write)
        sent = -1
        while sent != (sent := len(emulator.created())) or not sent:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        assert sent < 400
        ran = await interrupted(process, signal.SIGINT, signal.SIGINT)
        assert ran.status == 130
        data = await asyncio.to_thread(os.read, read, 1_000_000)
        os.close(read)
        assert data.endswith(b"\n")
        assert sent - 10 <= data.count(b"\n") <= sent


async def test_a_full_disk(tmp_path: Path) -> None:
    """A full disk stops the run with whole lines only; once there is room, it is completed."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(400))
        ran = await place.run("--concurrency", "4", "--json", preexec_fn=small)
        assert ran.status == 4
        assert ran.summary["stopped"]
        assert ran.summary["pending"] > 0
        data = place.output.read_bytes() if place.output.exists() else b""
        assert not data or data.endswith(b"\n")
        sent = len(emulator.created())
        assert sent <= data.count(b"\n") + 8
        await finished(place, emulator, [f"order-{n}" for n in range(400)])


async def test_a_full_device(tmp_path: Path) -> None:
    """Results to a full device: status 4, for either format, and no state beside a device."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        for options in ((), ("--output-format", "csv")):
            ran = await place.run("--concurrency", "4", *options, output="/dev/full")
            assert ran.status == 4
            assert "No space left on device" in ran.err + ran.out
            assert "Traceback" not in ran.err
            assert not Path("/dev/full.state").exists()
        assert len(emulator.created()) <= 8


async def test_a_full_standard_output_of_others(tmp_path: Path) -> None:
    """What others wrote to the file behind the standard output stays, whatever happens."""
    log = tmp_path / "all.log"
    log.write_text("what others wrote\n" * 400)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))

    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        with log.open("ab") as file:
            options: dict[str, Any] = {"stdout": file, "preexec_fn": small}
            ran = await place.run("--concurrency", "2", output="-", **options)
        assert ran.status == 4
    text = log.read_text()
    assert text.startswith("what others wrote\n" * 400)
    assert text.endswith("\n")


async def test_a_summary_that_nobody_hears(tmp_path: Path) -> None:
    """A summary that can't be printed doesn't change the exit status."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(3))
        with Path("/dev/full").open("wb") as full:
            ran = await place.run("--json", stdout=full)
        assert ran.status == 0, ran.err
        assert "Exception ignored" not in ran.err


async def test_two_runs_at_once(tmp_path: Path) -> None:
    """The second run on one state file says so and leaves; the first doesn't notice."""
    async with Emulator(limit=None, latency=0.2) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        first = await place.start("--concurrency", "4")
        await begun(place)
        first.send_signal(signal.SIGSTOP)  # so that it isn't done before the other begins
        second = await place.run("--json")
        first.send_signal(signal.SIGCONT)
        assert second.status == 4
        assert "is locked by another process" in second.err
        assert json.loads(second.out)["exit_status"] == 4
        assert (await ended(first)).status == 0
        place.check_complete(NAMES)
        assert len(emulator.created()) == 60


async def test_a_revoked_key(tmp_path: Path) -> None:
    """A key that is not accepted any more stops the run: status 4; then it is gone on with."""
    good = [200] * 10

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            told = framed(wire.create()) if good and good.pop() else refusal("401 Unauthorized")
            await wire.send(told)

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(60))
        ran = await place.run("--concurrency", "4", "--json")
        assert ran.status == 4
        assert "401" in ran.summary["stopped"]
        assert (ran.summary["created"], ran.summary["pending"]) == (10, 50)
        good.extend([200] * 60)
        assert (await place.run()).status == 0
        place.check_complete(NAMES)
        assert len(server.created) == 60


async def test_held_rows(tmp_path: Path) -> None:
    """With --on-unknown hold, a lost answer is listed and left: status 3; --again asks again."""
    lost = [True]

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            said = framed(wire.create())
            if lost and b"order-3" in wire.seen.received:
                lost.pop()
                wire.close()
                return
            await wire.send(said)

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(20))
        hold = ("--on-unknown", "hold", "--json", "--concurrency", "2")
        ran = await place.run(*hold)
        assert ran.status == 3
        (doubt,) = ran.summary["in_doubt"]
        assert (doubt["reference"], doubt["possible_duplicates"]) == ("order-3", 1)
        (row,) = [row for row in place.results() if row["result"] == "unknown"]
        assert row["reference"] == "order-3"
        assert (await place.run(*hold)).status == 3
        assert len(server.created) == 20
        again = await place.run("--again", "unknown", "--json")
        assert again.status == 0
        (told,) = again.summary["in_doubt"]
        assert (told["reference"], told["result"]) == ("order-3", "created")
        assert len(server.created) == 21
        place.check_complete(NAMES[:20])


@pytest.mark.parametrize("how", ["refused", *([] if SHORT else ["reset", "503"])])
async def test_a_server_that_is_down_for_a_while(tmp_path: Path, how: str) -> None:
    """Rows wait while the server is down, and none is lost to it; what was doubled is listed."""
    down = asyncio.Event()

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            if not down.is_set():
                await wire.send(framed(wire.create()))
            elif how == "503":
                await wire.send(refusal("503 Service Unavailable"))
            else:
                wire.reset()

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(400))
        process = await place.start(
            "--concurrency", "16", "--json", "--every", "0.2", "--patience", "30"
        )
        await begun(place, 20)
        down.set()
        server.reset_all()
        if how == "refused":
            await server.__aexit__(None, None, None)
        await asyncio.sleep(1.5 if SHORT else 8.0)
        down.clear()
        if how == "refused":
            server._server = await asyncio.start_server(server._connected, "127.0.0.1", server.port)
        ran = await ended(process)
        assert ran.status == 0, ran.err
        assert "Frame doesn't answer: " in ran.err
        results = place.check_complete(f"order-{n}" for n in range(400))
        assert {result["result"] for result in results.values()} == {"created"}


@pytest.mark.skipif(SHORT, reason="takes as long as all retries: part of the soak")
async def test_patience_has_an_end(tmp_path: Path) -> None:
    """Without any answer for --patience seconds the run stops: status 4, and nothing is burnt."""
    place = Place(tmp_path, "http://127.0.0.1:1", orders(60))
    ran = await place.run("--patience", "0", "--json", "--concurrency", "4")
    assert ran.status == 4
    assert "no answer for 0 s" in ran.summary["stopped"]
    assert ran.summary["pending"] == 60
    async with Emulator(limit=None) as emulator:
        place.base_url = emulator.base_url
        moved = await place.run()
        assert moved.status == 2
        assert "http://127.0.0.1:1/v1" in moved.err


async def test_a_bad_certificate_stops_at_once(tmp_path: Path, server_tls: Any) -> None:
    """A certificate that can't be trusted is nothing to wait for."""
    async with FaultServer.playing(tls=server_tls) as server:
        place = Place(tmp_path, server.url, orders(60))
        ran = await place.run("--json", "--concurrency", "4")
        assert ran.status == 4
        assert "certificate" in ran.summary["stopped"]
        assert not server.ledger


@pytest.fixture
def server_tls() -> Any:
    """A server's side of TLS that nobody trusts."""
    import ssl

    import trustme

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


async def test_rate_limited_rows_get_another_turn(tmp_path: Path) -> None:
    """429 for longer than a call's patience is nobody's fault: the row is tried again."""
    refusals = [True] * 12

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            if refusals:
                refusals.pop()
                await wire.send(refusal("429 Too Many Requests", "Retry-After: 40"))
                return
            await wire.send(framed(wire.create()))

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(3))
        process = await place.start("--concurrency", "1", "--json", "--every", "0.2")
        await until(lambda: len(server.ledger) >= 1)
        ran = await interrupted(process, signal.SIGINT, signal.SIGINT, after=0.5)
        assert ran.status == 130
        assert ran.summary["pending"] == 3
        assert not server.created


def test_help_imports_little() -> None:
    """--help loads neither the HTTP stack nor rich nor the client: that is what makes it quick."""
    code = (
        "import sys; from frame_async.cli import main\n"
        "sys.argv = ['frame-async', 'bulk', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('loaded', end=' '); {IMPORTED}"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & {"aiohttp", "rich", "msgspec", "cattrs", "attrs", "tenacity", "asyncio"}
