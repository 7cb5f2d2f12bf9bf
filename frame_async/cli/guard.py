"""What commands that send something share."""

import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from frame_async.bulk.pinned import RunFileError
from frame_async.cli.bulk_command import OptionsError
from frame_async.cli.bulk_report import mistakes, print_failure
from frame_async.cli.bulk_screen import Screen
from frame_async.errors import ConfigurationError, FrameError, ValidationError
from frame_async.protocol.credentials import Mode
from frame_async.protocol.dispositions import ExitStatus, exit_status_of


@contextmanager
def needing_procrastinate() -> Generator[None]:
    """Say which extra is missing, if it is."""
    try:
        yield
    except ImportError:
        raise ConfigurationError(
            "--queue needs an extra: pip install 'frame-async[procrastinate]'"
        ) from None


def guarded(
    name: str,
    work: Callable[[], int],
    screen: Screen,
    json: TextIO | None = None,
    interrupted: str = "stopped",
) -> int:
    """Do the work of a command; its exit status, or that of what went wrong."""
    try:
        return work()
    except OptionsError as error:
        why, status = f"{name}: {error}", ExitStatus.USAGE
    except RunFileError as error:
        why, status = f"{name}: {error}", ExitStatus.STOPPED
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  # a script wants a status
        why, status = _said(name, error, interrupted), exit_status_of(error)
    for line in why.splitlines():
        screen.say(line)
    if json is not None:
        print_failure(why, status, json)
    return status


def check_mode(said: Literal["sandbox", "live"] | None, mode: Mode) -> None:
    """Check that the API key is for the mode that was said; live has to be.

    Raises:
        OptionsError: it isn't, or nothing was said and it has to be.
    """
    if said is None and mode is Mode.LIVE:
        raise OptionsError("the API key is for live mode: say --mode live if that is meant")
    if said is None and mode is Mode.UNKNOWN:
        raise OptionsError("the API key doesn't tell its mode: say --mode sandbox or --mode live")
    if said is not None and mode not in (Mode.UNKNOWN, Mode(said)):
        raise OptionsError(f"--mode {said} was said, but the API key is for {mode} mode")


def _said(name: str, error: BaseException, interrupted: str) -> str:
    match error:
        case KeyboardInterrupt():
            return interrupted
        case ValidationError():
            return f"{name}: {mistakes(error)}"
        case OSError(filename=str() | Path() as path, strerror=str(why)):
            return f"{name}: {path}: {why}"
        case FrameError() | OSError():
            return f"{name}: {error}"
        case _:
            traceback.print_exception(error)
            return f"{name}: {type(error).__name__}, please report this"
