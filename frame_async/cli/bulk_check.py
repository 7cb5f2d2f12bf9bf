"""The check of an input, as the commands show it: what is wrong, and what rows are known by."""

import asyncio
import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from frame_async.bulk.checking import Checked, Rows, check, with_repeated
from frame_async.bulk.output import itself
from frame_async.bulk.rows import Row
from frame_async.bulk.sources import Input
from frame_async.bulk.state import Run, RunState
from frame_async.cli.bulk_command import AUTO, Command
from frame_async.cli.bulk_screen import Screen

_MOST_LISTED: Final = 1_000


@define
class InputCheck:
    """A checked input: its rows, what they are known by, and what is wrong."""

    source: Input
    """To be read for this run."""
    rows: Rows
    """The rows of it."""
    key_column: str
    found: Checked
    wrong: list[Row] = field(factory=list[Row])
    """The first rows that are wrong."""


def known_run(command: Command) -> Run | None:
    """The run that the state file knows already, if any.

    Raises:
        StoreError: the file can't be used, because another run has it for instance.
        ConfigurationError: it is a link that isn't to be followed.
    """
    path = command.state_path
    if command.check_only or path is None or not path.is_file():
        return None
    found = itself(path)

    async def find() -> Run | None:
        state = RunState(found)
        try:
            return await state.find()
        finally:
            await state.aclose()

    return asyncio.run(find())


@contextmanager
def checking(
    command: Command,
    source: Input,
    known: Run | None,
    screen: Screen,
    rows_of: Callable[[Input], Rows] = lambda source: source,
) -> Generator[InputCheck]:
    """Check an input to its end, and list every row that is wrong.

    A run that goes on lists them only if they are others than before.

    Raises:
        ValidationError: the file or its header can't be used.
        OSError: it can't be read.
    """
    auto = command.key_column == AUTO
    key = known.key_column if auto and known else "" if auto else command.key_column
    made = _made(source, key, known is None, screen, rows_of)
    try:
        if auto and known is None and made.found.own_references:
            made.found.close()
            wrong = made.wrong
            made = _made(source, source.reference_column, False, screen, rows_of)
            made.wrong = wrong
        _say_key(command, known, made, screen)
        again = known is not None and made.found.wrong == known.wrong
        if known is not None and not again:
            for row in made.rows.rows():
                screen.show_wrong(with_repeated(row, made.found, key))
        listed = ", as listed before" if again and made.found.bad else ""
        screen.say(f"{made.found.total:,} rows, {made.found.bad:,} of them wrong{listed}")
        yield made
    finally:
        made.found.close()


def _made(
    source: Input, key: str, show: bool, screen: Screen, rows_of: Callable[[Input], Rows]
) -> InputCheck:
    source = source.keyed(key)
    rows, wrong = rows_of(source), list[Row]()

    def on_wrong(row: Row) -> None:
        if len(wrong) < _MOST_LISTED:
            wrong.append(row)
        if show:
            screen.show_wrong(row)

    return InputCheck(source, rows, key, check(rows, key, on_wrong, screen.show_checking), wrong)


def _say_key(command: Command, known: Run | None, made: InputCheck, screen: Screen) -> None:
    column = shlex.quote(made.source.reference_column)
    if command.key_column == AUTO:
        name = made.key_column
        screen.say(f"rows are known by {name or 'what they say'} (--key auto)")
    elif known is None and made.found.own_references:
        screen.say(f"each row has its own client_reference_id: consider --key {column}")
