"""Who is asked before connections are opened: nobody, unless our pytest plugin says so.

Apart from everything else, because pytest imports its plugins at each start.
"""

from collections.abc import Callable
from typing import Any

on_open: Callable[[Any, str, Any], None] | None = None
"""Called with an aiohttp connector, a base URL and a boxed API key, when a client begins to use
the connector for that address."""
