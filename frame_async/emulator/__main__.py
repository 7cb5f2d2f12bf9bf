"""``python -m frame_async.emulator``: run the emulator until it is told to stop."""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .server import Emulator
from .state.persistence import StateError

_PROG = "python -m frame_async.emulator"

_EPILOG = """\
Any key that starts with sk_sandbox_ is accepted, and no other. The line printed
on standard output says where the emulator listens: open it in a browser for a
dashboard, and /docs there for the API. With --webhook, a line for each address
follows with the secret that signs what goes there. It ends with exit code 0 on
SIGINT (Ctrl-C) or SIGTERM, and with 2 when it can't start."""


def main(argv: Sequence[str] | None = None, prog: str = _PROG) -> int:
    """Run the emulator with command-line arguments; return the exit code.

    Call it from the main thread: it sets signal handlers while it runs. `prog` is what the
    command is called in its help.

    Raises:
        SystemExit: From argparse, for ``--help`` (0) and bad arguments (2).
    """
    parser = _make_parser(prog)
    options = vars(parser.parse_args(argv))
    given = options.pop("webhook_secret")
    if given is not None and not options["webhooks"]:
        parser.error("--webhook-secret signs what goes to --webhook, and there is none")
    options["webhooks"] = [url if given is None else (url, given) for url in options["webhooks"]]
    try:
        emulator = Emulator(**options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        asyncio.run(_serve(emulator, show_secrets=given is None))
    except StateError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, UnicodeError) as error:  # the latter for a name that can be none
        if isinstance(error, OSError) and error.filename is not None:
            sys.stderr.write(f"{error.filename}: {_reason(error)}\n")
            return 2
        sys.stderr.write(f"cannot listen on {emulator.host}:{emulator.port}: {_reason(error)}\n")
        return 2
    return 0


async def _serve(emulator: Emulator, *, show_secrets: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with _on_signals(lambda: loop.call_soon_threadsafe(stop.set)):
        async with emulator:
            sys.stdout.write(f"{_greeting(emulator)}\n")
            for endpoint in emulator.webhooks.endpoints():
                how = endpoint.secret if show_secrets else "the secret that was given"
                sys.stdout.write(f"Webhooks to {endpoint.url} are signed with {how}\n")
            sys.stdout.flush()
            await stop.wait()


def _reason(error: Exception) -> str:
    """Say why in the system's words: asyncio's change with the version of Python."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)


def _greeting(emulator: Emulator) -> str:
    rate = f"{emulator.limit} requests per {emulator.period:g} s"
    return (
        f"Frame emulator listening on {emulator.base_url} "
        f"({'no rate limit' if emulator.limit is None else rate}); "
        "any key that starts with sk_sandbox_ is accepted"
    )


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


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where they say something: not of flags, and not where there is none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, int | float | str) and not isinstance(action.default, bool):
            return super()._get_help_string(action)
        return action.help


def _make_parser(prog: str = _PROG) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Run a local stand-in for the Frame Payments API. It moves no money.",
        epilog=_EPILOG,
        formatter_class=_Formatter,
    )
    _add_address(parser.add_argument)
    _add_behaviour(parser.add_argument)
    _add_webhooks(parser.add_argument)
    _add_run(parser.add_argument)
    return parser


def _add_address(add: Callable[..., Any]) -> None:
    add("--host", default="127.0.0.1", help="loopback address to listen on")
    add("--port", type=int, default=8642, help="port to listen on; 0 takes a free one")
    add(
        "--allow-remote",
        action="store_true",
        help="let --host be an address that other machines can reach",
    )


def _add_behaviour(add: Callable[..., Any]) -> None:
    add(
        "--limit",
        type=_limit,
        default=50,
        metavar="N",
        help="requests that a key may make in one period, or 'none'; "
        "Frame's defaults are 50 in its sandbox and 160 live",
    )
    add("--period", type=float, default=60.0, metavar="S", help="length of the window, in seconds")
    add(
        "--idempotency",
        action="store_true",
        help="heed Idempotency-Key as the IETF draft has it; Frame itself ignores it",
    )
    add(
        "--no-retry-after",
        action="store_false",
        dest="retry_after",
        default=True,
        help="leave Retry-After out of a 429",
    )
    add("--count-refused", action="store_true", help="let a 429 take a place in the window too")


def _add_webhooks(add: Callable[..., Any]) -> None:
    add(
        "--webhook",
        action="append",
        default=[],
        dest="webhooks",
        metavar="URL",
        help="send events to this address on this machine; may be given several times",
    )
    add(
        "--webhook-secret",
        type=_secret,
        metavar="SECRET|@FILE",
        help="sign what goes there with this secret, or the one in a file, which no list of "
        "processes shows; it is the emulator's and not one of Frame's; without it each address "
        "gets one by chance, which is shown at the start",
    )
    add(
        "--allow-webhooks-to",
        action="append",
        default=[],
        metavar="HOST",
        help="let events go to this host too, which is not this machine; several times if need be",
    )


def _add_run(add: Callable[..., Any]) -> None:
    add(
        "--latency",
        type=_latency,
        default=0.0,
        metavar="HOW",
        help="hold each answer back: seconds, 'lognormal(median=180ms, p99=900ms)', "
        "'uniform(1ms, 5ms)', 'constant(20ms)', or a file of measured milliseconds, one a line",
    )
    add("--seed", metavar="SEED", help="make ids, latencies and faults repeatable")
    add(
        "--state",
        metavar="FILE",
        help="keep sessions, ledger and windows in a file, over a restart; no secret is in it",
    )
    add(
        "--ledger-limit",
        type=_limit,
        default=10_000,
        metavar="N",
        help="requests that the dashboard can look back on, or 'none' for as many as 64 MiB hold",
    )
    add(
        "--session-limit",
        type=_limit,
        default=100_000,
        metavar="N",
        help="sessions that are kept, the newest, or 'none' for as many as 64 MiB hold",
    )


def _limit(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


def _secret(text: str) -> str:
    """Take what receivers of webhooks take as a secret; the value is never shown."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            why = _reason(error) if isinstance(error, OSError) else "it isn't text"
            raise argparse.ArgumentTypeError(f"{text[1:]} can't be read: {why}") from None
    if not re.fullmatch(r"[!-~]{1,512}", text):
        raise argparse.ArgumentTypeError(
            "must be 1 to 512 visible ASCII characters, without whitespace"
        )
    if text.startswith(("sk_", "pk_")):
        raise argparse.ArgumentTypeError("must be a secret for webhooks, and not an API key")
    return text


def _latency(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
