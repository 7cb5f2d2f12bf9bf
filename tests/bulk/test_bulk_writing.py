"""From results to the disk: whole lines, commits in order, outages."""

import asyncio
import csv
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from frame_async.bulk.journal import Journal
from frame_async.bulk.outage import Outage
from frame_async.bulk.output import Output, check_written
from frame_async.bulk.state import Recorded, RowResult, Run, RunState
from frame_async.errors import ConfigurationError, StoreError

RUN = Run(target="sandbox at x", account="a", key_column="", output="out.jsonl (jsonl)")


def line(number: int, longer: int = 0) -> dict[str, Any]:
    """A line of the output."""
    return {"row": number, "line": number + 1, "reference": "x" * longer, "result": "created"}


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may grow beyond that many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_a_line_that_does_not_fit(tmp_path: Path, format_: Any) -> None:
    """On a full disk there is no part of a line, and what there was can be gone on with."""
    path = tmp_path / "out"
    output = Output(path, format_)
    with small_files(1_000):
        with pytest.raises(OSError, match="too large"):
            for number in range(1, 1_000):
                output.append(line(number, 50))
    data = path.read_bytes()
    assert data.endswith(b"\n")
    assert (len(data), output.size) == (output.size, path.stat().st_size)
    size, mark = output.size, output.mark
    output.close()
    again = Output(path, format_, size, mark)
    again.append(line(999))
    again.close()
    assert path.read_bytes().startswith(data)
    check_written(path, format_, again.size, again.mark)
    with pytest.raises(ConfigurationError, match="isn't as this run left it"):
        check_written(path, format_, again.size, again.mark + 1)


class SlowDisk(Output):
    """An output whose first sync takes its time."""

    syncs = 0

    def sync(self) -> None:
        import time

        self.syncs += 1
        time.sleep(0.3 if self.syncs == 1 else 0)
        super().sync()


async def test_a_slow_commit_is_waited_for(tmp_path: Path) -> None:
    """Closing while a commit is under way waits for it, and the size never goes back."""
    state = RunState(tmp_path / "state")
    await state.find()
    await state.write(RUN)
    troubles: list[str] = []
    output = SlowDisk(tmp_path / "out.jsonl", "jsonl")
    journal = Journal(output, state, troubles.append)
    for number in range(1, 6):
        assert journal.add(line(number), Recorded(number, 1, int(RowResult.CREATED)))
    while not output.syncs:  # noqa: ASYNC110  # a thread changes it
        await asyncio.sleep(0.01)
    assert journal.add(line(6), Recorded(6, 1, int(RowResult.CREATED)))
    await journal.aclose()
    found = await state.find()
    assert found is not None
    assert (found.size, found.mark) == (output.size, output.mark)
    assert (await state.counts())[RowResult.CREATED] == 6
    await state.aclose()
    output.close()
    assert troubles == []


class BrokenDisk(Output):
    """An output whose first sync fails; a second one would claim that all is well."""

    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs == 1:
            raise OSError(5, "Input/output error")


async def test_after_a_failed_sync_nothing_is_remembered(tmp_path: Path) -> None:
    """What may be lost is not called done, whatever a later sync says."""
    state = RunState(tmp_path / "state")
    await state.find()
    await state.write(RUN)
    troubles: list[str] = []
    output = BrokenDisk(tmp_path / "out.jsonl", "jsonl")
    journal = Journal(output, state, troubles.append)
    journal.add(line(1), Recorded(1, 1, int(RowResult.CREATED)))
    while not output.syncs:  # a thread changes it
        journal.add(line(2), Recorded(2, 1, int(RowResult.CREATED)))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not journal.add(line(3), Recorded(3, 1, int(RowResult.CREATED)))
    await journal.aclose()
    assert sum((await state.counts()).values()) == 0
    assert troubles == ["the output can't be written: Input/output error"]
    await state.aclose()
    output.close()


async def test_a_state_that_goes_away(tmp_path: Path) -> None:
    """A state file that can't be written any more is trouble, told once."""
    state = RunState(tmp_path / "state")
    await state.find()
    await state.write(RUN)
    troubles: list[str] = []
    output = Output(tmp_path / "out.jsonl", "jsonl")
    journal = Journal(output, state, troubles.append)
    journal.add(line(1), Recorded(1, 1, int(RowResult.CREATED)))
    (tmp_path / "state").unlink()
    await journal.aclose()
    assert len(troubles) == 1
    assert "was deleted, emptied, replaced" in troubles[0]
    assert journal.broken
    output.close()
    with pytest.raises(StoreError):
        await state.counts()


def test_an_outage() -> None:
    """Pauses double up to half a minute, count from the first failure, and end with an answer."""
    outage, now, pauses = Outage(600.0), 0.0, list[float]()
    while not outage.began(now, "no"):
        assert not outage.began(now, "no") or now >= 600  # those that fail together count once
        pauses.append(outage.pause(now))
        now += outage.pause(now)
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert set(pauses[6:]) == {30}
    assert 600 <= now < 631
    outage.over()
    assert (outage.why, outage.pause(now)) == ("", 0.0)
    assert not outage.began(now, "no")
    assert outage.pause(now) == 1.0


@pytest.mark.parametrize("before", ["\u200b", "\ufeff", " \u2060", "\u00a0\u200d", "\u3000"])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d"])
def test_what_nobody_sees_before_a_formula_is_no_way_around(
    tmp_path: Path, before: str, sign: str
) -> None:
    """An invisible character before the sign doesn't keep a cell from being escaped."""
    output = Output(tmp_path / "out.csv", "csv")
    output.append({"reference": f"{before}{sign}1", "url": f"{before}{sign}2", "row": -1})
    output.close()
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["reference"], row["url"]) == (f"'{before}{sign}1", f"'{before}{sign}2")
    assert row["row"] == "-1"
