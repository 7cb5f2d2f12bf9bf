"""Run the README's test command, then every session of CI, two at a time.

The log of each is printed, and at the end what was skipped and why, and a table of results.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

LOGS = Path(".nox/logs")
COMMAND = re.compile(r"<!-- test-command -->\n```sh\n(.+)\n```")

# The longest first, so that the last ones end together.
SESSIONS = [
    *("lowest", "newest", "types", "wired-3.14", "wired-3.15", "wired-3.13", "wired-3.12"),
    *("bench -- --check", "docs", "queues(celery)", "queues(taskiq)", "queues(arq)", "lint"),
]
# What others released today is to be known, and no fault of a change.
REPORTING = {"newest"}

SKIPPED = re.compile(
    r"^(?:SKIPPED \[\d+\]|\d+ skipped:) (?:\S+:\d+: )?(.+)$"  # of pytest
    r"|^nox > Session \S+ skipped: (.+)\.$"
    r"|^(valgrind .+ nothing is checked|.+ not comparable, nothing is checked)$",
    re.MULTILINE,
)
CLOSING = re.compile(
    r"^=*\s*(\d+ (?:passed|failed|skipped|errors?).* in [\d.]+s.*?)\s*=*$", re.MULTILINE
)


class Result(NamedTuple):
    """What became of one session."""

    name: str
    code: int
    seconds: float
    log: str

    @property
    def word(self) -> str:
        """What the table says."""
        if self.code:
            return "failed, reported only" if self.name in REPORTING else "FAILED"
        return "skipped" if "skipped: Python interpreter" in self.log else "passed"

    @property
    def closing(self) -> str:
        """The last line of its last tests."""
        lines = [found[1] for found in CLOSING.finditer(self.log)]
        return lines[-1] if lines else ""


def run(name: str, command: Sequence[str], *, show: bool = False) -> Result:
    """Run one command to its end; its output goes to its log, and to ours if it is to show."""
    began = time.monotonic()
    log = LOGS / re.sub(r"\W+", "-", name).strip("-")
    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
        log.open("wb") as file,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            if show:
                sys.stdout.buffer.write(line)
                sys.stdout.flush()
    text = log.read_text(errors="replace")
    return Result(name, process.returncode, time.monotonic() - began, text)


def main() -> int:
    """Run all; fail if one of those failed that must pass."""
    LOGS.mkdir(parents=True, exist_ok=True)
    found = COMMAND.search(Path("README.md").read_text())
    assert found, "the README has no test command"
    print("+", found[1], flush=True)
    results = [run("README", ["bash", "-c", found[1]], show=True)]

    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(run, name, ["nox", "--session", *name.split()]) for name in SESSIONS]
        for future in pending:
            result = future.result()
            print(f"\n===== {result.name}\n{result.log}", flush=True)
            results.append(result)

    print("\nSkipped, with how many sessions say so:")
    reasons = Counter(
        reason
        for result in results
        for reason in {"".join(groups) for groups in SKIPPED.findall(result.log)}
    )
    for reason, count in reasons.most_common():
        print(f"{count:4}  {reason}")
    print()
    for result in results:
        print(f"{result.name:18} {result.word:22} {result.seconds:5.0f} s  {result.closing}")
    return int(any(result.word == "FAILED" for result in results))


if __name__ == "__main__":
    sys.exit(main())
