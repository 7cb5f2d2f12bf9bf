"""Traces and metrics of calls with OpenTelemetry; needs ``frame-async[otel]``.

A span for each call with a span for each attempt below it, and the metrics that
``docs/how-to/opentelemetry.md`` lists. Only OpenTelemetry's API is used: without an SDK
nothing is recorded, and which exporter gets it is for the application to say.
"""

from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Final

from frame_async._version import __version__
from frame_async.calls import Attempt, Call
from frame_async.integrations._measures import (
    Instrument,
    Measuring,
    Record,
    error_of,
    fault_of,
)
from frame_async.observers import CREATE_SESSION

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise ImportError(
        "frame_async.integrations.opentelemetry needs OpenTelemetry: "
        "pip install 'frame-async[otel]'"
    ) from None

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.30.0"
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_CALL: Final = "payment_link_sessions.create"
_OTHER_CALL: Final = "request"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class OpenTelemetryObserver(Measuring):
    """Give it to a client: ``FrameClient(observers=[OpenTelemetryObserver()])``.

    The spans of a call belong to the span that is current in the task that makes the call.
    They are made when the call is over, with the times at which things happened, so a call
    shows up in a trace at its end. Several clients may share one observer.

    Args:
        tracer_provider: where spans go; the application's global provider by default.
        meter_provider: where metrics go; the application's global provider by default.
        propagate: whether each attempt carries ``traceparent`` (W3C Trace Context) of the span
            in which the call is made, so that a gateway of yours can join its spans to the
            trace; Frame gets to see it too. Baggage is never sent.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagate: bool = True,
    ) -> None:
        self._propagate = propagate
        ours = ("frame_async", __version__)
        self._tracer = trace.get_tracer(*ours, tracer_provider, _SCHEMA)
        meter = metrics.get_meter(*ours, meter_provider, _SCHEMA)
        super().__init__(lambda instrument: _made(meter, instrument))

    def trace_headers(self, key: str) -> dict[str, str]:  # noqa: ARG002  # as an Observer's
        """The trace and the span that are current where the call is made."""
        headers: dict[str, str] = {}
        if self._propagate:
            _PROPAGATOR.inject(headers)
        return headers

    def call_ended(self, call: Call) -> None:
        """Count the call, and make its spans."""
        super().call_ended(call)
        current, (start, end) = context.get_current(), _times(call)
        name = _CALL if self.endpoint.name == CREATE_SESSION else _OTHER_CALL
        span = self._tracer.start_span(
            name, current, attributes=_described(call), start_time=start, kind=SpanKind.INTERNAL
        )
        if not span.is_recording():
            return
        below = trace.set_span_in_context(span, current)
        for resends, attempt in enumerate(call.attempts):
            self._add(attempt, resends, below)
        if error := fault_of(call):
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def _add(self, attempt: Attempt, resends: int, below: context.Context) -> None:
        """The span of one attempt."""
        start, end = _bounds(attempt)
        attributes = {
            **self.endpoint.about(attempt),
            **({"url.full": self.endpoint.url} if self.endpoint.url else {}),
            **_described_attempt(attempt, resends),
        }
        span = self._tracer.start_span(
            self.endpoint.span,
            below,
            attributes=attributes,
            start_time=start,
            kind=SpanKind.CLIENT,
        )
        if error_of(attempt):
            # A status speaks for itself; the convention wants no words about it.
            words = None if attempt.status else attempt.reason
            span.set_status(Status(StatusCode.ERROR, words))
        span.end(end)


def _made(meter: metrics.Meter, instrument: Instrument) -> Record:
    name, unit, description = instrument.name, instrument.unit, instrument.description
    if not instrument.buckets:
        return meter.create_counter(name, unit, description).add
    return meter.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=instrument.buckets
    ).record


def _described(call: Call) -> dict[str, str | int | float | bool]:
    """The attributes of a call's span; whether it is remembered is known by then."""
    described: dict[str, str | int | float | bool] = {
        "frame.idempotency_key": call.idempotency_key,
        "frame.outcome": call.outcome.value,
        "frame.retries": call.retries,
        "frame.possible_duplicates": call.possible_duplicates,
        "frame.window.wait": sum(attempt.window or 0.0 for attempt in call.attempts),
    }
    if call.cancelled:
        described["frame.cancelled"] = True
    if call.store_error:
        described["frame.store_error"] = call.store_error
    return described


def _described_attempt(attempt: Attempt, resends: int) -> dict[str, str | int | float | bool]:
    """What only spans tell of an attempt."""
    described: dict[str, str | int | float | bool] = {
        "frame.outcome": attempt.outcome.value,
        "frame.window.wait": attempt.window or 0.0,
    }
    if resends:
        described["http.request.resend_count"] = resends
        described["frame.retry.delay"] = attempt.slept
        described["frame.retry.reason"] = attempt.slept_for
    if attempt.reused is not None:
        described["frame.connection.reused"] = attempt.reused
    if attempt.request_id:
        described["frame.request_id"] = attempt.request_id
    return described


def _times(call: Call) -> tuple[int, int]:
    """When a call began and ended, in nanoseconds since the epoch.

    A call knows how long it took, its attempts know the time of day.
    """
    took = _nanoseconds(call.elapsed)
    if not call.attempts:
        now = time_ns()
        return now - took, now
    first, last = call.attempts[0], call.attempts[-1]
    start = _bounds(first)[0] - _nanoseconds(first.window or 0.0)
    return start, max(start + took, _bounds(last)[1])


def _bounds(attempt: Attempt) -> tuple[int, int]:
    start = (attempt.started - _EPOCH) // _MICROSECOND * 1000
    return start, start + _nanoseconds(attempt.duration)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
