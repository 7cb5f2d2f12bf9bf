"""The emulator as a command: ``frame-async emulator``, or ``python -m frame_async.emulator``."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from .access_log import LOGS
from .api.checks import secret_fault
from .api.envelopes import ENVELOPES
from .seeds import read_seeds
from .server import Emulator
from .state.persistence import StateError
from .webhooks.published import ASSUMPTIONS

_EPILOG = """\
Any key that starts with sk_sandbox_ is accepted, and no other. What is printed at the start
says where the emulator listens: open it in a browser for a dashboard, and /docs there for the
API. It ends with exit status 0 on SIGINT (Ctrl-C) or SIGTERM, and with 2 when it can't start."""


class _Option(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


class _Command(click.Command):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, heading by heading."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "heading", "Other"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _or_none(_: click.Context, __: click.Parameter, text: str) -> int | None:
    """A whole number, or the word for no limit."""
    if text.lower() == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter("must be a whole number, or none") from None


def _latency(_: click.Context, __: click.Parameter, text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_address = partial(click.option, cls=_Option, heading="Where it listens")
_behaviour = partial(click.option, cls=_Option, heading="How it answers")
_events = partial(click.option, cls=_Option, heading="Webhooks")
_memory = partial(click.option, cls=_Option, heading="What it keeps and says")


@click.command(
    "emulator",
    cls=_Command,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@_address("--host", default="127.0.0.1", metavar="ADDRESS", help="Loopback address to listen on.")
@_address("--port", type=int, default=8642, metavar="N", help="Port; 0 takes a free one.")
@_address(
    "--allow-remote",
    is_flag=True,
    help="Let --host be an address that other machines can reach.",
)
@_address(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer to this name too, such as emulator.internal. May be repeated.",
)
@_behaviour(
    "--limit",
    default="50",
    metavar="N",
    callback=_or_none,
    help="Requests that a key may make in one period, or none for no limit; Frame's defaults "
    "are 50 in its sandbox and 160 live.",
)
@_behaviour("--period", type=float, default=60.0, metavar="S", help="Seconds of that period.")
@_behaviour(
    "--retry-after/--no-retry-after",
    default=True,
    help="Whether a 429 says when to come again.",
)
@_behaviour("--count-refused", is_flag=True, help="Let a 429 take a place in the window too.")
@_behaviour(
    "--idempotency",
    is_flag=True,
    help="Honour Idempotency-Key as the IETF draft has it; Frame itself ignores it.",
)
@_behaviour(
    "--latency",
    default="0",
    metavar="HOW",
    callback=_latency,
    help="Hold each answer back: seconds, 'lognormal(median=180ms, p99=900ms)', "
    "'uniform(1ms, 5ms)', 'constant(20ms)', or a file of measured milliseconds, one a line.",
)
@_behaviour(
    "--envelope",
    type=click.Choice(ENVELOPES),
    default="standard",
    help="What errors come in; Frame's clients read different ones.",
)
@_behaviour("--seed", metavar="SEED", help="Make ids, latencies and faults repeatable.")
@_events(
    "--webhook",
    "webhooks",
    multiple=True,
    metavar="URL",
    help="Send events to this address on this machine. May be repeated.",
)
@_events(
    "--webhook-secret-env",
    default="FRAME_WEBHOOK_SECRET",
    metavar="NAME",
    help="Environment variable with the secret that signs what goes there; without a secret "
    "each address gets a random one, which is shown at the start.",
)
@_events(
    "--webhook-secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with that secret.",
)
@_events(
    "--webhook-secret",
    metavar="SECRET",
    help="That secret itself, which other users of this machine can then see (`ps`).",
)
@_events(
    "--allow-webhooks-to",
    multiple=True,
    metavar="HOST",
    help="Let events go to this host too, which is not this machine. May be repeated.",
)
@_events(
    "--assume",
    multiple=True,
    metavar="NAME",
    help=f"Assume more of events than Frame publishes: {', '.join(ASSUMPTIONS)}. May be repeated.",
)
@_behaviour(
    "--products",
    type=click.Path(dir_okay=False),
    help="JSON file with a list of products: id, name, price in hundredths, and perhaps currency "
    "and picture (an image file). They are made up otherwise.",
)
@_memory(
    "--seed-sessions",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of requests, JSON Lines or a JSON list, of which sessions are made at the start, "
    "unless the state file has some.",
)
@_memory(
    "--state",
    metavar="FILE",
    help="Keep sessions, ledger and windows over a restart; no secret is in the file.",
)
@_memory(
    "--ledger-limit",
    default="10000",
    metavar="N",
    callback=_or_none,
    help="Requests that the dashboard can look back on, or none for as many as 64 MiB hold.",
)
@_memory(
    "--session-limit",
    default="100000",
    metavar="N",
    callback=_or_none,
    help="Sessions that are kept, the newest, or none for as many as 64 MiB hold.",
)
@_memory(
    "--log",
    type=click.Choice(list(LOGS)),
    default="text",
    help="A line on standard error for each request.",
)
def emulator(log: str, seed_sessions: Path | None, **given: Any) -> None:
    """Run a local stand-in for the Frame Payments API. It moves no money."""
    urls = given.pop("webhooks")
    secret, where = _secret(given, urls)
    try:
        seeds = [] if seed_sessions is None else read_seeds(seed_sessions)
        made = Emulator(
            webhooks=[url if secret is None else (url, secret) for url in urls],
            on_request=LOGS[log],
            **given,
        )
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    try:
        asyncio.run(_serve(made, where, seeds))
    except (OSError, StateError, UnicodeError) as error:  # the last for a name that can be none
        sys.stderr.write(f"{_trouble(made, error)}\n")
        sys.exit(2)


def _secret(given: dict[str, Any], urls: tuple[str, ...]) -> tuple[str | None, str]:
    """Take the options about the secret out; the secret, and where it came from."""
    plain, file = given.pop("webhook_secret"), given.pop("webhook_secret_file")
    name = given.pop("webhook_secret_env")
    if not urls and not (plain is None and file is None):
        raise click.UsageError("a secret signs what goes to --webhook, and there is none")
    if plain is not None:
        return _sound(plain, "--webhook-secret"), "the secret that was given"
    if file is not None:
        return _sound(_content(file), "--webhook-secret-file"), f"the secret in {file}"
    if urls and name in os.environ:
        return _sound(os.environ[name], name), f"the secret in {name}"
    return None, ""


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise click.UsageError(f"--webhook-secret-file: {file}: {why}") from None


def _sound(text: str, where: str) -> str:
    """Take what receivers of webhooks take as a secret; the value is never shown."""
    if fault := secret_fault(text):
        raise click.UsageError(f"{where}: {fault}")
    return text


async def _serve(made: Emulator, secret_from: str, seeds: Sequence[Mapping[str, Any]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _on_signals(lambda: loop.call_soon_threadsafe(stop.set)):
        async with made:
            if not made.created():
                made.create(seeds)
            _say(*_greeting(made, secret_from))
            await stop.wait()
        requests, sessions = made.counts
        _say(f"Frame emulator stopped: {requests} requests, {sessions} sessions")


def _say(*lines: str) -> None:
    """Print lines, if anybody reads them still: a closed pipe is no reason to fail."""
    try:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _greeting(made: Emulator, secret_from: str) -> Iterator[str]:
    rate = f"{made.limit} requests per {made.period:g} s"
    yield (
        f"Frame emulator listening on {made.base_url} "
        f"({'no rate limit' if made.limit is None else rate})"
    )
    yield "any key that starts with sk_sandbox_ is accepted"
    yield f"export FRAME_API_BASE_URL={made.base_url}"
    yield f"export FRAME_SECRET_KEY={made.api_key}"
    for endpoint in made.webhooks.endpoints():
        yield f"Webhooks to {endpoint.url} are signed with {secret_from or endpoint.secret}"


def _trouble(made: Emulator, error: Exception) -> str:
    """Say on one line why it can't start."""
    if isinstance(error, StateError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {_reason(error)}"
    taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    fix = "; stop what runs there, or take another --port" if taken else ""
    return f"cannot listen on {made.host}:{made.port}: {_reason(error)}{fix}"


def _reason(error: Exception) -> str:
    """Say why in the system's words: asyncio's change with the version of Python."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)


@contextmanager
def _on_signals(stop: Callable[[], object]) -> Generator[None, None, None]:
    """Call `stop` on SIGINT and SIGTERM, instead of what happens otherwise."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
