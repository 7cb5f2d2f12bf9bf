"""The comparison's arithmetic, judgement and tables; that processes really do as they are asked."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import compare
from benchmarks.rivals import figures, page
from benchmarks.rivals.contestants import CONTESTANTS, HERE, Contestant, chosen
from benchmarks.rivals.processes import started
from benchmarks.rivals.ways import WAYS
from support.cheapest import PatientSessions, serve, serve_sessions
from support.measuring import at_once, quartiles, ratios, refs, rounds, serving

processes_can_be_asked = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows can't wait for pipes"
)
CHARGE = {"ratio": [1.9, 2.0, 2.1], "microseconds": 400.0, "wall": 600.0}


def record(**ratios_of: float) -> figures.Record:
    """A record with these instruction ratios."""
    return {
        "conditions": {"day": "2026-11-23", "cpu": "some", "cores": "2", "system": "Linux 6"}
        | {"python": "3.11.7", "architecture": "x86_64"},
        "versions": figures.libraries({"idna": "3.20", "Stripe": "16.1.0", "aiohttp": "3.14.5"}),
        "contestants": {
            name: {"callers": {"1": CHARGE}, "thousands": "over 30 s", "instruction_ratio": ratio}
            for name, ratio in ratios_of.items()
        },
    }


def test_ratios_are_within_a_round() -> None:
    """A machine that slows down twofold halfway changes no ratio."""
    assert ratios([2.0, 2.0, 4.0, 4.0], [1.0, 1.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)


def test_ratios_need_the_same_rounds() -> None:
    """Figures of other rounds than the yardstick's are refused."""
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_quartiles() -> None:
    """The median and what a quarter of the figures is below and above; one figure is all three."""
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_rounds_are_shuffled_and_whole() -> None:
    """Every round has all names, not always in one order, and the same in every run."""
    names = list("abcde")
    made = list(rounds(names, 20))
    assert all(sorted(order) == names for order in made)
    assert len({tuple(order) for order in made}) > 10
    assert made == list(rounds(names, 20))


def test_compared() -> None:
    """CPU is compared round by round; times are medians, in microseconds and milliseconds."""
    own = [{"cpu": cpu, "wall": 3e-4, "p50": 0.01, "p99": 0.02} for cpu in (2e-4, 4e-4, 6e-4)]
    base = [{"cpu": cpu, "wall": 1e-4} for cpu in (1e-4, 2e-4, 2e-4)]
    assert figures.compared(own, base) == {
        "ratio": [2.0, 2.0, 2.5],
        "microseconds": 400.0,
        "wall": 300.0,
        "p50": 10.0,
        "p99": 20.0,
    }


def test_instruction_ratios_are_to_the_own_yardstick() -> None:
    """On uvloop, raw aiohttp on uvloop is the yardstick."""
    counts = {one.name: 800_000.0 for one in CONTESTANTS}
    counts |= {"aiohttp, bytes": 400_000, "aiohttp, bytes, uvloop": 320_000}
    found = figures.instruction_ratios(counts, {one.name: one.yardstick for one in CONTESTANTS})
    assert found["frame_async"] == 2.0
    assert found["frame_async, uvloop"] == 2.5
    assert found["aiohttp, bytes"] == 1.0


@pytest.mark.parametrize(
    ("ratio", "good"), [(1.0, True), (2.0, True), (2.09, True), (2.11, False), (9.0, False)]
)
def test_check_allows_five_per_cent(ratio: float, good: bool) -> None:
    """A ratio that is more than 5 % worse than the recorded one fails; a better one never does."""
    lines, found = figures.verdicts(record(ours=2.0), {"ours": ratio})
    assert found is good
    assert ("worse" in lines[0]) is not good


def test_check_fails_when_one_of_several_is_worse() -> None:
    """A better ratio doesn't make up for a worse one."""
    lines, good = figures.verdicts(record(a=2.0, b=2.0), {"a": 3.0, "b": 1.0})
    assert not good
    assert lines[0] == "a: 3.000 times raw aiohttp, recorded 2.000 (+50.0%): more than 5% worse"
    assert lines[1] == "b: 1.000 times raw aiohttp, recorded 2.000 (-50.0%)"


def test_check_says_when_nothing_is_recorded() -> None:
    """A contestant without a recorded ratio is named, and is no failure."""
    lines, good = figures.verdicts(record(), {"new": 2.0})
    assert good
    assert lines == ["new: 2.000 times raw aiohttp; nothing is recorded"]


def test_counts_of_another_python_are_not_compared() -> None:
    """A patch release compares; another minor version or processor doesn't, and says so."""
    here = {"python": "3.11.9", "architecture": "x86_64"}
    assert figures.incomparable(record(), here) is None
    other = figures.incomparable(record(), here | {"python": "3.13.0"})
    assert other == "the record was made with python 3.11, and this is 3.13"
    assert "arm64" in str(figures.incomparable(record(), here | {"architecture": "arm64"}))


def test_check_without_valgrind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where valgrind is missing, the check passes and says that nothing was checked."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert compare.check() == 0
    assert "nothing is checked" in capsys.readouterr().out


@pytest.mark.parametrize(("ours", "code"), [(800_000.0, 0), (900_000.0, 1)])
def test_check_compares_counts_with_the_record(
    ours: float,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit code is 1 when a count is too high, and the words say how to accept it."""
    known = record(**dict.fromkeys(compare.CHECKED, 2.0))
    counts = {compare.CHECKED[0]: ours, compare.CHECKED[1]: 800_000.0, "aiohttp, bytes": 400_000.0}
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(figures, "load", lambda: known)
    monkeypatch.setattr(compare, "conditions", lambda: known["conditions"])
    monkeypatch.setattr(
        compare,
        "count_all",
        lambda contestants, port: {one.name: counts[one.name] for one in contestants},
    )
    assert compare.check() == code
    assert ("--record" in capsys.readouterr().out) is bool(code)


def test_table_in_a_terminal() -> None:
    """Names are to the left, figures to the right, and a missing figure is a dash."""
    assert figures.table(["", "CPU"], [["ours", "2"], ["a longer name", "10.5"]]).splitlines() == [
        "                CPU",
        "ours              2",
        "a longer name  10.5",
    ]
    headings, rows = figures.many_at_a_time(record(ours=2.0))
    shown = figures.table(headings, rows).splitlines()[1].split("  ")
    assert [cell.strip() for cell in shown if cell.strip()] == [
        "ours", "400", "-", "-", "-", "-", "over 30 s", "-", "-",
    ]  # fmt: skip


def test_page_takes_other_figures() -> None:
    """Figures go between the marks, again and again, and the rest of the page stays."""
    once = page.with_section(f"before\n{page.BEGIN}old\n{page.END}after\n", "new\n")
    assert once == f"before\n{page.BEGIN}new\n{page.END}after\n"
    assert page.with_section(once, "new\n") == once
    with pytest.raises(ValueError, match="marks"):
        page.with_section("no marks", "new")


def test_section_names_machine_and_versions() -> None:
    """The section says when, where and with which versions, and has one row a contestant."""
    text = page.section(record(ours=2.0))
    assert text.startswith("2026-11-23: Python 3.11.7, Linux 6 on x86_64, 2 cores (some).\n")
    assert "aiohttp 3.14.5, stripe 16.1.0.\n" in text
    assert "| ours | 2.00 | 1.90 to 2.10 | 400 | 600 | - | 2.00 |\n" in text


def test_page_has_the_recorded_figures() -> None:
    """The documentation shows the run that is recorded; if not, make them anew with --record."""
    assert page.section(figures.load()) in page.PAGE.read_text()


def test_record_has_everyone() -> None:
    """Every contestant is in the record, with an instruction ratio."""
    found = figures.load()["contestants"]
    assert list(found) == [one.name for one in CONTESTANTS]
    assert all(each["instruction_ratio"] > 0 for each in found.values())


def test_contestants_have_pins_and_ways() -> None:
    """Every contestant has a way to post, exact versions of what it needs, and a yardstick."""
    assert {one.way for one in CONTESTANTS} == set(WAYS)
    for one in CONTESTANTS:
        assert one.yardstick in {other.name for other in CONTESTANTS}
        if one.environment is not None:
            lines = (HERE / f"{one.environment}.txt").read_text().splitlines()
            pins = [line for line in lines if not line.startswith("#")]
            assert all("==" in pin for pin in pins)
            assert any(pin.startswith("aiohttp==") for pin in pins)


def test_chosen_brings_the_yardstick() -> None:
    """Words choose by name, in any case, and the yardstick comes along."""
    assert [one.name for one in chosen(["STRIPE"])] == [
        "aiohttp, bytes",
        "Stripe's SDK, on aiohttp",
        "Stripe's SDK",
    ]
    assert chosen([]) == list(CONTESTANTS)


def test_instructions_of_forks() -> None:
    """Counts come fewest first: the parent's, the short run's and the long run's."""
    reports = ["==7== I   refs:      1,000\n", "==9== I refs: 30\n", "==8== I refs:   200\n", ""]
    assert refs(iter(reports)) == [30, 200, 1000]


async def test_at_once_makes_so_many_calls() -> None:
    """So many calls are made in all, and never more than allowed at the same time."""
    made = now = most = 0

    async def make() -> None:
        nonlocal made, now, most
        made, now = made + 1, now + 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    await at_once(make, 100, 7)
    assert (made, most) == (100, 7)


FORKING = """
from pathlib import Path
from support.measuring import run_each

def run(calls):
    if calls == 13:
        raise SystemExit(3)
    Path(str(calls)).touch()

run_each("3,5,13,7", run)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_run_each_runs_each_in_a_fork(tmp_path: Path) -> None:
    """Each number of calls runs in a process of its own, and a failure is not swallowed."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, "-c", FORKING]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "5"]


@processes_can_be_asked
def test_a_process_makes_calls() -> None:
    """Our process and the yardstick in it make calls, and say what they took."""
    one = next(one for one in CONTESTANTS if one.name == "frame_async, own key")
    with serving(serve_sessions) as port, started([one], port) as processes:
        process = processes[one.name]
        for way in ("raw", one.way):
            for callers in (1, 8):
                answer = process.ask("block", way=way, calls=16, callers=callers)
                assert answer["cpu"] > 0
                assert ("p99" in answer) is (callers > 1)
                process.answers.setdefault((callers, way), []).append(answer)
        assert process.compared([1, 8])["8"]["ratio"][1] > 0
        assert process.ask("versions")["aiohttp"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_process_is_weighed_while_calls_are_in_flight() -> None:
    """The patient server lets all calls be in flight at once, then answers all of them."""
    one = next(one for one in CONTESTANTS if one.name == "frame_async")
    with serving(serve, PatientSessions) as port, started([one], port, "--wide") as processes:
        answer = processes[one.name].ask("in flight", way=one.way, calls=300)
    assert answer["each"] > 1_000


@processes_can_be_asked
def test_a_process_that_takes_too_long_is_given_up() -> None:
    """Who takes longer than is waited for is ended, and the driver goes on."""
    one = Contestant("by hand", "by hand")
    with serving(serve_sessions) as port, started([one], port) as processes:
        with pytest.raises(TimeoutError, match="by hand took more than 0 s"):
            processes[one.name].ask("block", within=0.01, way="by hand", calls=10**7, callers=1)


@processes_can_be_asked
def test_a_process_that_ends_is_said() -> None:
    """A way that isn't there ends the process, and the driver says whose it was."""
    one = Contestant("by hand", "by hand")
    with serving(serve_sessions) as port, started([one], port) as processes:
        with pytest.raises(RuntimeError, match="by hand ended"):
            processes[one.name].ask("block", way="none", calls=1, callers=1)


def test_records_read_as_written(tmp_path: Path) -> None:
    """A record is the same after it was written and read."""
    path = tmp_path / "recorded.json"
    figures.dump(record(ours=2.0), path)
    assert figures.load(path) == record(ours=2.0)
    kept: Any = json.loads(path.read_text())
    assert kept["contestants"]["ours"]["callers"]["1"] == CHARGE
