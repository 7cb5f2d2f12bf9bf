"""A command in a terminal, and what a person sees there."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
import time
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from support.bulk_runs import Place

_PIECES: Final = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@define
class Terminal:
    """Lines as a terminal shows them; of its commands, those that progress bars use."""

    width: int
    lines: list[str] = field(factory=lambda: [""])
    _row: int = 0
    _column: int = 0

    def feed(self, text: str) -> None:
        """Show what a program writes."""
        for number, command, control, words in _PIECES.findall(text):
            if control == "\r":
                self._column = 0
            elif control == "\n":
                self._down()
            elif command == "A":
                self._row = max(0, self._row - int(number or 1))
            elif command == "K":
                self.lines[self._row] = ""
            for letter in words:
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self._column >= self.width:
            self._column = 0
            self._down()
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
        self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    @property
    def shown(self) -> list[str]:
        """The lines that say something."""
        return [line.rstrip() for line in self.lines if line.strip()]


@define
class Sitting:
    """A run in a terminal: what is shown, and keys to press."""

    terminal: Terminal
    process: asyncio.subprocess.Process
    _master: int
    _closed: bool = False

    async def until(self, seen: Callable[[str], object], seconds: float = 30.0) -> None:
        """Look until something is shown."""
        ends = time.monotonic() + seconds
        while not seen("\n".join(self.terminal.shown)):
            assert time.monotonic() < ends, self.terminal.shown
            assert await self._look(), self.terminal.shown

    async def end(self) -> int:
        """Look until the command ends; its exit status."""
        async with asyncio.timeout(60):
            while await self._look():
                pass
            return await self.process.wait()

    def press_ctrl_c(self) -> None:
        """Interrupt it, as a person does."""
        os.write(self._master, b"\x03")

    async def _look(self) -> bool:
        assert not self._closed, self.terminal.shown
        try:
            piece = await asyncio.to_thread(os.read, self._master, 65_536)
        except OSError:  # what Linux says when the other side is closed
            piece = b""
        self.terminal.feed(piece.decode(errors="replace"))
        if not piece:
            os.close(self._master)
            self._closed = True
        return bool(piece)


async def sit(place: Place, *options: str, width: int = 80, **more: str) -> Sitting:
    """Run the command in a terminal of that width, which it can be interrupted from."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    given: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave}
    process = await place.start(
        *options,
        **given,
        env={"TERM": "xterm", "COLUMNS": str(width), **more},
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(slave)
    return Sitting(Terminal(width), process, master)
