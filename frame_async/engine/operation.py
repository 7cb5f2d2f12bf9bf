"""What a call of Frame's API is: a declaration that the engine runs."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from attrs import define, frozen

from frame_async.calls import Call
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import Lane

R_contra = TypeVar("R_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


@frozen(kw_only=True, eq=False)
class Operation(Generic[R_contra, T_co]):
    """One endpoint: how its requests are written, its answers read, its keys remembered."""

    method: str
    """HTTP method."""
    path: str
    """Below the base URL, such as ``/payment_link_sessions``."""
    if_unreadable: str
    """An error's first words after a 2xx, such as ``a session was created``."""
    if_unknown: str
    """Its first words when nobody knows, such as ``a session may exist``."""
    if_refused: str
    """Its first words when the server said no, such as ``nothing was created``."""
    dump: Callable[[R_contra], bytes]
    """The body: equal requests give equal bytes."""
    dump_fields: Callable[[R_contra], tuple[bytes, Mapping[str, bytes]]]
    """The body, and what stands for each of its fields in a fingerprint."""
    load: Callable[[bytes, Call], T_co]
    """Reads the body of a 2xx; raises `UnreadableError`."""
    salvage_id: Callable[[bytes], str | None]
    """The id in a body that can't be read."""
    secrets: Callable[[R_contra], tuple[str, ...]]
    """Values of the request that an answer may echo and a message must not."""
    lifetime: Callable[[R_contra], float]
    """Seconds that what it creates lives, which is how long its key has to be remembered."""


@define(kw_only=True, eq=False, repr=False)
class CallOptions:
    """How one call is made; checked."""

    key: str | None = None
    """The caller's own idempotency key."""
    timeout: float
    """Seconds for the whole call."""
    policy: RetryPolicy
    safe: bool = False
    """Whether the request changes nothing (RFC 9110 9.2.1), so that it makes no duplicate."""
    lane: Lane = Lane.INTERACTIVE
    run: object = None
    """The bulk run it belongs to: whoever waits for the rate limiter is dismissed with its run."""
