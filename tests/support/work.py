"""The work that benchmarks compare: 270 bytes of JSON are posted, 390 come back.

Only the standard library is needed here, because environments of other libraries use it.
"""

import json
from typing import Any, Final

GIVEN: Final[dict[str, Any]] = {
    "account": "f8b22e7f-c84a-4560-930e-2d505ad9aef5",
    "client_reference_id": "order-42001",
    "line_items": [{"product": "prod_1", "quantity_maximum": 3, "quantity_minimum": 1}],
    "success_url": "https://shop.example/thanks?order=42001",
    "cancel_url": "https://shop.example/cart?step=pay",
}
BODY: Final = json.dumps(GIVEN, separators=(",", ":")).encode()
PATH: Final = "/v1/payment_link_sessions"
HEADERS: Final = {
    "Authorization": "Bearer sk_sandbox_x",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "bench",
}
ANSWERED: Final = "60574c6d-2f16-4b03-a852-079fffd087db"
"""The id that every answer has, whoever reads it."""


def base_url(port: int) -> str:
    """The server by name, as a client of a public API has it."""
    return f"http://localhost:{port}"
