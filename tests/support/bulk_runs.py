"""The command ``frame-async bulk`` as an operations engineer runs it: processes, files, kills."""

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

import frame_async
from frame_async.cli.commands import cli

KEY = "sk_sandbox_emulator"
COLUMNS = "client_reference_id,account,line_items.0.product"


def orders(count: int, first: int = 0) -> str:
    """A CSV file of good rows: order-0, order-1, and so on."""
    rows = "".join(f"order-{n},acc,prod_1\n" for n in range(first, first + count))
    return f"{COLUMNS}\n{rows}"


@frozen
class Ran:
    """What a run of the command left behind."""

    status: int
    out: str
    err: str

    @property
    def summary(self) -> Mapping[str, Any]:
        """Its ``--json``."""
        return dict(json.loads(self.out))


@define
class Place:
    """A folder with a file of orders, an output beside it, and a server somewhere."""

    folder: Path
    base_url: str | None = None
    text: str | bytes = field(default="", repr=False)
    name: str = "orders.csv"
    result: str = "out.jsonl"

    def __attrs_post_init__(self) -> None:
        data = self.text if isinstance(self.text, bytes) else self.text.encode()
        self.orders.write_bytes(data)

    @property
    def orders(self) -> Path:
        """The input."""
        return self.folder / self.name

    @property
    def output(self) -> Path:
        """Where results go."""
        return self.folder / self.result

    @property
    def state(self) -> Path:
        """Where the state goes by default."""
        return self.folder / f"{self.result}.state"

    def words(self, *options: str, output: str | None = None) -> list[str]:
        """The command line, as fast as it goes unless told otherwise."""
        limit = () if "--limit" in options else ("--limit", "0")
        names = [str(self.orders), "-o", output or str(self.output)]
        return [
            sys.executable,
            "-W",
            "error",
            "-m",
            "frame_async",
            "bulk",
            *names,
            *limit,
            *options,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        """What the command finds in its environment."""
        root = str(Path(frame_async.__file__).parent.parent)
        named = {"FRAME_SECRET_KEY": KEY, "PYTHONPATH": root, "COLUMNS": "200"}
        if self.base_url:
            named["FRAME_API_BASE_URL"] = self.base_url
        return os.environ | named | more

    async def start(self, *options: str, **more: Any) -> asyncio.subprocess.Process:
        """Start the command."""
        output = more.pop("output", None)
        env = self.environment(**more.pop("env", {}))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        return await asyncio.create_subprocess_exec(
            *self.words(*options, output=output), env=env, **pipes
        )

    async def run(self, *options: str, given: bytes | None = None, **more: Any) -> Ran:
        """Run the command to its end."""
        if given is not None:
            more["stdin"] = subprocess.PIPE
        process = await self.start(*options, **more)
        return await ended(process, given)

    def results(self) -> list[dict[str, Any]]:
        """The lines of the output, each of which must be whole."""
        data = self.output.read_bytes()
        assert not data or data.endswith(b"\n")
        if self.result.endswith(".csv"):
            return list(csv.DictReader(data.decode().splitlines()))
        return [json.loads(line) for line in data.splitlines()]

    def check_complete(self, references: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Exactly one result for each reference, by reference."""
        results = self.results()
        counted = Counter(result["reference"] for result in results)
        assert counted == Counter(references)
        return {result["reference"]: result for result in results}


async def ended(process: asyncio.subprocess.Process, given: bytes | None = None) -> Ran:
    """Wait for the end of the command; it must never show a traceback."""
    async with asyncio.timeout(900):
        out, err = await process.communicate(given)
    assert b"Traceback" not in (err or b""), (err or b"").decode()
    assert process.returncode is not None
    return Ran(process.returncode, (out or b"").decode(), (err or b"").decode())


async def interrupted(
    process: asyncio.subprocess.Process, *signals: signal.Signals, after: float = 0.0
) -> Ran:
    """Send signals, one after the other, and wait for the end."""
    await asyncio.sleep(after)
    for number in signals:
        with suppress(ProcessLookupError):  # the one before was enough
            process.send_signal(number)
        await asyncio.sleep(0.1)
    return await ended(process)


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.002)


def check_doubles(
    results: Mapping[str, Mapping[str, Any]],
    created: Mapping[str, Sequence[str]],
    summary: Mapping[str, Any],
) -> int:
    """Every second session belongs to a row that the summary lists; how many rows have one."""
    listed = {row["reference"]: row["possible_duplicates"] for row in summary["in_doubt"]}
    doubled = 0
    for reference, ids in created.items():
        result = results[reference]
        if result["result"] == "created":
            assert result["session_id"] in ids
        beside = len(ids) - (result["result"] == "created")
        if beside:
            doubled += 1
            assert listed.get(reference, 0) >= beside, (reference, ids, listed.get(reference))
    return doubled


@contextmanager
def beside(server: Any) -> Iterator[Any]:
    """A server (emulator or fault server) on a loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    try:
        do(server.__aenter__())
        try:
            yield server
        finally:
            do(server.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@define
class Desk:
    """The command, run in this process: quick, for everything that needs no process."""

    place: Place
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]

    def run(self, *options: str, given: bytes = b"", key: str = KEY, source: str = "") -> Ran:
        """Run ``frame-async bulk``."""
        words = self.place.words(*options)[5:]
        if source:
            words[1] = source
        return self.invoke(words, given, key)

    def invoke(self, words: Sequence[str], given: bytes = b"", key: str = KEY) -> Ran:
        """Run ``frame-async`` with these words."""
        patch = self.monkeypatch
        patch.setattr(sys, "argv", ["frame-async", *words])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        patch.setenv("FRAME_SECRET_KEY", key)
        if self.place.base_url:
            patch.setenv("FRAME_API_BASE_URL", self.place.base_url)
        patch.setenv("COLUMNS", "200")
        self.capfd.readouterr()
        try:
            cli.main(list(words), prog_name="frame-async")
        except SystemExit as end:
            status = end.code
        out, err = self.capfd.readouterr()
        assert "Traceback" not in err, err
        assert isinstance(status, int)
        return Ran(status, out, err)

    def write(self, text: str | bytes, name: str = "") -> None:
        """Another input."""
        if name:
            self.place.name = name
        self.place.orders.write_bytes(text if isinstance(text, bytes) else text.encode())
