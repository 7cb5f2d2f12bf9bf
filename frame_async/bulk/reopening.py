"""Taking up rows again that had ended: their lines leave the output, then they are open.

Whatever is killed when: a copy of the output without the lines is on the disk before the
state file forgets the rows and names the copy, and only then takes the output's place.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from frame_async.bulk.output import COLUMNS, OutputFormat
from frame_async.bulk.state import Ending, Run, RunState
from frame_async.serialization import load_json


async def reopen(
    state: RunState, run: Run, output: Path, format_: OutputFormat, endings: Sequence[Ending]
) -> Run:
    """Forget the rows that ended so, and take their lines out of the output.

    Raises:
        OSError: the output can't be read or written.
    """
    copy = output.with_name(f"{output.name}.new")
    names = {ending.name.lower() for ending in endings}
    with output.open("rb") as old, copy.open("wb") as new:
        while old.tell() < run.size:
            line = old.readline()
            if _result(line, format_) not in names:
                new.write(line)
        new.flush()
        os.fsync(new.fileno())
        going = evolve(run, size=new.tell(), copy=copy.name)
    await state.forget(endings, going)
    return await finish(state, going, output)


async def finish(state: RunState, run: Run, output: Path) -> Run:
    """Put the copy in the place of the output, if there is one to put there."""
    if not run.copy:
        return run
    copy = output.with_name(run.copy)
    if copy.exists():
        copy.replace(output)
    done = evolve(run, copy="")
    await state.write(done)
    return done


def _result(line: bytes, format_: OutputFormat) -> str:
    if format_ == "jsonl":
        return str(load_json(line, "line of the output")["result"])
    (cells,) = csv.reader([line.decode()])
    return dict(zip(COLUMNS, cells, strict=True))["result"]
