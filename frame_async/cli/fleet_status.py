"""``frame-async bulk status``: how far a run in a queue is, and its results."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from frame_async.bulk.output import Output, OutputFormat, sync_folder
from frame_async.bulk.state import RowResult
from frame_async.cli.bulk_command import STDIN, OptionsError
from frame_async.cli.bulk_report import describe, say, say_lines
from frame_async.cli.bulk_screen import Screen, duration
from frame_async.cli.guard import guarded, needing_procrastinate
from frame_async.cli.stops import listening
from frame_async.errors import StoreError
from frame_async.fleet.runs import FleetRun, Progress
from frame_async.protocol.dispositions import exit_status_of_rows
from frame_async.serialization import dump_json

if TYPE_CHECKING:
    from frame_async.fleet import Fleet

_SHOWN: Final = 20
_NAMED: Final = 1_000
_BETWEEN_LOOKS: Final = 1.0


@frozen(kw_only=True)
class Status:
    """The options as they were given."""

    queue: str = field(repr=False)
    run: str | None
    output: Path | None
    output_format: OutputFormat | None
    wait: bool
    every: float
    reconcile: bool
    forget: bool
    as_json: bool

    @property
    def written_as(self) -> OutputFormat:
        """The format of the output."""
        suffix = self.output.suffix.lower() if self.output else ""
        return self.output_format or ("csv" if suffix == ".csv" else "jsonl")


def run_status(status: Status) -> int:
    """Say how far the runs are; the exit status."""
    screen = Screen(sys.stderr, status.every)

    def look() -> int:
        return asyncio.run(_look(status, screen))

    return guarded("frame-async bulk status", look, screen, sys.stdout if status.as_json else None)


def print_schema(grant: str, *, with_procrastinate: bool) -> int:
    """Print the SQL that a database needs; the exit status."""

    def show() -> int:
        with needing_procrastinate():
            from frame_async.fleet.queue import sql
        say(sql(grant, with_procrastinate=with_procrastinate).rstrip(), sys.stdout)
        return 0

    return guarded("frame-async fleet schema", show, Screen(sys.stderr, 1.0))


async def _look(status: Status, screen: Screen) -> int:
    with needing_procrastinate():
        from frame_async.fleet import open_fleet
    with listening(screen.say) as stops:
        async with open_fleet(status.queue) as fleet:
            runs = await _named(fleet, status)
            if status.reconcile:
                await _reconcile(fleet, runs, screen)
            if len(runs) != 1:
                return await _list(fleet, runs, status)
            progress = await fleet.runs.progress(runs[0], _NAMED)
            said = time.monotonic()
            while status.wait and not progress.finished and stops.signal is None:
                if time.monotonic() - said >= status.every:
                    said = time.monotonic()
                    screen.say(_line(progress))
                await asyncio.sleep(_BETWEEN_LOOKS)
                progress = await _look_again(fleet, status, progress)
            await _write(fleet, status, progress.run)
            _describe(progress, status)
            if stops.signal is None or progress.finished:
                await _forget(fleet, status, progress)
            return _exit_status(progress, stops.signal)


async def _reconcile(fleet: "Fleet", runs: Sequence[FleetRun], screen: Screen) -> None:
    from frame_async.fleet import TASK

    for run in runs:
        requeued = await fleet.runs.reconcile(run, TASK)
        screen.say(f"{_shown(run.name)}: {requeued:,} rows had lost their job, and have a new one")


async def _named(fleet: "Fleet", status: Status) -> list[FleetRun]:
    if status.run is None:
        runs = await fleet.runs.all()
        if len(runs) != 1 and (status.output or status.wait or status.forget):
            raise OptionsError(f"there are {len(runs)} runs in this queue: name one with --run")
        return runs
    run = await fleet.runs.find(status.run)
    if run is None:
        raise OptionsError(f"there is no run {status.run} in this queue")
    return [run]


async def _look_again(fleet: "Fleet", status: Status, before: Progress) -> Progress:
    """Look once more; a database that is being restarted is waited for."""
    try:
        (run,) = await _named(fleet, status)
        return await fleet.runs.progress(run, _NAMED)
    except StoreError:
        return before


async def _list(fleet: "Fleet", runs: Sequence[FleetRun], status: Status) -> int:
    found = [await fleet.runs.progress(run, 0) for run in runs]
    if status.as_json:
        say(dump_json([_as_json(progress) for progress in found]).decode(), sys.stdout)
    else:
        say_lines(map(_line, found) if found else ["no runs in this queue"], sys.stdout)
    return max(map(_exit_status, found), default=0)


async def _forget(fleet: "Fleet", status: Status, progress: Progress) -> None:
    if status.forget and not (progress.finished and await fleet.runs.forget(progress.run)):
        raise OptionsError(f"the run {progress.run.name} has open rows: it is not forgotten")


async def _write(fleet: "Fleet", status: Status, run: FleetRun) -> None:
    """Write every result there is, to a file that is whole or not there."""
    if status.output is None:
        return
    if status.output == STDIN:
        await _write_to(Output(None, status.written_as), fleet, run)
        return
    path = status.output.resolve()
    copy = path.with_name(f"{path.name}.{run.id[:8]}-{os.getpid()}.new")
    try:
        await _write_to(Output(copy, status.written_as), fleet, run)
        copy.replace(path)
    finally:
        copy.unlink(missing_ok=True)
    sync_folder(path)


async def _write_to(output: Output, fleet: "Fleet", run: FleetRun) -> None:
    try:
        async for result in fleet.runs.results(run):
            await output.ready()
            output.append(result)
        output.sync()
    finally:
        output.close()


def _describe(progress: Progress, status: Status) -> None:
    file = sys.stderr if status.output == STDIN else sys.stdout
    if status.as_json:
        say(dump_json(_as_json(progress)).decode(), file)
    else:
        say_lines(_lines(progress), file)


def _exit_status(progress: Progress, signal: int | None = None) -> int:
    return exit_status_of_rows(
        is_open=not progress.finished,
        unknown=progress.counts[RowResult.UNKNOWN],
        refused=progress.counts[RowResult.REFUSED] + progress.counts[RowResult.INVALID],
        signal=signal,
    )


def _as_json(progress: Progress) -> dict[str, Any]:
    return {
        "run": progress.run.name,
        "rows": progress.total,
        **{ending.name.lower(): progress.counts[ending] for ending in RowResult},
        "pending": progress.open,
        "in_hand": progress.in_hand,
        "pending_in_doubt": progress.doubtful,
        "lost": progress.lost,
        "rate": round(progress.rate, 1),
        "window_used": None if progress.used is None else round(progress.used, 3),
        "seconds_left": None if progress.left is None else round(progress.left, 1),
        "in_doubt": [
            {
                "line": row.line,
                "reference": row.reference or None,
                "result": RowResult(row.ending).name.lower(),
                "possible_duplicates": row.possible_duplicates,
            }
            for row in progress.in_doubt
        ],
        "complete": progress.run.complete,
        "exit_status": _exit_status(progress),
    }


def _lines(progress: Progress) -> Iterator[str]:
    if progress.in_doubt:
        yield "A session that nobody has may exist at Frame for these rows:"
        yield from (f"  {describe(row)}" for row in progress.in_doubt[:_SHOWN])
        if len(progress.in_doubt) > _SHOWN:
            yield "  and more (--json lists them)"
    yield _line(progress)
    if not progress.run.complete:
        yield "not all of the file is enqueued: the command that enqueues it goes on"
    elif progress.lost:
        yield f"{progress.lost:,} rows have lost their job: --reconcile gives them another"


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def _line(progress: Progress) -> str:
    counts = progress.counts
    refused = counts[RowResult.REFUSED] + counts[RowResult.INVALID]
    in_doubt = counts[RowResult.UNKNOWN] + progress.doubtful
    parts = [
        f"created {counts[RowResult.CREATED]:,}",
        f"failed {refused:,}",
        f"in doubt {in_doubt:,}",
    ]
    if progress.open:
        parts += [
            f"waiting {progress.open - progress.in_hand:,}",
            f"in progress {progress.in_hand:,}",
            f"{progress.rate:,.0f}/min",
            f"{duration(progress.left)} left",
        ]
        if progress.used is not None:
            parts.insert(-1, f"window {progress.used:.0%}")
    name = _shown(progress.run.name)
    return f"{name}: {progress.done:,} of {progress.total:,} rows done, {', '.join(parts)}"
