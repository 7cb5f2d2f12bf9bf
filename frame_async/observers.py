"""What happens in a call, for code: one small interface, for logs, metrics and traces.

Each call is described in the log ``frame_async``: at INFO if it was retried, else at DEBUG.
"""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from frame_async.calls import Attempt, Call

logger = logging.getLogger("frame_async")

CREATE_SESSION: Final = "POST /v1/payment_link_sessions"
"""The endpoint of payment link sessions, as `Observer.bind` hears it."""


class Observer:
    """Override what you need; every method does nothing by default.

    The methods are called in the task of the call, so they must be quick and must not
    block. What they raise is logged and otherwise ignored: watching a call never
    changes it. Nothing that they are given holds a secret.
    """

    def bind(self, base_url: str, endpoint: str) -> "Observer":  # noqa: ARG002  # for some
        """What is returned here watches the calls of an endpoint of a client of that address.

        ``endpoint`` is such as ``POST /v1/payment_link_sessions`` or ``GET /v1/products/{id}``.
        Itself by default; a copy that knows them where figures are told apart. Unlike the
        others, it may raise, which ends the making of the client, or the first call there.
        """
        return self

    def attempt_started(
        self,
        key: str,  # noqa: ARG002  # for those who need it, as the others
        number: int,  # noqa: ARG002
        started: datetime,  # noqa: ARG002
        elapsed: float,  # noqa: ARG002
    ) -> Mapping[str, str]:
        """Attempt ``number`` (from 1) of the call with that idempotency key begins.

        At the wall-clock time ``started`` (UTC), ``elapsed`` seconds after its call. Of what is
        returned, ``traceparent`` and ``tracestate`` (W3C Trace Context) are sent.
        """
        return {}

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """Attempt ``number`` (from 1) of the call with that idempotency key is over."""

    def waiting(self, key: str, seconds: float, why: str) -> None:
        """The call will sleep that many seconds before its next attempt."""

    def call_ended(self, call: Call) -> None:
        """The call is over, cancelled ones included; nothing more will be told of it."""
