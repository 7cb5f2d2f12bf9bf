"""What a call costs with this library, with raw aiohttp, and with other libraries and SDKs.

``nox -s bench`` runs it; see docs/explanation/speed.md. Everything is compared in one run, on
the same work: 270 bytes of JSON are posted to the cheapest possible server on another core, by
the name localhost, and 390 bytes come back. Each contestant is a process of its own, and raw
aiohttp is in each of them, too: figures are CPU time per call as a multiple of raw aiohttp's in
the same process and round, rounds are shuffled.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.rivals import figures
from benchmarks.rivals.contestants import (
    CONTESTANTS,
    ROOT,
    YARDSTICKS,
    Contestant,
    chosen,
    command,
    environ,
)
from benchmarks.rivals.processes import Process, allow_many_files, started
from benchmarks.rivals.worker import YARDSTICK
from support.cheapest import PatientSessions, serve, serve_sessions
from support.measuring import instructions_per_call, rounds, serving

CHECKED = ("frame_async", "frame_async, own key")
BLOCK = 100
FLIGHT = 1_000
PATIENCE = 30.0
"""CPU seconds for 10,000 calls at a time; a busy machine may take four times as long."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say what is going on, and how long it took."""
    began = time.monotonic()
    print(f"{name} ...", end="", file=sys.stderr, flush=True)
    yield
    print(f" {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def conditions() -> dict[str, str]:
    """The machine."""
    try:
        cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].split("\n")[0]
    except OSError:
        cpu = platform.processor()
    return {
        "day": time.strftime("%Y-%m-%d"),
        "cpu": cpu.strip("\t :") or "unknown",
        "cores": str(os.cpu_count()),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def time_rounds(processes: dict[str, Process], callers: int, times: int, calls: int) -> None:
    """Blocks of calls in shuffled rounds, the yardstick's among them; keep the answers."""
    turns = {
        f"{name}/{way}": (process, way)
        for name, process in processes.items()
        for way in dict.fromkeys((YARDSTICK, process.contestant.way))
    }
    for order in rounds(list(turns), times):
        for turn in order:
            process, way = turns[turn]
            answer = process.ask("block", way=way, calls=calls, callers=callers)
            process.answers.setdefault((callers, way), []).append(answer)


def thousands(process: Process) -> float | str:
    """CPU of a call among 10,000 at a time, as a multiple of that among 1,000."""
    way = process.contestant.way
    thousand: dict[str, Any] = {"way": way, "calls": 1_000, "callers": 1_000}
    try:
        # With more calls at a time, none gets cheaper.
        if process.answers[figures.CALLERS[-1], way][-1]["cpu"] * 10_000 > PATIENCE:
            raise TimeoutError
        few = [float(process.ask("block", **thousand)["cpu"]) for _ in range(3)]
        many = process.ask("block", within=4 * PATIENCE, way=way, calls=10_000, callers=10_000)
    except TimeoutError:
        return f"over {PATIENCE:.0f} s"
    return round(float(many["cpu"]) / statistics.median(few), 2)


def time_all(contestants: Sequence[Contestant], port: int, times: int) -> dict[str, Any]:
    """CPU, wall time and latency of all contestants, and the versions that they have."""
    found: dict[str, Any] = {"contestants": {}, "versions": {}}
    with started(contestants, port) as processes:
        for process in processes.values():
            found["versions"] |= figures.libraries(process.ask("versions"))
        with stage("one call at a time"):
            time_rounds(processes, 1, times, BLOCK)
        for callers in figures.CALLERS[1:]:
            with stage(f"{callers} calls at a time"):
                time_rounds(processes, callers, max(3, times // 5), max(2 * callers, BLOCK))
        with stage("10,000 calls at a time"):
            for name, process in processes.items():
                found["contestants"][name] = {
                    "callers": process.compared(figures.CALLERS),
                    "thousands": thousands(process),
                }
    return found


def weigh(one: Contestant, port: int) -> dict[str, float]:
    """Memory: the most that its process had, in MB, and what a call in flight takes, in kB."""
    with started([one], port) as processes:
        peak = processes[one.name].ask("peak", way=one.way)["bytes"]
    with serving(serve, PatientSessions) as patient, started([one], patient, "--wide") as processes:
        each = processes[one.name].ask("in flight", way=one.way, calls=FLIGHT)["each"]
    return {"peak": round(peak / 1e6, 1), "in_flight": round(each / 1e3, 1)}


def count_all(contestants: Sequence[Contestant], port: int) -> dict[str, float]:
    """Instructions per call; two are counted at a time, because counts don't mind."""

    def count(one: Contestant) -> float:
        return instructions_per_call(
            lambda words: command(one, port, "--counted", words),
            (50, 300) if one.environment in {None, "aiohttp"} else (20, 80),
            env=environ(one),
        )

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        counts = pool.map(count, contestants)
        return {one.name: round(each) for one, each in zip(contestants, counts, strict=True)}


def compare(contestants: Sequence[Contestant], times: int, *, count: bool) -> figures.Record:
    """A full run."""
    allow_many_files()
    with serving(serve_sessions) as port:
        record: figures.Record = {"conditions": conditions(), **time_all(contestants, port, times)}
        if sys.platform == "linux":
            with stage("memory"):
                for one in contestants:
                    record["contestants"][one.name] |= weigh(one, port)
        if count and shutil.which("valgrind"):
            with stage("instructions"):
                counts = count_all(contestants, port)
            yardsticks = {one.name: one.yardstick for one in contestants}
            for name, ratio in figures.instruction_ratios(counts, yardsticks).items():
                own = record["contestants"][name]
                own |= {"instructions": counts[name], "instruction_ratio": ratio}
    return record


def check() -> int:
    """Whether our instruction ratios are as good as recorded; 1 if not."""
    if not shutil.which("valgrind"):
        print("valgrind is not here: instructions are not counted, nothing is checked")
        return 0
    record = figures.load()
    if reason := figures.incomparable(record, conditions()):
        print(f"{reason}: instruction ratios are not comparable, nothing is checked")
        return 0
    names = {*CHECKED, YARDSTICKS["asyncio"]}
    contestants = [one for one in CONTESTANTS if one.name in names]
    with serving(serve_sessions) as port:
        counts = count_all(contestants, port)
    measured = figures.instruction_ratios(counts, {one.name: one.yardstick for one in contestants})
    lines, good = figures.verdicts(record, {name: measured[name] for name in CHECKED})
    print("\n".join(lines))
    if not good:
        print("If this is meant: `nox -s bench -- --record` makes a new record.")
    return 0 if good else 1


def keep(record: figures.Record) -> None:
    """Write what the documentation shows of a run."""
    from benchmarks.rivals.page import refresh
    from benchmarks.rivals.plot import draw

    figures.dump(record)
    draw(record, ROOT / "docs" / "_static" / "speed.svg")
    refresh(record)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="words of the names of who is compared; all")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of one call at a time")
    parser.add_argument("--no-count", action="store_true", help="count no instructions")
    parser.add_argument("--check", action="store_true", help="fail if we are worse than recorded")
    parser.add_argument("--record", action="store_true", help="write the record, plot and page")
    given = parser.parse_args()
    if given.check:
        return check()
    if given.record and (given.only or given.no_count):
        parser.error("--record is for a full run: leave out names and --no-count")
    if given.record and not shutil.which("valgrind"):
        parser.error("--record needs valgrind, which counts instructions: install it first")
    record = compare(chosen(given.only), given.rounds, count=not given.no_count)
    print(figures.table(*figures.one_at_a_time(record)), end="\n\n")
    print(figures.table(*figures.many_at_a_time(record)))
    if given.record:
        keep(record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
