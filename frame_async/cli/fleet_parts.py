"""What the commands of a fleet share."""

import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from frame_async.cli.bulk_command import OptionsError
from frame_async.cli.bulk_report import STOPPED, print_failure
from frame_async.cli.bulk_screen import Screen
from frame_async.errors import ConfigurationError, FrameError, StoreError

_WRONG: Final = 2
_INTERRUPTED: Final = 130


@contextmanager
def needing_procrastinate() -> Generator[None]:
    """Say which extra is missing, if it is."""
    try:
        yield
    except ImportError:
        raise ConfigurationError(
            "--queue needs an extra: pip install 'frame-async[procrastinate]'"
        ) from None


def guarded(name: str, work: Callable[[], int], screen: Screen, *, as_json: bool = False) -> int:
    """Do the work of a command; its exit status, or that of what went wrong."""
    try:
        return work()
    except KeyboardInterrupt:
        why, status = "stopped", _INTERRUPTED
    except StoreError as error:
        why, status = f"{name}: {error}", STOPPED
    except (FrameError, OptionsError, OSError) as error:
        why, status = f"{name}: {error}", _WRONG
    except Exception as error:  # noqa: BLE001  # a traceback alone says nothing to a script
        traceback.print_exc()
        why, status = f"{name}: {type(error).__name__}, please report this", STOPPED
    screen.say(why)
    if as_json:
        print_failure(why, status, sys.stdout)
    return status
