"""What a bulk run says at its end, for people and for machines."""

import os
import re
import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TextIO

from attrs import frozen

from frame_async.bulk.checking import Checked
from frame_async.bulk.columns import STRANGER, nearest_column
from frame_async.bulk.layouts import LAYOUT
from frame_async.bulk.rows import Row
from frame_async.bulk.state import Recorded, RowResult
from frame_async.cli.wording import printable, width_of, wrapped, wrapped_command
from frame_async.errors import Problem, ValidationError
from frame_async.protocol.dispositions import ExitStatus, exit_status_of_rows
from frame_async.serialization import dump_json, load_json

_SHOWN: Final = 20
_LISTED: Final = 12
_NAMED: Final = 20
_MOST_GONE: Final = 1_000
_SPECIAL: Final = frozenset('"$`\\!')
_NUMBERED: Final = re.compile(r"column [0-9]+")


@frozen(kw_only=True)
class Report:
    """What became of the file, in this run and in those before it."""

    rows: int
    """Rows of the input."""
    done: int
    """How many of them have a result, as far as this run came."""
    complete: bool
    """Whether this run came to the end of the input."""
    counts: Mapping[RowResult, int]
    """Rows with a result, by what it is, those that the input has lost included."""
    created_before: int
    """How many created rows had their result before this run."""
    replayed: int
    """Sessions that an earlier run had created and this one wrote."""
    retried: int
    """Attempts after the first, in this run."""
    in_doubt: Sequence[Recorded]
    """Rows that are unknown or possibly doubled."""
    changed: Sequence[Row]
    """Rows that were changed after they got their result; the first of them."""
    changes: int
    """How many there are."""
    new: Sequence[Row]
    """Rows that the input has got since an earlier run came to its end; the first of them."""
    news: int
    """How many there are."""
    lost: Sequence[Recorded]
    """Rows with a result that the input doesn't have any more."""
    undecided: int
    """Sessions of this run that may be second ones, of rows that moved and were changed."""
    stopped: str
    """The condition that ended the run; empty when none did."""
    resume: str | None
    """The command that goes on; None when there is no way to."""
    signal: int | None = None
    """The signal that ended the run."""
    seconds: float = 0.0
    """How long this run took."""

    @property
    def pending(self) -> int:
        """Rows without a result."""
        if self.complete:
            return max(0, self.rows - self.done)
        # Behind where it stopped, there may be rows that have theirs.
        return max(self.rows - sum(self.counts.values()), int(self.done < self.rows))

    @property
    def gone(self) -> int:
        """Rows with a result that the input has lost."""
        return len(self.lost)

    @property
    def exit_status(self) -> int:
        """What the shell gets to hear."""
        refused = self.counts[RowResult.REFUSED] + self.counts[RowResult.INVALID]
        return exit_status_of_rows(
            is_open=bool(self.stopped or self.pending),
            unknown=self.counts[RowResult.UNKNOWN],
            refused=refused + self.changes,
            signal=self.signal if self.pending else None,
        )


def print_report(report: Report, file: TextIO, *, as_json: bool) -> None:
    """Write the report; whoever listened may be gone by now."""
    if as_json:
        say(dump_json(_as_json(report)).decode(), file)
        return
    width = width_of(file)
    lines = [part for line in _lines(report) for part in wrapped(printable(line), width)]
    if report.pending and report.resume:
        lines += wrapped_command("to go on: ", report.resume, width)
    say("\n".join(lines), file)


def print_checked(check: Checked, wrong: Sequence[Row], file: TextIO | None) -> int:
    """Write for machines what a check found, if there is a file; the exit status."""
    status = ExitStatus.USAGE if check.bad else 0
    if file is not None:
        found = {
            "rows": check.total,
            "invalid": check.bad,
            "problems": [_problem(row, one) for row in wrong for one in row.problems],
            "rows_not_listed": check.bad - len(wrong),
            "exit_status": status,
        }
        say(dump_json(found).decode(), file)
    return status


def _problem(row: Row, problem: Problem) -> dict[str, Any]:
    return {
        "line": row.line,
        "reference": row.reference or None,
        "field": problem.path or None,
        "rule": problem.rule,
        "fix": problem.fix,
    }


def print_failure(message: str, status: int, file: TextIO) -> None:
    """Write for machines that there was no run, and why."""
    say(dump_json({"error": message, "exit_status": status}).decode(), file)


def mistakes(error: ValidationError) -> str:
    """Everything that is wrong with a file or the options for it, line by line, and the fix."""
    return "\n".join(_mistakes(error))


def _mistakes(error: ValidationError) -> Iterator[str]:
    problems = error.problems
    what = error.message.partition(": ")[0]
    yield f"{what}: {problems[0]}" if len(problems) == 1 else f"{what}:"
    if len(problems) > 1:
        yield from (f"  {problem}" for problem in problems[:_LISTED])
    if others := problems[_LISTED:]:
        named = ", ".join(problem.path for problem in others[:_NAMED])
        yield f"  and {len(others)} more: {named}" + (", ..." if others[_NAMED:] else "")
    if what.startswith("unusable") and what != LAYOUT:  # a file, and not the options
        yield from _mapped(problems)


def _mapped(problems: Sequence[Problem]) -> Iterator[str]:
    strangers = [problem.path for problem in problems if problem.rule == STRANGER]
    # A number stands for what is no name: then the file may have no header.
    name = next((name for name in strangers if not _NUMBERED.fullmatch(name)), None)
    if name is not None:
        field = nearest_column(name) or "client_reference_id"
        yield f"to say which field a column is: --map {_quoted(f'{name}={field}')}"
        yield f"to leave a column out: --map {_quoted(f'{name}=')}"
        if len(strangers) > 1:
            yield 'to leave out all that are not named: --map "*="'
    if any(problem.path == "line_items.0.product" for problem in problems):
        yield "to have the same product in every row: --set line_items.0.product=PRODUCT"


def _quoted(word: str) -> str:
    """A word for a shell, in double quotes where they do, as Windows knows no others."""
    return shlex.quote(word) if set(word) & _SPECIAL else f'"{word}"'


def say_lines(lines: Iterable[str], file: TextIO) -> None:
    """Write lines, wrapped where that is a terminal, if anybody still listens."""
    width = width_of(file)
    say("\n".join(part for line in lines for part in wrapped(printable(line), width)), file)


def say(text: str, file: TextIO) -> None:
    """Write text, if anybody still listens."""
    try:
        file.write(f"{text}\n")
        file.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            # What is left in the buffer must not fail once more at the end of the process,
            # which would change its exit status.
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


def _as_json(report: Report) -> dict[str, Any]:
    number = report.signal
    return {
        "rows": report.rows,
        **{ending.name.lower(): report.counts[ending] for ending in RowResult},
        "created_before": report.created_before,
        "pending": report.pending,
        "replayed": report.replayed,
        "retried": report.retried,
        "seconds": round(report.seconds, 3),
        "in_doubt": [
            {
                "line": row.line,
                "reference": row.reference or None,
                "result": RowResult(row.ending).name.lower(),
                "possible_duplicates": row.possible_duplicates,
            }
            for row in report.in_doubt
        ],
        "changed": report.changes,
        "changed_rows": [
            {"line": row.line, "reference": row.reference or None} for row in report.changed
        ],
        "new": report.news,
        "new_rows": [{"line": row.line, "reference": row.reference or None} for row in report.new],
        "gone": report.gone,
        "gone_rows": [load_json(row.text, "line") for row in report.lost[:_MOST_GONE]],
        "possible_duplicates": report.undecided
        + sum(row.possible_duplicates for row in report.in_doubt),
        "stopped": report.stopped or None,
        "signal": signal.Signals(number).name if number is not None else None,
        "resume": report.resume if report.pending else None,
        "exit_status": report.exit_status,
    }


def _lines(report: Report) -> Iterator[str]:
    counts = report.counts
    parts = [
        _created(counts[RowResult.CREATED], report.created_before),
        f"refused {counts[RowResult.REFUSED]:,}",
    ]
    parts += [f"invalid {counts[RowResult.INVALID]:,}", f"unknown {counts[RowResult.UNKNOWN]:,}"]
    if report.pending:
        parts.append(f"open {report.pending:,}")
    parts += [f"retried {report.retried:,}", f"{report.seconds:.1f} s"]
    if report.in_doubt:
        yield "A session that nobody has may exist at Frame for these rows:"
        yield from _some([describe(row) for row in report.in_doubt])
    if report.changes:
        yield "These rows were changed after they were sent, and are not sent again:"
        yield from _some([_name(row.line, row.reference) for row in report.changed], report.changes)
        yield "if they are new ones, and the old are to stay: --again changed"
    if report.news:
        yield "These rows are new:"
        yield from _some([_name(row.line, row.reference) for row in report.new], report.news)
    if report.gone:
        yield "These rows have a result, and are not in the input any more:"
        yield from _some([_gone(row) for row in report.lost[:_SHOWN]], report.gone)
    if report.undecided:
        yield (
            f"up to {report.undecided:,} rows of this run may be among those, moved and changed, "
            "and have a second session"
        )
    yield f"{report.rows:,} rows: {', '.join(parts)}"
    if why := report.stopped or _signal_of(report):
        yield f"stopped: {why}"


def _signal_of(report: Report) -> str:
    """The signal that ended the run, in words; empty when none did."""
    if report.signal is None or not report.pending:
        return ""
    name = signal.Signals(report.signal).name
    return f"{name}, as Ctrl-C sends it" if report.signal == signal.SIGINT else name


def _created(total: int, before: int) -> str:
    split = f" ({before:,} before, {total - before:,} now)" if before else ""
    return f"created {total:,}{split}"


def _some(lines: Sequence[str], total: int | None = None) -> Iterator[str]:
    total = len(lines) if total is None else total
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if total > _SHOWN:
        yield f"  and {total - _SHOWN:,} more (--json lists them)"


def describe(row: Recorded) -> str:
    """A row that is unknown or possibly doubled, in words."""
    name = _name(row.line, row.reference)
    if row.ending == RowResult.UNKNOWN:
        return f"{name}: unknown, up to {max(1, row.possible_duplicates)}"
    return f"{name}: created, and up to {row.possible_duplicates} beside it"


def _gone(row: Recorded) -> str:
    told = load_json(row.text, "line")
    named = _name(row.line, told.get("reference") or "")
    return f"{named}: {told.get('session_id') or told['result']}"


def _name(line: int, reference: str) -> str:
    return f"line {line}" + (f" ({printable(reference)})" if reference else "")
