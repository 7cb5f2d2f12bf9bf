"""``frame-async demo``: a file of orders, a session for each, on the emulator."""

import asyncio
import shlex
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

from attrs import define
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from frame_async.bulk import Row, read_csv
from frame_async.cli.tables import print_problems, print_sessions
from frame_async.client import FrameClient
from frame_async.emulator import Emulator
from frame_async.errors import CallError, FrameError
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.dispositions import exit_status_of, exit_status_of_rows
from frame_async.protocol.window import RateLimit
from frame_async.resources.payment_link_sessions import PaymentLinkSessions

LATENCY: Final = 0.1
"""Seconds that the emulator holds each answer back, so that there is something to see."""

ROWS_PER_LINE: Final = 40

TO_PAY: Final = "frame-async create --emulator --product prod_mug --open"

SHOWN: Final = 10
"""Sessions that are shown, unless all are asked for."""


@define
class Results:
    """What became of each row."""

    wrong: list[Row]
    created: list[tuple[Row, PaymentLinkSession]]
    failed: list[tuple[Row, CallError]]

    @property
    def retried(self) -> int:
        """Attempts after the first, of all calls together."""
        calls = [session.call for _, session in self.created]
        return sum(call.retries for call in [*calls, *(error.call for _, error in self.failed)])


def example_orders() -> Path:
    """The example file: inside an installed package, or in the checkout it runs from."""
    installed = Path(str(files("frame_async.cli") / "orders.csv"))
    if installed.is_file():
        return installed
    return Path(__file__).parents[2] / "docs" / "examples" / "orders.csv"


def run_demo(orders: Path | None, *, limit: int, concurrency: int, show_all: bool = False) -> int:
    """Run the demo and print its results.

    Returns:
        The exit status: 0, or 1 when a call failed, or 2 when the file can't be used.
    """
    notes = Console(stderr=True, highlight=False)
    try:
        rows = list(read_csv(example_orders() if orders is None else orders))
    except (FrameError, OSError) as error:
        notes.print(f"frame-async demo: {error}", markup=False, soft_wrap=True)
        return exit_status_of(error)
    started = time.monotonic()
    results = asyncio.run(_create_all(rows, notes, limit, concurrency))
    seconds = time.monotonic() - started
    out = Console(highlight=False)
    shown = results.created if show_all else results.created[:SHOWN]
    print_sessions(out, shown)
    if others := len(results.created) - len(shown):
        named = "" if orders is None else f"{shlex.quote(str(orders))} "
        out.print(f"and {others} more: frame-async demo {named}--all\n", markup=False)
    print_problems(out, results.wrong, results.failed)
    out.print(
        f"created {len(results.created)}, refused {len(results.wrong) + len(results.failed)}, "
        f"retried {results.retried}, {seconds:.1f} s",
        style="bold",
    )
    notes.print(f"these pages are gone with the demo's emulator; to pay on one:\n{TO_PAY}")
    return exit_status_of_rows(is_open=False, refused=len(results.failed))


async def _create_all(rows: list[Row], notes: Console, limit: int, concurrency: int) -> Results:
    results = Results([row for row in rows if row.request is None], [], [])
    good = iter([(row, row.request) for row in rows if row.request is not None])
    async with (
        Emulator(port=0, limit=limit, latency=LATENCY) as emulator,
        FrameClient(
            emulator.api_key,
            base_url=emulator.base_url,
            timeout=90.0,
            rate_limit=RateLimit(limit),
        ) as frame,
    ):
        notes.print(f"emulator on {emulator.base_url}, {limit} requests a minute; {len(rows)} rows")
        with _progress(notes) as progress:
            task = progress.add_task("creating", total=len(rows), completed=len(results.wrong))
            done = partial(_advance, progress, task)
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(_work(frame.payment_link_sessions, good, results, done))
    results.created.sort(key=lambda pair: pair[0].line)
    return results


async def _work(
    sessions: PaymentLinkSessions,
    rows: Iterator[tuple[Row, PaymentLinkSessionRequest]],
    results: Results,
    done: Callable[[], None],
) -> None:
    """Create a session for one row after the other, until the shared rows are used up."""
    for row, request in rows:
        try:
            results.created.append((row, await sessions.create(request)))
        except CallError as error:
            results.failed.append((row, error))
        done()


def _advance(progress: Progress, task: TaskID) -> None:
    """One more row is done: move the bar, or say so now and then where there is none."""
    progress.advance(task)
    now = progress.tasks[task]
    if progress.disable and (now.finished or now.completed % ROWS_PER_LINE == 0):
        progress.console.print(f"creating {now.completed:.0f} of {now.total:.0f}")


def _progress(notes: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=notes,
        disable=not notes.is_terminal,
    )
