"""The contestants' processes, seen from the one that drives them."""

import json
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from benchmarks.rivals.contestants import Contestant, command, environ
from benchmarks.rivals.figures import Figures, compared
from benchmarks.rivals.worker import YARDSTICK


class Process:
    """One contestant's process; it does what it is asked for, and nothing in between."""

    def __init__(self, one: Contestant, running: "subprocess.Popen[str]") -> None:
        self.contestant = one
        self.answers: dict[tuple[int, str], list[dict[str, Any]]] = {}
        """What it said of blocks, by callers at a time and way."""
        self._running = running

    def ask(self, do: str, *, within: float = 300.0, **words: Any) -> dict[str, Any]:
        """Ask for one thing and wait for it.

        Raises:
            TimeoutError: it took longer than `within` seconds; the process is ended.
            RuntimeError: the process ended by itself.
        """
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        with suppress(BrokenPipeError):
            self._running.stdin.write(json.dumps({"do": do, **words}) + "\n")
            self._running.stdin.flush()
        readable, _, _ = select.select([self._running.stdout], [], [], within)
        if not readable:
            self._running.kill()
            raise TimeoutError(f"{self.contestant.name} took more than {within:.0f} s")
        line = self._running.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.contestant.name} ended: its own words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def compared(self, callers: Sequence[int]) -> dict[str, Figures]:
        """Its figures beside those of the yardstick in the same process, by callers at a time."""
        return {
            str(number): compared(
                self.answers[number, self.contestant.way], self.answers[number, YARDSTICK]
            )
            for number in callers
        }


@contextmanager
def started(
    contestants: Sequence[Contestant], port: int, *words: str
) -> Iterator[dict[str, Process]]:
    """The processes of several contestants, by name."""
    with ExitStack() as stack:
        processes = {}
        for one in contestants:
            running = stack.enter_context(
                subprocess.Popen(
                    command(one, port, *words),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environ(one),
                )
            )
            stack.callback(running.terminate)
            processes[one.name] = Process(one, running)
        yield processes


def allow_many_files() -> None:
    """As many open connections as this user may have, here and in processes started later."""
    if os.name == "nt":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
