"""What is recorded of a run, how runs are judged, and how they are shown as tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from support.measuring import Quartiles, quartiles, ratios

RECORD: Final = Path(__file__).parents[1] / "recorded.json"
CALLERS: Final = (1, 32, 256)
"""How many calls at a time."""
WORSE: Final = 1.05
"""An instruction ratio may be so many times the recorded one, and no more."""

LIBRARIES: Final = (
    "frame-async",
    "aiohttp",
    "uvloop",
    "aiohttp-retry",
    "httpx",
    "httpx2",
    "stripe",
    "openai",
    "squareup",
)
"""Whose versions are recorded; those of the rest are in the files of pins."""

Figures = dict[str, Any]
"""The figures of one contestant."""
Record = dict[str, Any]
"""The figures of all contestants, and under which conditions they were taken."""


def compared(own: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]]) -> Figures:
    """CPU of one contestant and of the yardstick, from the answers in the same rounds."""
    used = [answer["cpu"] for answer in own]
    low, middle, high = ratios(used, [answer["cpu"] for answer in base])
    return {
        "ratio": [round(low, 3), round(middle, 3), round(high, 3)],
        "microseconds": round(quartiles(used).middle * 1e6, 1),
        "wall": round(quartiles([answer["wall"] for answer in own]).middle * 1e6, 1),
        **{
            late: round(quartiles([answer[late] for answer in own]).middle * 1e3, 1)
            for late in ("p50", "p99")
            if late in own[0]
        },
    }


def libraries(versions: Mapping[str, str]) -> dict[str, str]:
    """The versions that are recorded."""
    known = {name.lower(): version for name, version in versions.items()}
    return {name: known[name] for name in LIBRARIES if name in known}


def load(path: Path = RECORD) -> Record:
    """The last full run."""
    record: Record = json.loads(path.read_text())
    return record


def dump(record: Record, path: Path = RECORD) -> None:
    """Record a full run."""
    path.write_text(json.dumps(record, indent=1) + "\n")


def instruction_ratios(
    counts: Mapping[str, float], yardsticks: Mapping[str, str]
) -> dict[str, float]:
    """Instructions per call as multiples of those of each contestant's yardstick."""
    return {name: round(counts[name] / counts[yardsticks[name]], 3) for name in counts}


def incomparable(record: Record, conditions: Mapping[str, str]) -> str | None:
    """Why instruction ratios can't be compared with the recorded ones; None if they can."""
    for name in ("python", "architecture"):
        then, now = record["conditions"][name], conditions[name]
        if name == "python":
            then, now = (".".join(version.split(".")[:2]) for version in (then, now))
        if then != now:
            return f"the record was made with {name} {then}, and this is {now}"
    return None


def verdicts(record: Record, measured: Mapping[str, float]) -> tuple[list[str], bool]:
    """A line for each measured instruction ratio, and whether all are good enough."""
    lines, good = [], True
    for name, ratio in measured.items():
        recorded = record["contestants"].get(name, {}).get("instruction_ratio")
        if recorded is None:
            lines.append(f"{name}: {ratio:.3f} times raw aiohttp; nothing is recorded")
            continue
        change = ratio / recorded - 1
        worse = ratio > recorded * WORSE
        good = good and not worse
        lines.append(
            f"{name}: {ratio:.3f} times raw aiohttp, recorded {recorded:.3f} ({change:+.1%})"
            + (f": more than {WORSE - 1:.0%} worse" if worse else "")
        )
    return lines, good


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table to read in a terminal: names to the left, figures to the right."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same for a page."""
    marks = ["---", *("---:" for _ in headings[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [headings, marks, *rows]) + "\n"


def shown(value: float | None, style: str = ",.0f") -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else format(value, style)


def one_at_a_time(record: Record) -> tuple[list[str], list[list[str]]]:
    """CPU and instructions of one call after the other."""
    headings = ["", "CPU ratio", "quartiles", "CPU µs", "wall µs", "instructions", "ratio"]
    rows = []
    for name, figures in record["contestants"].items():
        each = figures["callers"]["1"]
        spread = Quartiles(*each["ratio"])
        rows.append(
            [
                name,
                f"{spread.middle:.2f}",
                f"{spread.low:.2f} to {spread.high:.2f}",
                shown(each["microseconds"]),
                shown(each["wall"]),
                shown(figures.get("instructions")),
                shown(figures.get("instruction_ratio"), ".2f"),
            ]
        )
    return headings, rows


def many_at_a_time(record: Record) -> tuple[list[str], list[list[str]]]:
    """CPU, latency and memory with many calls at a time."""
    headings = ["", *(f"CPU µs at {callers}" for callers in CALLERS), "p50 ms at 256"]
    headings += ["p99 ms at 256", "10,000 against 1,000", "peak MB", "kB a call in flight"]
    rows = []
    for name, figures in record["contestants"].items():
        each, thousands = figures["callers"], figures.get("thousands")
        rows.append(
            [
                name,
                *(shown(each.get(str(callers), {}).get("microseconds")) for callers in CALLERS),
                *(shown(each.get("256", {}).get(late), ",.0f") for late in ("p50", "p99")),
                thousands if isinstance(thousands, str) else shown(thousands, ".2f"),
                shown(figures.get("peak"), ".1f"),
                shown(figures.get("in_flight"), ".1f"),
            ]
        )
    return headings, rows
