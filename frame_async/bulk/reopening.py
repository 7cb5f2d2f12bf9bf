"""Taking up rows again that had ended: their lines leave the output, then they are open.

Whatever is killed when: a copy of the output without the lines is on the disk before the
state file forgets the rows and names the copy, and only then takes the output's place.
"""

import csv
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from attrs import evolve

from frame_async.bulk.output import COLUMNS, OutputFormat, check_written, sync_folder
from frame_async.bulk.state import RowResult, Run, RunState
from frame_async.serialization import load_json


async def reopen(
    state: RunState, run: Run, output: Path, format_: OutputFormat, endings: Sequence[RowResult]
) -> Run:
    """Forget the rows that ended so, and take their lines out of the output.

    Raises:
        ConfigurationError: the output isn't what this run wrote.
        OSError: the output can't be read or written.
    """
    check_written(output, format_, run.size, run.mark)
    output = _itself(output)
    copy = output.with_name(f"{output.name}.{run.run[:8]}.new")
    names = {ending.name.lower() for ending in endings}
    mark = 0
    with output.open("rb") as old, copy.open("wb") as new:
        while old.tell() < run.size:
            line = old.readline()
            if _result(line, format_) not in names:
                new.write(line)
                mark = crc32(line)
        new.flush()
        shutil.copymode(output, copy)
        os.fsync(new.fileno())
        going = evolve(run, size=new.tell(), mark=mark, copy=copy.name)
    sync_folder(copy)
    await state.forget(endings, going)
    return await finish(state, going, output)


async def finish(state: RunState, run: Run, output: Path) -> Run:
    """Put the copy in the place of the output, if there is one to put there."""
    if not run.copy:
        return run
    output = _itself(output)
    copy = output.with_name(run.copy)
    if copy.exists():
        copy.replace(output)
        sync_folder(output)
    done = evolve(run, copy="")
    await state.write(done)
    return done


def _itself(output: Path) -> Path:
    """The file behind a link: the link stays one, and what it leads to is replaced."""
    return output.resolve()


def _result(line: bytes, format_: OutputFormat) -> str:
    if format_ == "jsonl":
        return str(load_json(line, "line of the output")["result"])
    (cells,) = csv.reader([line.decode()])
    return dict(zip(COLUMNS, cells, strict=True))["result"]
