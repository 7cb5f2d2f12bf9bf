"""The one cattrs converter, made when it is first needed.

A client that is being made needs none, and loading cattrs takes as long as the rest of this
library together; so nothing else imports `_hooks`, which is where cattrs is.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cattrs.preconf.msgspec import MsgspecJsonConverter

T = TypeVar("T")


@cache
def converter() -> "MsgspecJsonConverter":
    """The converter with all of its hooks."""
    from frame_async.serialization._hooks import make  # noqa: PLC0415  # see above

    return make()


def structure(decoded: Mapping[str, Any], cls: type[T], what: str) -> T:
    """Build an instance out of decoded JSON, with every check.

    Raises:
        UnreadableError: a value is missing or of a wrong type; it has all of them, with paths.
    """
    from frame_async.serialization._hooks import structured  # noqa: PLC0415  # the same

    return structured(converter(), decoded, cls, what)
