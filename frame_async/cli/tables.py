"""Results as text: tables whose cells are never cut, at any width of the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from frame_async.bulk import Row
from frame_async.cli.wording import printable, wrapped
from frame_async.errors import CallError
from frame_async.models.sessions import PaymentLinkSession

Cells = Sequence[str | None]


def print_sessions(out: Console, created: Iterable[tuple[Row, PaymentLinkSession]]) -> None:
    """One row per session: reference, session id, status, expiry (UTC), address."""
    rows: list[Cells] = [("reference", "session id", "status", "expires (UTC)", "url")]
    for row, session in created:
        expires = f"{session.expires:%Y-%m-%d %H:%M}" if session.expires else None
        rows.append((row.reference, session.id, session.status, expires, session.url))
    _print_table(out, rows)


def print_problems(
    out: Console, wrong: Iterable[Row], failed: Iterable[tuple[Row, CallError]]
) -> None:
    """One row per problem: line of the file, reference, field, what is wrong, the fix."""
    rows: list[Cells] = [("line", "reference", "field", "problem", "fix")]
    for row in wrong:
        rows += [(str(row.line), row.reference, p.path, p.rule, p.fix) for p in row.problems]
    rows += [(str(row.line), row.reference, None, str(error), None) for row, error in failed]
    if len(rows) > 1:
        _print_table(out, rows)


def _print_table(out: Console, rows: Sequence[Cells]) -> None:
    """Align the columns; where they don't fit, the last goes to a line of its own."""
    texts = [[printable(cell) if cell else "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    room = out.width if out.is_terminal else sum(widths) + 2 * len(widths)
    for index, (*cells, last) in enumerate(texts):
        padded = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        style = "" if index else "bold"
        for line in _lines(padded, cells, last, room, sum(widths) + 2 * len(widths)):
            out.print(Text(line, style=style), soft_wrap=True)
    out.print()


def _lines(padded: str, cells: Sequence[str], last: str, room: int, whole: int) -> list[str]:
    if whole <= room:
        return [f"{padded}  {last}"]
    first = padded.rstrip() if len(padded) <= room else "  ".join(cells)
    return [*wrapped(first, room), *wrapped(f"    {last}", room)]
