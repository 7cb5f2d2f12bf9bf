"""Words for a terminal: wrapped at words, with a hanging indent, as wide as it is."""

import shlex
import textwrap
from typing import Final, TextIO

from rich.cells import cell_len
from rich.console import Console

_INDENT: Final = "    "


def width_of(file: TextIO) -> int | None:
    """Columns of the terminal that a file is; None where it is none."""
    console = Console(file=file)
    return console.width if console.is_terminal else None


def printable(text: str) -> str:
    """The text with a question mark for whatever steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def wrapped(line: str, width: int | None) -> list[str]:
    """One line as several, none wider than that; as it is without a width."""
    if width is None or cell_len(line) <= width:
        return [line]
    begin = line[: len(line) - len(line.lstrip())]
    hanging = begin + _INDENT
    first, *rest = textwrap.wrap(
        line.lstrip(),
        max(20, width - len(hanging)),
        break_long_words=False,  # a URL is to be copied, and clicked
        break_on_hyphens=False,
    ) or [""]
    return [begin + first, *(hanging + part for part in rest)]


def wrapped_command(begin: str, command: str, width: int | None) -> list[str]:
    """A command behind a few words, which can be copied from several lines, too."""
    if width is None or cell_len(begin + command) <= width:
        return [begin + command]
    lines = [begin.rstrip()]
    here = _INDENT
    for word in map(shlex.quote, shlex.split(command)):
        if here != _INDENT and cell_len(f"{here}{word} \\") > width:
            lines.append(f"{here}\\")
            here = _INDENT * 2
        here += f"{word} "
    return [*lines, here.rstrip()]
