"""``python -m frame_async.emulator``: run the emulator until it is told to stop."""

import sys
from importlib.util import find_spec


def main() -> int:
    """Run the command; the exit status."""
    if find_spec("click") is None:
        sys.stderr.write("the emulator's command needs an extra: pip install 'frame-async[cli]'\n")
        return 2
    from .command import emulator  # noqa: PLC0415  # needs click

    emulator(prog_name="python -m frame_async.emulator")
    return 0


if __name__ == "__main__":
    sys.exit(main())
