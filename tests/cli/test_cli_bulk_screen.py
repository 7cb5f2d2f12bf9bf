"""What a person sees of a bulk run, in terminals of several widths."""

import json
import re
from pathlib import Path

import pytest
from support.bulk_runs import COLUMNS, Desk, Place, orders
from support.faults import FaultServer, Wire, framed
from support.terminals import Sitting, sit

from frame_async.cli.wording import wrapped, wrapped_command
from frame_async.emulator import Emulator

WIDTHS = [60, 80, 120]
BAD = "bad-1,acc,\n"


def one(sitting: Sitting, pattern: str) -> str:
    """The one line that matches; there must be no other."""
    found = [line for line in sitting.terminal.shown if re.search(pattern, line)]
    assert len(found) == 1, sitting.terminal.shown
    return found[0]


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_run_from_beginning_to_end(tmp_path: Path, width: int) -> None:
    """One bar with its counts is left at the end, and no line is wider than the terminal."""
    async with Emulator(limit=None, latency=0.02) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(40) + BAD)
        sitting = await sit(place, "--limit", "1000", "--concurrency", "2", width=width)
        assert await sitting.end() == 1
    shown = sitting.terminal.shown
    assert max(map(len, shown)) <= width
    assert one(sitting, "━").endswith("41 of 41 rows, 0 s left")
    assert one(sitting, "^created") == "created 40, invalid 1"
    assert re.fullmatch(
        r"41 rows: created 40, refused 0, invalid 1, unknown 0, retried 0, [\d.]+ s",
        " ".join(line.strip() for line in shown[shown.index("created 40, invalid 1") + 1 :]),
    )
    if width == 60:
        where = shown.index("line 42 (bad-1): line_items: must have at least one item")
        assert shown[where + 1] == "    (write a product's id into line_items.0.product)"


@pytest.mark.parametrize("width", WIDTHS)
async def test_ctrl_c(tmp_path: Path, width: int) -> None:
    """After Ctrl-C one bar is left, the reason is in the summary, and the command to go on."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(100) + BAD)
        sitting = await sit(place, "--limit", "20", width=width)
        await sitting.until(
            re.compile(r"created [1-9].* waiting for the rate window,\s+next in").search
        )
    sitting.press_ctrl_c()
    assert await sitting.end() == 130
    done = int(one(sitting, "━").split("━ ")[1].split(" of 101 rows")[0])
    assert one(sitting, "stopping$") == f"created {done - 1}, invalid 1, stopping"
    assert one(sitting, "^stopped:") == "stopped: SIGINT, as Ctrl-C sends it"
    assert one(sitting, "^to go on:")
    assert max(map(len, sitting.terminal.shown)) <= width


async def test_a_window_that_is_full_already(tmp_path: Path) -> None:
    """A run that goes on knows from the store what it waits for, and how long it takes."""
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(100) + BAD)
        made = 0
        for _ in range(2):
            sitting = await sit(place, "--limit", "20")
            full = r"created [1-9]\d*, invalid 1, waiting for the rate window, next in \d+ s"
            await sitting.until(re.compile(full).search)
            assert re.search(r"of 101 rows, \d min \d\d s left", one(sitting, "━"))
            sitting.press_ctrl_c()
            await sitting.end()
            before, made = made, len(emulator.created())
        assert f"created {made} ({before} before, {made - before} now)" in "\n".join(
            sitting.terminal.shown
        )
        assert before <= made <= before + 4


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """It is said why, when the next try is, and when the run stops."""

    async def play(wire: Wire) -> None:
        if not await wire.read_request():
            return
        await wire.send(framed(wire.create()))

    async with FaultServer.playing(play) as server:
        place = Place(tmp_path, server.url, orders(3))
    sitting = await sit(place, width=120)
    told = r"created 0,.* Frame doesn't answer: connection refused,\s+trying again (in \d+ s|now)"
    await sitting.until(re.compile(told).search)
    sitting.press_ctrl_c()
    await sitting.until(lambda shown: "once more to stop now" in shown)
    sitting.press_ctrl_c()
    assert await sitting.end() == 130
    assert one(sitting, "^stopped: SIGINT")


async def test_a_burst_is_no_rate(tmp_path: Path) -> None:
    """Before a period has passed, no requests a minute are made of a burst."""
    async with Emulator(limit=None, latency=0.05) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(60))
        ran = await place.run("--limit", "1000", "--concurrency", "4", "--every", "0.1")
    assert "of 60 rows; " in ran.err
    assert "/min" not in ran.err


def test_wrong_rows_are_listed_once(desk: Desk, server: Emulator) -> None:
    """A run that goes on lists them only if they are others than those that it has listed."""
    desk.write(orders(5) + BAD)
    assert "line 7 (bad-1)" in desk.run().err
    again = desk.run().err
    assert "line 7" not in again
    assert "6 rows, 1 of them wrong, as listed before" in again
    desk.write(orders(5) + "bad-2,acc,\n")
    other = desk.run().err
    assert "line 7 (bad-2)" in other
    assert other.endswith("6 rows, 1 of them wrong\n")


def test_a_check_lists_its_problems_for_machines(desk: Desk) -> None:
    """--check --json has line, reference, field, rule and fix of each, and keeps within bounds."""
    desk.write(f"{COLUMNS},expires_in\nr1,acc,p,3\nr2,acc,,900\nr3,acc,p,900\n")
    ran = desk.run("--check", "--json")
    assert ran.status == 2
    assert ran.summary == {
        "rows": 3,
        "invalid": 2,
        "problems": [
            {
                "line": 2,
                "reference": "r1",
                "field": "expires_in",
                "rule": "must be from 900 to 86400 seconds",
                "fix": "write a whole number from 900 to 86400",
            },
            {
                "line": 3,
                "reference": "r2",
                "field": "line_items",
                "rule": "must have at least one item",
                "fix": "write a product's id into line_items.0.product",
            },
        ],
        "rows_not_listed": 0,
        "exit_status": 2,
    }
    desk.write(orders(1) + BAD * 1_200)
    told = desk.run("--check", "--json").summary
    assert (len(told["problems"]), told["rows_not_listed"]) == (1_000, 200)
    assert len(json.loads(desk.run("--strict", "--json").out)["problems"]) == 1_000


@pytest.mark.parametrize("width", range(60, 130, 7))
def test_words_wrap_with_a_hanging_indent(width: int) -> None:
    """No line is too wide, no word is cut, and what follows is indented."""
    words = "  line 7 (bad-1): expires_in: must be from 900 to 86400 seconds " * 4
    first, *rest = wrapped(words, width)
    assert first.startswith("  line")
    assert all(line.startswith("      ") and line[6] != " " for line in rest)
    assert max(map(len, [first, *rest])) <= width
    assert " ".join([first, *rest]).split() == words.split()
    assert wrapped(words, None) == [words]


def test_a_command_on_several_lines_is_still_one() -> None:
    """A shell takes the lines for the same words, quotes included."""
    command = "frame-async bulk 'my orders.csv' --map 'Order No=client_reference_id' --json"
    assert wrapped_command("to go on: ", command, None) == [f"to go on: {command}"]
    begin, *lines = wrapped_command("to go on: ", command, 60)
    assert begin == "to go on:"
    assert max(map(len, lines)) <= 60
    assert " ".join(line.strip().removesuffix("\\").strip() for line in lines) == command
    assert [line.endswith("\\") for line in lines] == [True] * (len(lines) - 1) + [False]
