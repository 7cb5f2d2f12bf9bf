"""What is measured of calls, under OpenTelemetry's names, wherever the figures go.

The names, units, buckets and attributes of ``http.client.request.duration`` are those of
OpenTelemetry's semantic conventions for HTTP (stable since 1.23); the others are ours.
No attribute holds what a caller made up, such as a key: each would be a time series.
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Final, Self
from urllib.parse import urlsplit

from attrs import frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.observers import CREATE_SESSION, Observer
from frame_async.protocol.credentials import DEFAULT_BASE_URL, normal_base_url
from frame_async.protocol.outcomes import Ending

Attributes = Mapping[str, str | int]
Record = Callable[[float, Attributes], None]
"""Adds to a counter, or puts a value into a histogram."""

HTTP_VERSION: Final = "1.1"
"""What requests are sent with."""

_ENDINGS: Final = {str(ending): ending.name.lower() for ending in Ending if ending}


@frozen
class Instrument:
    """A counter; with buckets, a histogram."""

    name: str
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    """The names of the attributes that a figure may have."""
    buckets: tuple[float, ...] = ()


REQUESTS: Final = Instrument(
    "http.client.request.duration",
    "s",
    "Duration of HTTP client requests.",
    (
        "http.request.method",
        "server.address",
        "server.port",
        "url.template",
        "network.protocol.version",
        "http.response.status_code",
        "error.type",
    ),
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
CALLS: Final = Instrument(
    "frame.client.calls", "{call}", "Calls that are over.", ("frame.outcome", "error.type")
)
RETRIES: Final = Instrument("frame.client.retries", "{attempt}", "Attempts after the first.")
DUPLICATES: Final = Instrument(
    "frame.client.possible_duplicates",
    "{session}",
    "Attempts that may have created a session that nobody has.",
)
WINDOW_WAIT: Final = Instrument(
    "frame.client.window.wait",
    "s",
    "Wait of an attempt for its place in the rate window.",
    (),
    (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0, 3600.0),
)


@frozen
class MeasuredEndpoint:
    """Where a client's requests go."""

    name: str
    """Such as ``GET /v1/products/{id}``."""
    method: str
    url: str | None
    """None where ids are in it, which only the request itself knows."""
    attributes: Attributes

    @property
    def span(self) -> str:
        """What the span of a request is called."""
        return f"{self.method} {self.attributes['url.template']}"

    @classmethod
    def of(cls, base_url: str, endpoint: str) -> Self:
        """An endpoint below a client's address."""
        method, path = endpoint.split(" ")
        url = base_url + path.removeprefix("/v1")
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        attributes: Attributes = {
            "http.request.method": method,
            "server.address": parts.hostname or "",
            "server.port": port,
            "url.template": parts.path,
        }
        known = None if "{" in url else url
        return cls(endpoint, method, known, attributes)

    def about(self, attempt: Attempt) -> dict[str, str | int]:
        """The attributes of one request, fit for metrics."""
        found = dict(self.attributes)
        if attempt.connect is not None:
            found["network.protocol.version"] = HTTP_VERSION
        if attempt.status is not None:
            found["http.response.status_code"] = attempt.status
        if error := error_of(attempt):
            found["error.type"] = error
        return found


SESSIONS: Final = MeasuredEndpoint.of(normal_base_url(DEFAULT_BASE_URL), CREATE_SESSION)


class Measuring(Observer):
    """Tells instruments what it hears; whoever makes them decides where figures go."""

    def __init__(self, make: Callable[[Instrument], Record]) -> None:
        self.endpoint = SESSIONS
        """Where the calls go that it hears of."""
        self._requests, self._calls = make(REQUESTS), make(CALLS)
        self._retries, self._duplicates = make(RETRIES), make(DUPLICATES)
        self._waits = make(WINDOW_WAIT)

    def bind(self, base_url: str, endpoint: str) -> Self:
        """The same instruments, for an endpoint of a client of that address."""
        bound = copy(self)
        bound.endpoint = MeasuredEndpoint.of(base_url, endpoint)
        return bound

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:  # noqa: ARG002
        """Measure the request, and how long it had waited for the window."""
        self._requests(attempt.duration, self.endpoint.about(attempt))
        if self.endpoint.name != CREATE_SESSION:
            return
        self._waits(attempt.window or 0.0, {})
        if number > 1:
            self._retries(1, {})
        if attempt.outcome is Outcome.UNKNOWN:
            self._duplicates(1, {})

    def call_ended(self, call: Call) -> None:
        """Count the call by its outcome, if it is one that creates a session."""
        if self.endpoint.name != CREATE_SESSION:
            return
        attributes: dict[str, str | int] = {"frame.outcome": call.outcome.value}
        if error := fault_of(call):
            attributes["error.type"] = error
        self._calls(1, attributes)


def error_of(attempt: Attempt) -> str | None:
    """The ``error.type`` of an attempt: a status, or how it ended in one of a few words."""
    if attempt.status is not None and attempt.status >= 400:
        return str(attempt.status)
    if not attempt.reason:
        return None
    return _ENDINGS.get(attempt.reason.partition(":")[0], "_OTHER")


def fault_of(call: Call) -> str | None:
    """The ``error.type`` of a call; None when it ended with a session.

    What went wrong before a retry that went well is no fault of the call.
    """
    if call.cancelled:
        return Ending.CANCELLED.name.lower()
    last = error_of(call.attempts[-1]) if call.attempts else None
    return last or (None if call.outcome is Outcome.CREATED else call.outcome.value)
