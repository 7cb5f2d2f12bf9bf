"""``frame-async bulk FILE --queue URL``: the whole file checked, then its rows to a queue."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from attrs import define, evolve, field

from frame_async.bulk.checking import Checked, check
from frame_async.bulk.sources import Input
from frame_async.bulk.state import RowResult
from frame_async.cli.bulk_command import Command, OptionsError
from frame_async.cli.bulk_report import SOME_REFUSED, print_checked, say
from frame_async.cli.bulk_screen import Screen
from frame_async.cli.fleet_parts import needing_procrastinate
from frame_async.cli.stops import listening
from frame_async.fleet.rows import OpenRows, queued
from frame_async.fleet.runs import Enqueued, FleetRun
from frame_async.serialization import dump_json

_BATCH: Final = 500
_SHOWN: Final = 20
_MOST_NAMED: Final = 1_000
_BY_SIGNAL: Final = 128
_WRONG: Final = 2


@define
class _Told:
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

    @property
    def exit_status(self) -> int:
        if self.signal is not None and self.passed < self.rows:
            return _BY_SIGNAL + self.signal
        return SOME_REFUSED if self.invalid or self.changed else 0


def enqueue(command: Command, source: Input, run: FleetRun | None, screen: Screen) -> int:
    """Check the file, enqueue its rows, and say what became of them; the exit status.

    Without a run, there is only the check.
    """
    rows = OpenRows(source)
    checked = check(rows, command.key_column, screen.show_wrong, screen.show_checking)
    screen.say(f"{checked.total:,} rows, {checked.bad:,} of them wrong")
    if rows.secret and not command.check_only:
        raise OptionsError(
            f"{rows.secret:,} rows have payment_method_data, which must not lie in a queue: "
            "nothing was enqueued"
        )
    if run is None or (command.strict and checked.bad):
        status = _WRONG if checked.bad else 0
        if command.as_json:
            print_checked(checked.total, checked.bad, status, sys.stdout)
        return status
    told = asyncio.run(_enqueue(command, rows, checked, evolve(run, total=checked.total), screen))
    text = dump_json(_as_json(told, run)).decode() if command.as_json else _lines(told, run)
    say(text, sys.stdout)
    return told.exit_status


async def _enqueue(
    command: Command, rows: OpenRows, checked: Checked, mine: FleetRun, screen: Screen
) -> _Told:
    with needing_procrastinate():
        from frame_async.fleet import TASK, open_fleet
    told = _Told(checked.total, checked.bad)
    again = [RowResult[name.upper()] for name in command.again]
    with listening(screen.say) as stops:
        async with open_fleet(command.queue or "") as fleet:
            run = await fleet.runs.begin(mine)
            left = rows.rows()
            while stops.signal is None and (batch := list(islice(left, _BATCH))):
                given = [queued(row, checked, command.key_column) for row in batch]
                told.add(await fleet.runs.enqueue(run, TASK, given, again), len(batch))
                screen.show_checking(told.passed, "enqueuing")
            if stops.signal is None:
                await fleet.runs.complete(run, told.passed)
        told.signal = stops.signal
    return told


def _as_json(told: _Told, run: FleetRun) -> dict[str, Any]:
    return {
        "run": run.name,
        "rows": told.rows,
        "invalid": told.invalid,
        "enqueued": told.added,
        "again": told.again,
        "known": told.passed - told.added - told.again,
        "pending": told.rows - told.passed,
        "changed": len(told.changed),
        "changed_lines": told.changed[:_MOST_NAMED],
        "signal": signal.Signals(told.signal).name if told.signal is not None else None,
        "exit_status": told.exit_status,
    }


def _lines(told: _Told, run: FleetRun) -> str:
    return "\n".join(_sentences(told, run))


def _sentences(told: _Told, run: FleetRun) -> Iterator[str]:
    if told.changed:
        yield (
            f"{len(told.changed):,} rows were changed after they were enqueued, and stay as they "
            f"were; lines {', '.join(map(str, told.changed[:_SHOWN]))}"
            + (", ..." if len(told.changed) > _SHOWN else "")
        )
        yield "is this another file? give it a --run of its own"
    parts = [f"{told.added:,} enqueued"]
    if told.again:
        parts.append(f"{told.again:,} again")
    parts += [f"{told.passed - told.added - told.again:,} known before"]
    parts += [f"{told.invalid:,} of all invalid"] if told.invalid else []
    yield f"run {run.name}: {told.rows:,} rows, {', '.join(parts)}"
    if told.passed < told.rows:
        yield f"{told.rows - told.passed:,} rows are not enqueued: the same command goes on"
    else:
        yield f"how it goes: frame-async bulk status --queue ... --run {run.name}"
