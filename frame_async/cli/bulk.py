"""``frame-async bulk``: a file of orders, a session for each, and never twice."""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from attrs import evolve

from frame_async.bulk.checking import Checked
from frame_async.bulk.file_run import FileRun, Numbers, Options
from frame_async.bulk.forecast import Forecast
from frame_async.bulk.layouts import Layout, parse_pairs
from frame_async.bulk.output import Output, check_free, itself
from frame_async.bulk.pinned import RunFileError
from frame_async.bulk.rewriting import ANEW, reopen, rewrite
from frame_async.bulk.sources import Input, open_input
from frame_async.bulk.state import Recorded, RowResult, Run, RunState, check_same, store_name
from frame_async.bulk.waiting import Waits
from frame_async.cli.bulk_check import InputCheck, checking, known_run
from frame_async.cli.bulk_command import CHANGED, STDIN, Command, OptionsError
from frame_async.cli.bulk_report import Report, print_checked, print_report
from frame_async.cli.bulk_resume import resuming
from frame_async.cli.bulk_screen import Screen, watch
from frame_async.cli.guard import check_mode, guarded
from frame_async.cli.stops import listening
from frame_async.client import FrameClient
from frame_async.errors import FrameError, StoreError
from frame_async.observers import Observer
from frame_async.protocol.credentials import Mode
from frame_async.protocol.window import LIVE, SANDBOX, Lane, RateLimit
from frame_async.secret import Secret
from frame_async.stores import Store, open_store

_YEAR: Final = 366 * 86_400.0
_MINUTE: Final = 60.0


def run_bulk(command: Command) -> int:
    """Check the file, run it, and print a summary; the exit status."""
    screen = Screen(sys.stderr, command.every)
    logging.getLogger("frame_async").setLevel(
        logging.WARNING if command.verbose else logging.CRITICAL
    )
    json = sys.stderr if command.to_stdout else sys.stdout
    return guarded(
        "frame-async bulk",
        lambda: _run(command, screen),
        screen,
        json if command.as_json else None,
        "stopped before the first request",
    )


def _run(command: Command, screen: Screen) -> int:
    layout = Layout(parse_pairs("--map", command.maps), parse_pairs("--set", command.sets))
    _check_together(command)
    if command.rewrite:
        return asyncio.run(_rewrite(command, screen))
    path = None if command.orders == STDIN else command.orders
    with open_input(
        path,
        sys.stdin.buffer,
        command.reading,
        layout,
        folder=command.folder,
        on_spooling=screen.say,
    ) as source:
        client = (
            None if command.check_only or command.on_emulator else _client(command, command.store)
        )
        if command.queue is not None:
            return _enqueue(command, source, client, screen)
        del client  # it was made to find wrong options early; the real one needs a loop
        with checking(command, source, known_run(command), screen) as checked:
            found = checked.found
            if command.check_only or (command.strict and found.bad):
                return print_checked(found, checked.wrong, sys.stdout if command.as_json else None)
            report = asyncio.run(
                _go(evolve(command, key_column=checked.key_column), checked, screen)
            )
    print_report(report, sys.stderr if command.to_stdout else sys.stdout, as_json=command.as_json)
    return report.exit_status


def _enqueue(command: Command, source: Input, client: FrameClient | None, screen: Screen) -> int:
    from frame_async.cli.fleet_enqueue import enqueue
    from frame_async.fleet.runs import FleetRun, queue_of

    run = None
    if client is not None:
        limit = _limit(command, client.mode)
        run = FleetRun(
            name=command.run or command.orders.name,
            queue=queue_of(client.scope),
            mode="live" if Mode.LIVE in (client.mode, command.mode) else "sandbox",
            target=f"{command.mode or client.mode} at {client.base_url}",
            account=client.scope,
            key_column=command.key_column,
            hold=command.on_unknown == "hold",
            requests=limit.requests if limit else None,
            per=limit.per if limit else None,
        )
    return enqueue(command, source, run, screen)


def _check_together(command: Command) -> None:
    if command.queue is not None:
        _check_with_queue(command)
        return
    if command.on_emulator and command.proxy:
        raise OptionsError("--proxy leads to Frame: it doesn't go together with --emulator")
    if command.run is not None:
        raise OptionsError("--run names a run in a queue: say --queue, too")
    if command.output is None and not command.check_only:
        raise OptionsError("where do the results go? name a file with -o, or - for the output")
    if command.rewrite and not command.to_file:
        raise OptionsError("--rewrite writes a file again: name it with -o")
    if command.again and not command.to_file:
        raise OptionsError("--again takes lines out of the output, so that has to be a file")


def _check_with_queue(command: Command) -> None:
    if command.output is not None:
        raise OptionsError("with --queue, results are written by: frame-async bulk status -o FILE")
    if command.on_emulator or command.store or command.state or command.new_key:
        raise OptionsError(
            "--queue doesn't go together with --emulator, --store, --state, --new-key"
        )
    if command.orders == STDIN and not command.run and not command.check_only:
        raise OptionsError("what comes from a pipe has no name: name the run with --run")


async def _rewrite(command: Command, screen: Screen) -> int:
    """Write the output again, and nothing else; the exit status."""
    with _state_path(command) as path:
        if not path.is_file():
            raise OptionsError(f"there is no state file {path} to write the output from")
        state = RunState(itself(path))
        try:
            found = await state.find()
            if found is None or command.output is None:
                raise OptionsError(f"the state file {path} knows no run")
            check_same(found, evolve(found, output=_output_name(command)), path)
            await rewrite(state, found, command.output, command.written_as)
            rows = sum((await state.counts()).values())
        finally:
            await state.aclose()
    screen.say(f"{rows:,} lines written again to {command.output}")
    return 0


def _output_name(command: Command) -> str:
    return f"{command.output.name if command.output else None} ({command.written_as})"


async def _go(command: Command, checked: InputCheck, screen: Screen) -> Report:
    started = time.monotonic()
    with _state_path(command) as state_path, listening(screen.say) as stops:
        state = RunState(itself(state_path))
        try:
            waits = Waits()
            async with _frame(command, state, waits) as client:
                new = command.to_file and await state.find() is None
                run = await _begin(command, client, state, checked.found.wrong, screen)
                before = await state.counts()
                path = None if command.to_stdout else command.output
                output = Output(path, command.written_as, run.size, run.mark, new=new)
                going = _file_run(command, client, checked, state, run, output)
                stops.attach(going.stop)
                async with watch(going, checked.found.total, before, waits, screen):
                    await going.go()
                await _see_to_output(command, going, output, state, screen)
                created = before[RowResult.CREATED]
                report = await _report(command, going, checked.found, state, created)
        finally:
            await state.aclose()
        return evolve(report, signal=stops.signal, seconds=time.monotonic() - started)


async def _see_to_output(
    command: Command, run: FileRun, output: Output, state: RunState, screen: Screen
) -> None:
    """See that the output is whole, before anybody says so; else it is written again."""
    harm = await asyncio.to_thread(output.damage)
    output.close()
    if not harm or command.output is None:
        return
    screen.say(f"the output {command.output} {harm}: it is written again from the state file")
    try:
        found = await state.find()
        if found is not None:
            await rewrite(state, found, command.output, command.written_as)
            return
        error: Exception | str = "the state file has lost its run"
    except (OSError, RunFileError, FrameError) as caught:
        error = caught
    run.stopped = run.stopped or f"the output {harm}, and can't be written again: {error}"


async def _begin(
    command: Command, client: FrameClient, state: RunState, wrong: int, screen: Screen
) -> Run:
    """Begin a run, or go on with the one that the state file knows."""
    place = "the emulator" if command.on_emulator else client.base_url
    mine = Run(
        target=f"{command.mode or client.mode} at {place}",
        account="emulator" if command.on_emulator else client.scope,
        key_column=command.key_column,
        output=_output_name(command),
        store=store_name(command.store),
        wrong=wrong,
    )
    found = await state.find()
    if found is None:
        if command.output and command.to_file:
            check_free(command.output)
        await state.write(mine)
        return mine
    going = evolve(
        found,
        account=mine.account if command.new_key else found.account,
        wrong=wrong,
        complete=False,
    )
    check_same(going, mine, state.path)
    await state.write(going)
    if command.output is None or not command.to_file:
        return evolve(going, complete=found.complete)
    gone = not command.output.exists() or not command.output.stat().st_size
    if going.size == ANEW or (going.size and gone):
        screen.say(f"the output {command.output} is written again from the state file")
        going = await rewrite(state, going, command.output, command.written_as)
    endings = [RowResult[name.upper()] for name in command.again if name != CHANGED]
    if endings:  # what is taken up again isn't new
        return await reopen(state, going, command.output, command.written_as, endings)
    return evolve(going, complete=found.complete)


def _file_run(
    command: Command,
    client: FrameClient,
    checked: InputCheck,
    state: RunState,
    run: Run,
    output: Output,
) -> FileRun:
    limit = _limit(command, client.mode)
    return FileRun(
        client,
        checked.source,
        checked.found,
        state,
        run,
        output,
        Forecast(time.monotonic(), limit, limit.open_to(Lane.BULK) if limit else 1),
        Options(
            mode=command.mode or "sandbox",  # live and unknown keys have to say theirs
            policy=command.policy,
            max_in_flight=command.concurrency,
            grace=command.grace,
            patience=command.patience,
            take_changed=CHANGED in command.again,
        ),
    )


@asynccontextmanager
async def _frame(command: Command, state: RunState, waits: Waits) -> AsyncGenerator[FrameClient]:
    async with AsyncExitStack() as stack:
        store = state.store if command.store is None else open_store(Secret(command.store))
        if store is not state.store:
            stack.push_async_callback(store.aclose)
        store, watching = waits.window.watched(store), (waits.answers,)
        if not command.on_emulator:
            yield await stack.enter_async_context(_client(command, store, watching))
            return
        from frame_async.emulator import Emulator

        limit = SANDBOX.requests if command.limit is None else command.limit or None
        emulator = await stack.enter_async_context(
            Emulator(limit=limit, ledger_limit=1_000, session_limit=10_000)
        )
        client = _client(command, store, watching, emulator.api_key, emulator.base_url)
        yield await stack.enter_async_context(client)


def _client(
    command: Command,
    store: Store | str | None = None,
    observers: Sequence[Observer] = (),
    api_key: str | None = None,
    base_url: str | None = None,
) -> FrameClient:
    client = FrameClient(
        api_key,
        base_url=base_url,
        max_in_flight=max(100, command.concurrency),
        rate_limit="mode" if command.limit is None else _given_limit(command.limit),
        store=store,
        proxy=command.proxy,
        observers=observers,
        remember=_YEAR,
    )
    check_mode(command.mode, client.mode)
    return client


def _given_limit(requests: int) -> RateLimit | None:
    return RateLimit(requests, _MINUTE) if requests else None


def _limit(command: Command, mode: Mode) -> RateLimit | None:
    if command.limit is not None:
        return _given_limit(command.limit)
    return LIVE if mode is Mode.LIVE else SANDBOX


@contextmanager
def _state_path(command: Command) -> Generator[Path]:
    """Where the state file is; without a name for it, one that is gone afterwards."""
    if command.state_path is not None:
        yield command.state_path
    else:
        with tempfile.TemporaryDirectory(prefix="frame-async-") as folder:
            yield Path(folder) / "bulk.state"


async def _report(
    command: Command, run: FileRun, checked: Checked, state: RunState, before: int
) -> Report:
    numbers = run.numbers
    try:
        counts, in_doubt = await state.counts(), await state.in_doubt()
        some_lost = numbers.changes or sum(counts.values()) > numbers.done
        found = await state.lost(checked.has) if run.complete and some_lost else []
        # What a changed row said before is named with it.
        lost = [row for row in found if row.number not in numbers.places]
    except StoreError as error:  # it went away meanwhile: say at least what this run saw
        run.stopped = run.stopped or error.message
        counts, in_doubt, before = {ending: numbers.ended[ending] for ending in RowResult}, [], 0
        lost = []
    return Report(
        rows=checked.total,
        done=numbers.done,
        complete=run.complete,
        counts=counts,
        created_before=before,
        replayed=numbers.replayed,
        retried=numbers.retries,
        in_doubt=tuple(in_doubt),
        changed=tuple(numbers.changed),
        changes=numbers.changes,
        new=tuple(numbers.new),
        news=numbers.news,
        lost=tuple(lost),
        undecided=0 if command.key_column else _undecided(numbers, lost),
        stopped=run.stopped,
        resume=resuming(sys.argv[1:]) if command.to_file or command.state else None,
    )


def _undecided(numbers: Numbers, lost: Sequence[Recorded]) -> int:
    """Sessions that may be second ones: of rows that moved and were changed as well.

    Such a row can't be told from a new one, beside another that was taken out.
    """
    with_session = sum(row.ending in (RowResult.CREATED, RowResult.UNKNOWN) for row in lost)
    others = with_session - numbers.replaced
    return max(0, min(numbers.sent - numbers.replaced, others))
