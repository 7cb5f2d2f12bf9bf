"""``frame-async bulk FILE --queue URL``: the whole file checked, then its rows to a queue."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from attrs import define, evolve, field

from frame_async.bulk.sources import Input
from frame_async.bulk.state import RowResult
from frame_async.cli.bulk_check import InputCheck, checking
from frame_async.cli.bulk_command import CHANGED, Command, OptionsError
from frame_async.cli.bulk_report import print_checked, say, say_lines
from frame_async.cli.bulk_screen import Screen
from frame_async.cli.guard import needing_procrastinate
from frame_async.cli.stops import listening
from frame_async.fleet.rows import OpenRows, queued
from frame_async.fleet.runs import Enqueued, FleetRow, FleetRun
from frame_async.protocol.dispositions import exit_status_of_rows
from frame_async.serialization import dump_json

_BATCH: Final = 500
_SHOWN: Final = 20
_MOST_NAMED: Final = 1_000


@define
class _Summary:
    """What became of the rows."""

    rows: int
    invalid: int
    passed: int = 0
    added: int = 0
    again: int = 0
    changed: list[int] = field(factory=list[int])
    signal: int | None = None

    def add(self, enqueued: Enqueued, rows: int) -> None:
        self.passed += rows
        self.added += enqueued.added
        self.again += enqueued.again
        self.changed += enqueued.changed

    def without(self, changed: list[FleetRow], rows: list[FleetRow], take: bool) -> list[FleetRow]:
        """The rows that are to be enqueued: those that have changed only if that was said."""
        if take or not changed:
            return rows
        self.changed += [row.row.line for row in changed]
        ids = {row.known_as for row in changed}
        return [row for row in rows if row.known_as not in ids]

    @property
    def known(self) -> int:
        """Rows that were enqueued before, changed or not."""
        return self.passed - self.added - self.again

    @property
    def exit_status(self) -> int:
        return exit_status_of_rows(
            is_open=self.signal is not None and self.passed < self.rows,
            refused=self.invalid + len(self.changed),
            signal=self.signal,
        )


def enqueue(command: Command, source: Input, run: FleetRun | None, screen: Screen) -> int:
    """Check the file, enqueue its rows, and say what became of them; the exit status.

    Without a run, there is only the check.
    """
    with checking(command, source, None, screen, OpenRows) as checked:
        if run is not None:
            run = evolve(run, key_column=checked.key_column, total=checked.found.total)
        return _checked(command, checked, run, screen)


def _checked(command: Command, checked: InputCheck, run: FleetRun | None, screen: Screen) -> int:
    found, rows = checked.found, checked.rows
    if isinstance(rows, OpenRows) and rows.secret and not command.check_only:
        raise OptionsError(
            f"{rows.secret:,} rows have payment_method_data, which must not lie in a queue: "
            "nothing was enqueued"
        )
    if run is None or (command.strict and found.bad):
        return print_checked(found, checked.wrong, sys.stdout if command.as_json else None)
    summary = asyncio.run(_enqueue(command, checked, run, screen))
    if command.as_json:
        say(dump_json(_as_json(summary, run)).decode(), sys.stdout)
    else:
        say_lines(_sentences(summary, run), sys.stdout)
    return summary.exit_status


async def _enqueue(
    command: Command, checked: InputCheck, mine: FleetRun, screen: Screen
) -> _Summary:
    with needing_procrastinate():
        from frame_async.fleet import TASK, open_fleet
    summary = _Summary(checked.found.total, checked.found.bad)
    again = [RowResult[name.upper()] for name in command.again if name != CHANGED]
    with listening(screen.say) as stops:
        async with open_fleet(command.queue or "") as fleet:
            run = await fleet.runs.begin(mine)
            left = checked.rows.rows()
            while stops.signal is None and (batch := list(islice(left, _BATCH))):
                given = [queued(row, checked.found, run.key_column) for row in batch]
                if not run.key_column:
                    changed = await fleet.runs.place(run, given, checked.found.has, again)
                    given = summary.without(changed, given, CHANGED in command.again)
                summary.add(await fleet.runs.enqueue(run, TASK, given, again), len(batch))
                screen.show_checking(summary.passed, "enqueuing")
            if stops.signal is None:
                await fleet.runs.complete(run, summary.passed)
        summary.signal = stops.signal
    return summary


def _as_json(summary: _Summary, run: FleetRun) -> dict[str, Any]:
    return {
        "run": run.name,
        "rows": summary.rows,
        "invalid": summary.invalid,
        "enqueued": summary.added,
        "again": summary.again,
        "known": summary.known,
        "pending": summary.rows - summary.passed,
        "changed": len(summary.changed),
        "changed_lines": summary.changed[:_MOST_NAMED],
        "signal": signal.Signals(summary.signal).name if summary.signal is not None else None,
        "exit_status": summary.exit_status,
    }


def _sentences(summary: _Summary, run: FleetRun) -> Iterator[str]:
    if summary.changed:
        yield (
            f"{len(summary.changed):,} rows were changed after they were enqueued, and stay as "
            f"they were; lines {', '.join(map(str, summary.changed[:_SHOWN]))}"
            + (", ..." if len(summary.changed) > _SHOWN else "")
        )
        yield "is this another file? give it a --run of its own"
        if not run.key_column:
            yield "are they new ones, and the old are to stay? say --again changed"
    parts = [f"{summary.added:,} enqueued"]
    if summary.again:
        parts.append(f"{summary.again:,} again")
    parts += [f"{summary.known:,} known before"]
    parts += [f"{summary.invalid:,} of all invalid"] if summary.invalid else []
    yield f"run {run.name}: {summary.rows:,} rows, {', '.join(parts)}"
    if summary.passed < summary.rows:
        yield f"{summary.rows - summary.passed:,} rows are not enqueued: the same command goes on"
    else:
        yield f"how it goes: frame-async bulk status --queue ... --run {run.name}"
