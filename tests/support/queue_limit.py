"""Where the documentation's examples for queues are, and the window that tests give them."""

from pathlib import Path

import frame_async
from frame_async import RateLimit

EXAMPLES = Path(frame_async.__file__).parents[1] / "docs" / "examples" / "queues"
LIMIT = RateLimit(12, 1.0)
