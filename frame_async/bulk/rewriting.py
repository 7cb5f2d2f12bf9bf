"""The output, written again from the state file: when it was lost, or rows are taken up again.

Whatever is killed when: the state file says first that the output is to be written anew, and
only a copy that is whole and on the disk takes its place.
"""

import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from attrs import evolve

from frame_async.bulk.output import (
    Output,
    OutputFormat,
    check_written,
    is_whole,
    itself,
    locked,
    sync_folder,
)
from frame_async.bulk.state import RowResult, Run, RunState
from frame_async.serialization import load_json

ANEW = -1
"""The size of an output that is to be written anew."""


async def reopen(
    state: RunState, run: Run, output: Path, format_: OutputFormat, endings: Sequence[RowResult]
) -> Run:
    """Forget the rows that ended so, and take their lines out of the output.

    Raises:
        ConfigurationError: the output isn't what this run wrote.
        RunFileError: another run is writing it.
        OSError: it can't be read or written.
    """
    check_written(output, format_, run.size, run.mark)
    going = evolve(run, size=ANEW, mark=0)
    await state.forget(endings, going)
    return await rewrite(state, going, output, format_)


async def rewrite(state: RunState, run: Run, output: Path, format_: OutputFormat) -> Run:
    """Write the lines of all rows that have a result; nothing is sent.

    What else is found under the name of the output is kept beside it, as ``NAME.found``.

    Raises:
        ConfigurationError: the output is a link that isn't to be followed.
        RunFileError: another run is writing it.
        OSError: it can't be read or written.
    """
    output = itself(output)
    found = run.size != ANEW and output.exists() and output.stat().st_size
    if found and not is_whole(output, run.size, run.mark):
        shutil.copy2(output, _free(output))
    await state.write(evolve(run, size=ANEW, mark=0))
    copy = output.with_name(f"{output.name}.{run.run[:8]}.new")
    copy.unlink(missing_ok=True)
    with locked(output):
        new = Output(copy, format_)
        try:
            await state.each_line(lambda text: new.append(load_json(text, "line")))
            new.sync()
            if output.exists():
                shutil.copymode(output, copy)
            copy.replace(output)
        finally:
            new.close()
    sync_folder(output)
    done = evolve(run, size=new.size, mark=new.mark)
    await state.write(done)
    return done


def _free(output: Path) -> Path:
    """A name beside the output that nothing has yet."""
    names = (f"{output.name}.found{number or ''}" for number in count())
    return next(path for name in names if not (path := output.with_name(name)).exists())
