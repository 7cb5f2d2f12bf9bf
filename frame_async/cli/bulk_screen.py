"""What a bulk run shows while it goes: a bar in a terminal, else a line now and then.

Whoever looked may be gone, so nothing here ever fails because of that.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, TextIO

from attrs import frozen
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from frame_async.bulk.file_run import FileRun
from frame_async.bulk.rows import Row
from frame_async.bulk.state import RowResult
from frame_async.bulk.waiting import Waits
from frame_async.cli.wording import printable, wrapped

_GONE: Final = (OSError, ValueError)
_BETWEEN_FRAMES: Final = 0.25
_ROOM: Final = 4


class Screen:
    """Where notes, problems and progress go."""

    def __init__(self, file: TextIO, every: float = 10.0) -> None:
        self.console = Console(file=file, highlight=False)
        self.every = every
        """Seconds between two lines of progress where there is no terminal."""

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where there is none, and lines are as long as they are."""
        return self.console.width if self.console.is_terminal else None

    def say(self, text: str) -> None:
        """Write one line."""
        with suppress(*_GONE):
            for line in wrapped(printable(text), self.width):
                self.console.print(Text(line), soft_wrap=True)

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
async def watch(
    run: FileRun, total: int, before: Mapping[RowResult, int], waits: Waits, screen: Screen
) -> AsyncGenerator[None]:
    """Show how a run goes, until the block is left; `before` says what earlier runs did."""
    view = _View(run, total, before, waits)
    show = _bar if screen.console.is_terminal else _lines
    showing = asyncio.create_task(show(view, screen))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError, *_GONE):
            await showing


async def _lines(view: "_View", screen: Screen) -> None:
    while True:
        await asyncio.sleep(screen.every)
        # In a thread, because a terminal that was stopped with Ctrl-S holds up who writes to it.
        words = f"{view.progress()}; {', '.join([view.status(), *view.left()])}"
        await asyncio.to_thread(screen.say, words)


async def _bar(view: "_View", screen: Screen) -> None:
    live = Live(console=screen.console, auto_refresh=False)
    with live:
        try:
            while True:
                await asyncio.to_thread(_refresh, live, view, screen)
                await asyncio.sleep(_BETWEEN_FRAMES)
        finally:
            _refresh(live, view, screen)


def _refresh(live: Live, view: "_View", screen: Screen) -> None:
    width = screen.console.width
    beside = ", ".join([view.progress(), *view.left()])
    bar = ProgressBar(
        total=max(1, view.total),
        completed=view.run.numbers.done,
        width=max(10, width - len(beside) - 2 - _ROOM),
    )
    line = Table.grid(padding=(0, 1))
    line.add_row(bar, Text(beside))
    # Room for what a terminal writes by itself, such as ^C: a line more would spoil the picture.
    words = wrapped(view.status(), width - _ROOM)
    live.update(Group(line, *map(Text, words)), refresh=True)


@frozen
class _View:
    """A run as a person sees it."""

    run: FileRun
    total: int
    before: Mapping[RowResult, int]
    waits: Waits

    def progress(self) -> str:
        """How many rows have their result."""
        return f"{self.run.numbers.done:,} of {self.total:,} rows"

    def left(self) -> list[str]:
        """How long it takes, where that is known."""
        run = self.run
        if run.outage.why or run.stopping or self.waits.answers.why:
            return []
        # A place comes no sooner than the store says, which knows of more than this run.
        wait = self.waits.window.next_in
        remaining = self.total - run.numbers.done
        seconds = run.forecast.left(remaining, time.monotonic(), wait)
        return [] if seconds is None else [f"{duration(seconds)} left"]

    def status(self) -> str:
        """What became of the rows so far, how fast it goes, and what is waited for."""
        run, now = self.run, time.monotonic()
        counts = {one: run.numbers.ended[one] + self.before[one] for one in RowResult}
        parts = [
            f"{ending.name.lower()} {count:,}"
            for ending, count in counts.items()
            if count or ending is RowResult.CREATED
        ]
        if retries := run.numbers.retries:
            parts.append(f"retried {retries:,}")
        rate = run.forecast.rate(now)
        parts += [] if not rate else [f"{rate:,.0f}/min"]
        return ", ".join([*parts, *self._waits(now)])

    def _waits(self, now: float) -> list[str]:
        outage, answers = self.run.outage, self.waits.answers
        if self.run.stopping:
            return ["stopping"]
        if outage.why:
            end = f"stopping in {duration(outage.left(now))}"
            return [outage.why, _again(outage.pause(now)), end]
        if answers.why:
            return [answers.why, _again(answers.next_in)]
        if wait := self.waits.window.next_in:
            return [f"waiting for the rate window, next in {duration(max(1.0, wait))}"]
        return []


def _again(seconds: float) -> str:
    return f"trying again in {duration(seconds)}" if seconds >= 1 else "trying again now"


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
