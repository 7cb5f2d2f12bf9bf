"""Where the documentation's examples for queues are, and the window that tests give them."""

from pathlib import Path

from frame_async import RateLimit

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "queues"
LIMIT = RateLimit(12, 1.0)
