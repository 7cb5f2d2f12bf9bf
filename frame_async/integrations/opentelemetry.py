"""Traces and metrics of calls with OpenTelemetry; needs ``frame-async[otel]``.

A span for each call with a span for each attempt below it, and the metrics that
``docs/how-to/opentelemetry.md`` lists. Only OpenTelemetry's API is used: without an SDK
nothing is recorded, and which exporter gets it is for the application to say.
"""

from contextvars import ContextVar, Token
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Final

from attrs import define

from frame_async._version import __version__
from frame_async.calls import Attempt, Call
from frame_async.integrations._measures import (
    Attributes,
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

    The span of a call belongs to the span that is current in the task that makes the call, and
    begins with its first attempt, at the time at which the call began. The span of an attempt is
    current while it is on the wire. Several clients may share one observer.

    Args:
        tracer_provider: where spans go; the application's global provider by default.
        meter_provider: where metrics go; the application's global provider by default.
        propagate: whether each attempt carries ``traceparent`` (W3C Trace Context) of its span,
            so that a gateway of yours can join its spans to the trace; Frame gets to see it
            too. Baggage is never sent.
        request_durations: whether ``http.client.request.duration`` is measured; say False beside
            OpenTelemetry's instrumentation of aiohttp, which measures the same requests.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagate: bool = True,
        request_durations: bool = True,
    ) -> None:
        self._propagate = propagate
        self._open: ContextVar[_OpenCall | None] = ContextVar("frame_async_call", default=None)
        ours = ("frame_async", __version__)
        self._tracer = trace.get_tracer(*ours, tracer_provider, _SCHEMA)
        meter = metrics.get_meter(*ours, meter_provider, _SCHEMA)
        super().__init__(lambda instrument: _made(meter, instrument))
        if not request_durations:
            self._requests = _ignored

    def attempt_started(
        self, key: str, number: int, started: datetime, elapsed: float
    ) -> dict[str, str]:
        """Begin the span of the attempt, and before the first one that of its call."""
        at, opened = _since_epoch(started), self._open.get()
        if opened is None or opened.key != key or number == 1:
            began = at - _nanoseconds(elapsed)
            opened = _OpenCall(key, self._start(began), began)
            self._open.set(opened)
        about: dict[str, str | int] = {**self.endpoint.attributes}
        if self.endpoint.url is not None:
            about["url.full"] = self.endpoint.url
        attempt = self._tracer.start_span(
            self.endpoint.span,
            trace.set_span_in_context(opened.call),
            attributes=about,
            start_time=at,
            kind=SpanKind.CLIENT,
        )
        opened.attempt = attempt
        opened.token = context.attach(trace.set_span_in_context(attempt))
        headers: dict[str, str] = {}
        if self._propagate:
            _PROPAGATOR.inject(headers)
        return headers

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        """Measure the request, and end its span."""
        super().attempt_ended(key, number, attempt)
        opened = self._open.get()
        if opened is None or opened.attempt is None or opened.token is None:
            return
        context.detach(opened.token)
        span, opened.attempt, opened.token = opened.attempt, None, None
        span.set_attributes(self.endpoint.about(attempt))
        span.set_attributes(_described_attempt(attempt, number - 1))
        if error_of(attempt):
            # A status speaks for itself; the convention wants no words about it.
            words = None if attempt.status else attempt.reason
            span.set_status(Status(StatusCode.ERROR, words))
        span.end(_since_epoch(attempt.started) + _nanoseconds(attempt.duration))

    def call_ended(self, call: Call) -> None:
        """Count the call, and end its span."""
        super().call_ended(call)
        opened = self._open.get()
        self._open.set(None)
        took = _nanoseconds(call.elapsed)
        if opened is None or opened.key != call.idempotency_key:
            end = time_ns()
            span = self._start(end - took)
        else:
            last = call.attempts[-1]
            span, end = opened.call, opened.began + took
            end = max(end, _since_epoch(last.started) + _nanoseconds(last.duration))
        span.set_attributes(_described(call))
        if error := fault_of(call):
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def _start(self, at: int) -> trace.Span:
        """The span of a call, which began at that time."""
        name = _CALL if self.endpoint.name == CREATE_SESSION else _OTHER_CALL
        return self._tracer.start_span(name, start_time=at, kind=SpanKind.INTERNAL)


@define(eq=False)
class _OpenCall:
    """What is going on in a task."""

    key: str
    call: trace.Span
    began: int
    """Nanoseconds since the epoch."""
    attempt: trace.Span | None = None
    token: Token[context.Context] | None = None
    """What was current before the span of the attempt."""


def _ignored(_: float, __: Attributes) -> None:
    """Where a figure goes that somebody else measures."""


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


def _since_epoch(moment: datetime) -> int:
    """Nanoseconds."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
