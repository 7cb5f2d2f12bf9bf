"""``python -m frame_async``: the same as the command ``frame-async``."""

import sys

from frame_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
