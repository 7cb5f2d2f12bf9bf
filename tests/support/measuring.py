"""How benchmarks time, count and compare; only the standard library is needed.

CPU times drift by half within minutes on a busy machine, so variants are compared in shuffled
rounds and each time is divided by that of the yardstick in the same round. Instructions
come out the same in every run, whatever else the machine does.
"""

import asyncio
import multiprocessing
import os
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

Make = Callable[[], Awaitable[object]]
"""Makes one call."""

SERVERS_CORE: Final = -1
CLIENTS_CORE: Final = 0
COUNTING: Final = ("valgrind", "--tool=cachegrind", "--cache-sim=no")


class Quartiles(NamedTuple):
    """The median of some figures, and the quartiles around it."""

    low: float
    middle: float
    high: float


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles of one or more figures."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(values: Sequence[float], base: Sequence[float]) -> Quartiles:
    """Quartiles of figures as multiples of those that were taken in the same rounds."""
    return quartiles([value / yardstick for value, yardstick in zip(values, base, strict=True)])


def rounds(names: Sequence[str], times: int, seed: int = 1) -> Iterator[list[str]]:
    """All names, so many times, each time in another order."""
    chance = random.Random(seed)
    for _ in range(times):
        yield chance.sample(names, len(names))


async def repeat(make: Make, times: int) -> None:
    """Make calls one after the other."""
    for _ in range(times):
        await make()


async def at_once(make: Make, times: int, callers: int) -> None:
    """Make so many calls in all, never more than `callers` of them at the same time."""
    turns = iter(range(times))

    async def caller() -> None:
        for _ in turns:
            await make()

    await asyncio.gather(*(caller() for _ in range(callers)))


async def time_rounds(
    makes: Mapping[str, Make], times: int, size: int = 200
) -> dict[str, list[float]]:
    """CPU seconds of this process per call, one figure for each round."""
    taken: dict[str, list[float]] = {name: [] for name in makes}
    for make in makes.values():
        await repeat(make, size)
    for order in rounds(list(makes), times):
        for name in order:
            began = time.process_time()
            await repeat(makes[name], size)
            taken[name].append((time.process_time() - began) / size)
    return taken


def times_shown(taken: Mapping[str, Sequence[float]], base: str) -> str:
    """The times of all variants, and their ratios to the yardstick's, a line each."""
    lines = []
    for name, values in taken.items():
        low, middle, high = ratios(values, taken[base])
        lines.append(
            f"{name:36} {statistics.median(values) * 1e6:7.1f} us  "
            f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
        )
    return "\n".join(lines)


def instructions_shown(each: Mapping[str, float], base: str) -> str:
    """The instructions of all variants, and their ratios to the yardstick's, a line each."""
    return "\n".join(
        f"{name:36} {count:11,.0f} instructions  ratio {count / each[base]:.3f}"
        for name, count in each.items()
    )


def instructions_per_call(
    command: Callable[[str], Sequence[str]], calls: tuple[int, int], **options: Any
) -> float:
    """Instructions of one call: those of a long run less those of a short one.

    Args:
        command: the command that makes as many calls as the word it is given says: one
            number of calls, or several with commas between.
        calls: how many in the short and in the long run.
        options: passed on to the process.

    The process forks for each number of calls, so that what comes before the first call is
    counted in both, and done once. One more process comes before it, uncounted, so that no
    module is compiled in the shorter run alone.
    """
    subprocess.run(command("1"), capture_output=True, check=False, **options)
    with tempfile.TemporaryDirectory(prefix="frame-async-bench-") as folder:
        counting = [*COUNTING, "--cachegrind-out-file=/dev/null", f"--log-file={folder}/%p"]
        words = [*counting, *command(",".join(map(str, calls)))]
        done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        few, many = refs(path.read_text() for path in Path(folder).iterdir())[-2:]
    return (many - few) / (calls[1] - calls[0])


def refs(reports: Iterator[str]) -> list[int]:
    """The instructions that cachegrind counted in each process, fewest first."""
    found = [re.search(r"I +refs: +([\d,]+)", report) for report in reports]
    return sorted(int(match.group(1).replace(",", "")) for match in found if match)


def run_each(calls: str, run: Callable[[int], None]) -> None:
    """What a process does that is counted: each number of calls in a fork of its own."""
    for count in calls.split(","):
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if status:
                raise SystemExit(1)
            continue
        code = 1
        try:
            run(int(count))
            code = 0
        finally:
            os._exit(code)


def pin(core: int) -> None:
    """Keep this process to one core of those it may use, where there are several."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core]})


def _end_with_parent() -> None:
    """Leave no server behind where the benchmark was killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _pinned(serve: Callable[..., None], ready: Connection, arguments: tuple[Any, ...]) -> None:
    pin(SERVERS_CORE)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(ready, *arguments)


@contextmanager
def serving(serve: Callable[..., None], *arguments: Any) -> Iterator[int]:
    """Run a server in another process, on another core; give its port."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=_pinned, args=(serve, there, arguments), daemon=True)
    server.start()
    try:
        yield int(here.recv())
    finally:
        server.terminate()
        server.join()
