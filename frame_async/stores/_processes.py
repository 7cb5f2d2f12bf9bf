"""Whether a process of this host still lives, by its id and when it started.

Ids of processes are used again, so the time of its start says which one is meant. Where there
is no ``/proc`` (macOS, Windows), or from another namespace of process ids, as a container has
one of its own, nobody is ever said to be dead.
"""

import os
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_STATE, _START = 0, 19
"""Places in /proc/PID/stat after the name (proc_pid_stat(5): fields 3 and 22)."""


def this_process() -> str:
    """What this process is known by; empty where that can't be known."""
    stat = _stat(os.getpid())
    try:
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{os.getpid()} {stat[_START]} {namespace}" if stat else ""


def is_dead(process: str, here: str) -> bool:
    """Whether a process certainly lives no more, as seen from the one that is `here`."""
    parts, ours = process.split(" "), here.split(" ")
    if len(parts) != 3 or len(ours) != 3 or parts[2] != ours[2] or not parts[0].isdecimal():
        return False
    number = int(parts[0])
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it is another user's
    stat = _stat(number)
    # One that has ended and wasn't waited for by its parent is a zombie: nothing of it runs.
    return bool(stat) and (stat[_START] != parts[1] or stat[_STATE] in "ZX")


def _stat(number: int) -> list[str]:
    """The fields after the name, which may hold anything; none where they can't be read."""
    try:
        text = (_PROC / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _START else []
