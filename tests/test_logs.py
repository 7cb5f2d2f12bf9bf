"""``FRAME_LOG``: the log of a script, without a line of code."""

import json
import os
import re
import subprocess
import sys

import pytest

from frame_async import FrameClient
from frame_async.errors import ConfigurationError

SCRIPT = """
import asyncio, logging
from frame_async import FrameClient, LineItem
from frame_async.emulator import Emulator

async def main():
    async with Emulator(limit=None) as emulator:
        emulator.add_fault("read_and_drop", times=1)
        for key in ("order-1", "order-2"):
            async with FrameClient(emulator.api_key, base_url=emulator.base_url) as frame:
                await frame.payment_link_sessions.create(
                    line_items=[LineItem(product="p")], idempotency_key=key
                )

%s
asyncio.run(main())
"""


def logged(level: str, before: str = "") -> list[str]:
    """The lines that a script logs."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT % before],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"FRAME_LOG": level},
    )
    assert "sk_sandbox" not in ran.stderr
    return ran.stderr.splitlines()


def test_levels() -> None:
    """Each level has its lines, with time, level and logger; two clients log a line once."""
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING) frame_async: ")
    found = {level: logged(level) for level in ("warning", "info", "debug")}
    assert all(line.match(each) for lines in found.values() for each in lines)
    assert 0 < len(found["warning"]) < len(found["info"]) < len(found["debug"])
    assert len(found["debug"]) == len({each[24:] for each in found["debug"]})
    assert sum("order-2" in each for each in found["info"]) == 0
    first, same = (re.sub("[0-9]+", "#", each[0]) for each in (logged("text:INFO"), found["info"]))
    assert first == same


def test_json() -> None:
    """Each line is an object with time, level, logger and message."""
    lines = [json.loads(line) for line in logged("json:info")]
    assert {frozenset(line) for line in lines} == {
        frozenset(("time", "level", "logger", "message"))
    }
    assert {line["logger"] for line in lines} == {"frame_async"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", lines[0]["time"])


def test_an_application_with_a_log_of_its_own() -> None:
    """Where logging is set up already, only the level changes: no line is there twice."""
    own = "logging.basicConfig(format='own %(message)s')"
    lines = logged("info", own)
    assert lines
    assert all(line.startswith("own ") for line in lines)
    assert [line[:11] for line in logged("", own)] == [line[:11] for line in logged("warning", own)]


@pytest.mark.parametrize("said", ["loud", "yaml:info", "json:", ":info", "json", "info:json", " "])
def test_what_it_can_not_say(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is refused when a client is made, by name."""
    monkeypatch.setenv("FRAME_LOG", said)
    with pytest.raises(ConfigurationError, match="FRAME_LOG must be debug, info or warning"):
        FrameClient("sk_sandbox_1")
