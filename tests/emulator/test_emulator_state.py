"""The state file: what survives a restart, and which files are refused."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.shown import shows

from frame_async.emulator import Emulator
from frame_async.emulator.state.persistence import StateError, load_state, save_state

PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]
SECRET = "sk_sandbox_this_is_a_secret_key"
CARD = {
    "type": "card",
    "card_number": "4242424242424242",
    "exp_month": "12",
    "exp_year": "2031",
    "cvc": "987",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.json"


async def test_everything_survives_a_restart(
    path: Path, connect: Connect, clock: Any, order: dict[str, Any]
) -> None:
    """Sessions, ledger, windows, idempotency keys and advanced time are there again."""
    options: dict[str, Any] = {"state": path, "limit": 3, "idempotency": True, "clock": clock}
    key = {"Idempotency-Key": "key-1", "Authorization": f"Bearer {SECRET}"}
    async with Emulator(**options) as first, connect(first, **key) as http:
        first.advance(100)
        made = await (await http.post(PATH, json=order | {"client_reference_id": "a"})).json()
        first.add_fault("throttle", times=1)
        await http.post(PATH, json=order, headers={"Idempotency-Key": "key-2"})
    second = Emulator(**options)
    async with second, connect(second, **key) as http:
        assert second.created("a") == (made["id"],)
        assert second.ledger == first.ledger
        assert second.ledger[1].fault is not None
        again = await http.post(PATH, json=order | {"client_reference_id": "a"})
        assert again.headers["Idempotent-Replayed"] == "true"
        assert await again.json() == made
        assert (await http.post(PATH, json=order)).status == 429
        assert second.ledger[-1].sequence == 4
        page = await http.get(f"/pay/{made['id']}")
        assert page.status == 200
        assert second.ledger[-1].received == clock.now + 100


async def test_no_secret_is_in_it(path: Path, connect: Connect, order: dict[str, Any]) -> None:
    """No key, card or hidden value can be read out of the file, and nobody else may read it."""
    options: dict[str, Any] = {"state": str(path), "idempotency": True}
    key = {"Idempotency-Key": "key-1", "Authorization": f"Bearer {SECRET}"}
    body = order | {"payment_method_data": CARD, "acount": "4000056655665556"}
    async with Emulator(**options) as emulator, connect(emulator, **key) as http:
        assert (await http.post(PATH, json=body)).status == 201
        await http.post(PATH, json=body, headers={"Authorization": "Bearer sk_production_SECRET"})
    text = path.read_text()
    for secret in (SECRET, "4242424242424242", "4000056655665556", "SECRET"):
        assert secret not in text
    assert not shows(text, "987")
    digest = sha256(json.dumps(body).encode()).hexdigest()
    assert digest not in text, "a card number could be found by trying"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_a_key_with_payment_data_is_still_replayed(
    path: Path, connect: Connect, order: dict[str, Any]
) -> None:
    """After a restart such a key gives its answer again, as its session exists."""
    options: dict[str, Any] = {"state": path, "idempotency": True}
    key = {"Idempotency-Key": "key-1"}
    body = order | {"payment_method_data": CARD}
    for _ in range(2):
        async with Emulator(**options) as emulator, connect(emulator, **key) as http:
            assert (await http.post(PATH, json=body)).status == 201
            assert len(emulator.created()) == 1


async def test_a_seeded_run_goes_on_with_new_ids(
    path: Path, connect: Connect, order: dict[str, Any]
) -> None:
    """A seed does not repeat the ids that the state file holds already."""
    for count in (2, 4):
        async with Emulator(state=path, seed=1) as emulator, connect(emulator) as http:
            for _ in range(2):
                await http.post(PATH, json=order)
            assert len(set(emulator.created())) == count


async def test_limits_hold_for_what_is_loaded(
    path: Path, connect: Connect, order: dict[str, Any]
) -> None:
    """A smaller limit keeps the newest of what the file has."""
    async with Emulator(state=path) as emulator, connect(emulator) as http:
        ids = [(await (await http.post(PATH, json=order)).json())["id"] for _ in range(3)]
    async with Emulator(state=path, session_limit=2, ledger_limit=1) as emulator:
        assert emulator.created() == tuple(ids[1:])
        assert [entry.sequence for entry in emulator.ledger] == [3]


def damaged(content: bytes) -> bytes:
    return content.replace(b'"created":', b'"createt":', 1)


def of_another_version(content: bytes) -> bytes:
    return content.replace(b'"version": 1', b'"version": 2', 1)


def with_other_values(content: bytes) -> bytes:
    """A file whose digest is right and whose values are not."""
    payload = b'{"sessions": [{"id": 1}]}'
    head = json.loads(content.split(b"\n")[0]) | {"sha256": sha256(payload).hexdigest()}
    return json.dumps(head).encode() + b"\n" + payload


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"", "is no state file"),
        (lambda _: b"line 1\nline 2\n", "is no state file"),
        (lambda _: b'{"a": 1}', "is no state file"),
        (lambda _: b"[" * 100_000, "is no state file"),
        (lambda _: b"\xff\x00", "is no state file"),
        (lambda content: content[:-20], "is damaged"),
        (lambda content: content + b"x", "is damaged"),
        (damaged, "is damaged"),
        (of_another_version, "another version"),
        (with_other_values, "is damaged"),
        (lambda content: with_other_values(content).replace(b'"id"', b'"di"'), "is damaged"),
    ],
)
async def test_other_files_are_refused_and_left(
    path: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    """A file that is damaged or none of ours is refused by its name and not touched."""
    async with Emulator(state=path):
        pass
    content = change(path.read_bytes())
    path.write_bytes(content)
    emulator = Emulator(state=path)
    with pytest.raises(StateError, match=words) as caught:
        await emulator.start()
    assert str(path) in str(caught.value)
    await emulator.aclose()
    assert path.read_bytes() == content


async def test_a_folder_that_is_not_there_is_known_at_once(tmp_path: Path) -> None:
    """A path that can't be written to is an error at the start, not at the end."""
    emulator = Emulator(state=tmp_path / "nothing" / "state")
    with pytest.raises(FileNotFoundError):
        await emulator.start()


async def test_a_port_in_use_leaves_nothing_behind(path: Path, emulator: Emulator) -> None:
    """When the address can't be had, nothing goes on saving in the background."""
    port = int(emulator.base_url.rpartition(":")[2])
    second = Emulator(state=path, port=port)
    with pytest.raises(OSError, match="in use"):
        await second.start()
    assert len(asyncio.all_tasks()) == 1


def test_a_failed_save_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails, what was there is there, and no draft beside it."""
    save_state(path, {"a": 1})
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="space"):
        patched.setattr(os, "fsync", full)
        save_state(path, {"a": 2})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """A state file behind a symbolic link is written where the link leads."""
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    save_state(link, {"a": 1})
    taken: list[Any] = []
    assert load_state(target, taken.append)
    assert taken == [{"a": 1}]
    assert link.is_symlink()


async def test_it_is_saved_while_running(
    path: Path, connect: Connect, order: dict[str, Any], until: Callable[..., Any]
) -> None:
    """What happened is in the file soon, without an orderly end."""
    emulator = Emulator(state=path)
    assert emulator._persistence is not None
    emulator._persistence.every = 0.01
    async with emulator, connect(emulator) as http:
        made = await (await http.post(PATH, json=order)).json()
        await until(lambda: made["id"] in path.read_text())


async def test_a_failing_disk_is_told_not_fatal(
    path: Path,
    connect: Connect,
    order: dict[str, Any],
    until: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While the file can't be written the emulator serves on, and its log names the file."""
    emulator = Emulator(state=path)
    assert emulator._persistence is not None
    emulator._persistence.every = 0.01
    async with emulator, connect(emulator) as http:
        with monkeypatch.context() as patched:
            patched.setattr("frame_async.emulator.state.persistence.save_state", _fail)
            assert (await http.post(PATH, json=order)).status == 201
            await until(lambda: str(path) in caplog.text)
        await until(lambda: emulator.created()[0] in path.read_text())


def _fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_command_keeps_its_state_and_refuses_others(path: Path) -> None:
    """`--state` keeps sessions over a SIGTERM; another file is one line and exit code 2."""
    command = [sys.executable, "-W", "error", "-m", "frame_async.emulator", "--port", "0"]
    command += ["--state", str(path)]
    for count in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            base = process.stdout.readline().split()[4]
            headers = {"Authorization": "Bearer sk_sandbox_x", "Content-Type": "application/json"}
            body = b'{"line_items": [{"product": "p"}]}'
            urllib.request.urlopen(urllib.request.Request(base + PATH, body, headers)).close()
            with urllib.request.urlopen(f"{base}/_emulator/sessions") as answer:
                assert json.load(answer)["created"] == count
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0
    path.write_text("something else")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"{path} is no state file of the emulator; it was left as it is\n"
    command[-1] = str(path.parent / "nothing" / "state")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "No such file" in refused.stderr


def test_two_emulators_on_one_file(path: Path) -> None:
    """The second one is refused by the file's name and the fix; the first one goes on."""
    command = [sys.executable, "-m", "frame_async.emulator", "--port", "0", "--state", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            url = first.stdout.readline().split()[4]
            second = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=30
            )
            assert second.returncode == 2
            assert second.stdout == ""
            assert second.stderr == (
                f"{path} is in use by another emulator; stop that one, or keep the state of this "
                "one in another file (--state)\n"
            )
            with urllib.request.urlopen(f"{url}/_emulator/sessions", timeout=30) as answer:
                assert answer.status == 200
        finally:
            first.kill()  # without a chance to tidy up
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as third:
        try:
            assert third.stdout is not None
            assert "listening" in third.stdout.readline()
        finally:
            third.send_signal(signal.SIGTERM)
    assert third.returncode == 0
    assert list(path.parent.iterdir()) == [path]


async def test_two_emulators_of_one_program_and_a_link(path: Path) -> None:
    """It is the file that counts, not its name, and a start that failed holds nothing."""
    link = path.with_name("link.json")
    link.symlink_to(path)
    async with Emulator(state=path) as first:
        with pytest.raises(StateError, match=r"link\.json is in use"):
            await Emulator(state=link).start()
        await first.aclose()
        async with Emulator(state=link):
            with pytest.raises(StateError, match="in use"):
                await first.start()
    path.write_text("something else")
    for _ in range(2):
        with pytest.raises(StateError, match="no state file"):
            await Emulator(state=path).start()
    assert {one.name for one in path.parent.iterdir()} == {"link.json", path.name}
