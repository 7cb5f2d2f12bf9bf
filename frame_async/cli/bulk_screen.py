"""What a bulk run shows while it goes: a bar in a terminal, else a line now and then.

Whoever looked may be gone, so nothing here ever fails because of that.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from frame_async.bulk.file_run import FileRun
from frame_async.bulk.rows import Row
from frame_async.bulk.state import RowResult

_GONE: Final = (OSError, ValueError)
_BETWEEN_FRAMES: Final = 0.25


class Screen:
    """Where notes, problems and progress go."""

    def __init__(self, file: TextIO, every: float = 10.0) -> None:
        self.console = Console(file=file, highlight=False)
        self.every = every
        """Seconds between two lines of progress where there is no terminal."""

    def say(self, text: str) -> None:
        """Write one line."""
        with suppress(*_GONE):
            self.console.print(Text(_printable(text)), soft_wrap=True)

    def show_wrong(self, row: Row) -> None:
        """Write every problem of a row: line, reference, field, rule, fix."""
        name = f"line {row.line}" + (f" ({row.reference})" if row.reference else "")
        for problem in row.problems:
            self.say(f"{name}: {problem}")

    def show_checking(self, rows: int, doing: str = "checking") -> None:
        """Write how far a check is, over and over in the same place."""
        if self.console.is_terminal:
            with suppress(*_GONE):
                self.console.print(Text(f"{doing}: {rows:,} rows"), end="\r")


@asynccontextmanager
async def watch(run: FileRun, total: int, screen: Screen) -> AsyncGenerator[None]:
    """Show how a run goes, until the block is left."""
    show = _bar if screen.console.is_terminal else _lines
    showing = asyncio.create_task(show(run, total, screen))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError, *_GONE):
            await showing


async def _lines(run: FileRun, total: int, screen: Screen) -> None:
    while True:
        await asyncio.sleep(screen.every)
        # In a thread, because a terminal that was stopped with Ctrl-S holds up who writes to it.
        await asyncio.to_thread(
            screen.say, f"{run.numbers.done:,} of {total:,} rows; {_status(run, total)}"
        )


async def _bar(run: FileRun, total: int, screen: Screen) -> None:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        console=screen.console,
        auto_refresh=False,
        expand=True,
    )
    task = progress.add_task("creating", total=total, status="")
    with progress:
        try:
            while True:
                await asyncio.to_thread(_refresh, progress, task, run, total)
                await asyncio.sleep(_BETWEEN_FRAMES)
        finally:
            _refresh(progress, task, run, total)


def _refresh(progress: Progress, task: TaskID, run: FileRun, total: int) -> None:
    progress.update(task, completed=run.numbers.done, status=_status(run, total))
    progress.refresh()


def _status(run: FileRun, total: int) -> str:
    numbers, forecast, now = run.numbers, run.forecast, time.monotonic()
    refused = numbers.ended[RowResult.REFUSED] + numbers.ended[RowResult.INVALID]
    parts = [f"refused {refused:,}", f"retried {numbers.retries:,}"]
    if unknown := numbers.ended[RowResult.UNKNOWN]:
        parts.append(f"unknown {unknown:,}")
    parts.append(f"{forecast.rate(now):,.0f}/min")
    if forecast.limit is not None:
        used = forecast.in_window(now) / forecast.limit.requests
        parts.append(f"window {used:.0%}")
    if run.outage.why:
        return ", ".join([*parts, f"no answer, waiting {run.outage.pause(now):.0f} s"])
    left = forecast.left(total - numbers.done, now)
    return ", ".join([*parts, f"{duration(left)} left"])


def duration(seconds: float | None) -> str:
    """Seconds in words, such as ``3 h 07 min``; ``?`` when nobody knows."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
