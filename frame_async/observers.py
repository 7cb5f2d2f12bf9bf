"""What happens in a call, for code: one small interface, for logs, metrics and traces.

Each call is described in the log ``frame_async``: at INFO if it was retried, else at DEBUG.
"""

import logging
from collections.abc import Mapping

from frame_async.calls import Attempt, Call

logger = logging.getLogger("frame_async")


class Observer:
    """Override what you need; every method does nothing by default.

    The methods are called in the task of the call, so they must be quick and must not
    block. What they raise is logged and otherwise ignored: watching a call never
    changes it. Nothing that they are given holds a secret.
    """

    def bind(self, base_url: str) -> "Observer":  # noqa: ARG002  # for those who need it
        """A client of that address is being made: what is returned here watches its calls.

        Itself by default; a copy that knows the address where several clients share one
        observer. Unlike the others, it may raise, which ends the making of the client.
        """
        return self

    def trace_headers(self, key: str) -> Mapping[str, str]:  # noqa: ARG002  # for some
        """What the next attempt of the call with that idempotency key says of its trace.

        Of what is returned, ``traceparent`` and ``tracestate`` (W3C Trace Context) are sent.
        """
        return {}

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """Attempt ``number`` (from 1) of the call with that idempotency key is over."""

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """The call will sleep that many seconds before its next attempt."""

    def call_ended(self, call: Call) -> None:
        """The call is over, cancelled ones included; nothing more will be told of it."""
