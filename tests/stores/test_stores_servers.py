"""The servers that tests start: what the support of these tests promises."""

import os
import subprocess
from pathlib import Path
from threading import Event, Thread

import pytest
from support import servers


def test_processes_that_end_meanwhile_are_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends between being listed and being read is passed over."""
    listed = [Path(f"/proc/{os.getpid()}/stat"), Path("/proc/4194305/stat")]  # above pid_max
    monkeypatch.setattr(Path, "glob", lambda *_: iter(listed))
    assert servers._children(os.getppid()) == [os.getpid()]


def test_children_while_processes_come_and_go() -> None:
    """Whatever starts and ends beside it, the children that live are found."""
    over = Event()

    def churn() -> None:
        while not over.is_set():
            subprocess.run(["true"], check=False)

    thread = Thread(target=churn)
    with subprocess.Popen(["sleep", "60"]) as child:
        thread.start()
        try:
            assert all(child.pid in servers._children(os.getpid()) for _ in range(20))
        finally:
            over.set()
            thread.join()
            child.kill()
