"""The command line, ``frame-async``: options in, calls of the library, words out.

click and rich come with the extra ``cli``; without them, the command says so.
"""

import sys
from importlib.util import find_spec


def main() -> int:
    """Run the command line; the exit status."""
    if not all(map(find_spec, ("click", "rich", "segno"))):
        sys.stderr.write("frame-async needs its extra: pip install 'frame-async[cli]'\n")
        return 2
    from frame_async.cli.commands import cli

    cli(prog_name="frame-async")
    return 0
